"""Where Kaggle's client looks for credentials. What they are is never read here."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from kerasgrid.errors import ServiceError

HOW_TO = (
    "Make a token at https://www.kaggle.com/settings/api and put it into ~/.kaggle/access_token (chmod 600), "
    "or into the environment as KAGGLE_API_TOKEN; a kaggle.json in ~/.kaggle holds as well."
)


@dataclass(frozen=True)
class Credentials:
    """Credentials that are there.

    Attributes:
        places: Where, in the order in which the client takes them: the first that is there is sent.
        warnings: Of files that other users of this machine can read.
    """

    places: tuple[str, ...]
    warnings: tuple[str, ...]


def find_credentials() -> Credentials:
    """Returns where credentials are.

    Raises:
        ServiceError: There are none.
    """
    files = [path for path in _token_files() if _has_content(path)]
    token = os.environ.get("KAGGLE_API_TOKEN")
    # Within Kaggle's own notebooks a token is given.
    inside = os.environ.get("KAGGLE_KERNEL_RUN_TYPE") and os.environ.get("KAGGLE_API_V1_TOKEN")
    places = ["KAGGLE_API_V1_TOKEN"] if inside else []
    places += ["KAGGLE_API_TOKEN"] if token else []
    places += map(str, files)
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        places.append("KAGGLE_USERNAME and KAGGLE_KEY")
    login = Path.home() / ".kaggle" / "credentials.json"  # of `kaggle auth login`
    keys = [path for path in (config_folder() / "kaggle.json", login) if _has_content(path)]
    places += map(str, keys)
    if not places:
        raise ServiceError(
            "no credentials for Kaggle: KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY are not set, and "
            f"neither {_token_files()[0]} nor {config_folder() / 'kaggle.json'} is there. {HOW_TO}",
            "credentials",
        )
    warnings = [
        f"Warning: {path} can be read by other users of this machine. Keep it to yourself: chmod 600 {path}"
        for path in (*([Path(token)] if token else []), *files, *keys)  # the first may be a file's name
        if _is_readable_by_others(path)
    ]
    return Credentials(tuple(places), tuple(warnings))


def config_folder() -> Path:
    """Returns the folder in which the client looks for kaggle.json."""
    chosen = os.environ.get("KAGGLE_CONFIG_DIR")
    if chosen:
        return Path(chosen)
    home = Path.home() / ".kaggle"
    if sys.platform.startswith("linux") and not home.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    return home


def _token_files() -> list[Path]:
    return [Path.home() / ".kaggle" / name for name in ("access_token", "access_token.txt")]


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _is_readable_by_others(path: Path) -> bool:
    return (
        os.name != "nt" and _has_content(path) and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    )
