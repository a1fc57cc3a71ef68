"""What Kaggle refuses, in plain words: what was found, what holds and what to do.

Where its client looks for credentials is known here; what they are is never read.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.errors import ServiceError
from kerasgrid.wording import visible_line

HOW_TO = (
    "Make a token at https://www.kaggle.com/settings/api and put it into ~/.kaggle/access_token (chmod 600), "
    "or into the environment as KAGGLE_API_TOKEN; a kaggle.json in ~/.kaggle holds as well."
)
_NOTEBOOKS = re.compile(r"notebook|kernel|code competition", re.IGNORECASE)
_RULES = re.compile(r"rules|accept|terms|agree", re.IGNORECASE)
_LIMIT = re.compile(
    r"(?!.*\b(size|bytes|length|characters|[kmg]b)\b)"
    r"(.*(daily|per day|today|remaining|number of|too many|limit).*submission|"
    r".*submission.*(daily|per day|today|remaining|number of|too many|limit))",
    re.IGNORECASE,
)
_SITE = "https://www.kaggle.com"
MISSING = (
    "Kaggle's official client is needed for this: the package kaggle, 1.8.4 or newer. Install it "
    'with: pip install "kerasgrid[kaggle]"'
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


def refusal(
    reply: Mapping[str, Any], competition: str, doing: str, timeout_s: float, places: Sequence[str]
) -> str:
    """Returns what a reply that is no answer means.

    Args:
        reply: As the client's process gives it: its `kind`, and by kind `status` and `text`.
        doing: What was asked for, such as `uploading submission.csv`.
        timeout_s: How long an answer was waited for, seconds.
        places: Where credentials were found; the first is the one that was sent.
    """
    kind, text = reply["kind"], visible_line(str(reply.get("text") or ""))
    if kind == "status":
        return _of_status(reply["status"], text, competition, doing, reply.get("retry_after"), places)
    if kind == "slow":
        return (
            f"Kaggle gave no answer within {timeout_s:.3g} s, while {doing}. Try again later, or give it "
            "longer with --timeout SECONDS."
        )
    if kind == "cut":
        return (
            f"the connection to Kaggle was cut, or cannot be made ({text}), while {doing}. Is this machine "
            "on the network, and is a proxy set that it needs?"
        )
    if kind == "upload":
        return f"Kaggle's storage has not taken the file, while {doing}. Try again later."
    if kind == "credentials":
        return _wrong_credentials("", places)
    return f"Kaggle's client failed while {doing} ({text or 'its process ended'})."


def _of_status(
    status: int,
    text: str,
    competition: str,
    doing: str,
    retry_after: str | None,
    places: Sequence[str],
) -> str:
    said = f"{status}: {text}" if text else str(status)
    page = f"{_SITE}/competitions/{competition}"
    if status == 401:
        return _wrong_credentials(f" ({said})", places)
    if status < 500 and _NOTEBOOKS.search(text):
        return notebooks_only(competition, said)
    if status < 500 and _LIMIT.search(text):
        return limit_reached(competition, said)
    if status == 403 and _RULES.search(text):
        return (
            f"{competition}: this account has not accepted the competition's rules ({said}). Accept them at "
            f"{page}/rules and give the same command again."
        )
    if status == 403:
        return (
            f"{competition}: Kaggle does not allow it ({said}), while {doing}. So it says where the name is "
            f"wrong, where this account has not joined and accepted the rules ({page}/rules), and where the "
            f"competition is closed: see {page}."
        )
    if status == 404:
        return (
            f"{competition}: Kaggle knows no such competition, or does not show it to this account ({said}). "
            f"The name is the last part of its address, {_SITE}/competitions/NAME."
        )
    if status == 429:
        wait = f"{retry_after} s" if str(retry_after or "").isdecimal() else "some minutes"
        return (
            f"{competition}: Kaggle takes no more requests for now ({said}), while {doing}. Wait {wait} and "
            "give the same command again."
        )
    if status >= 500:
        return f"{competition}: Kaggle has a fault of its own ({said}), while {doing}. Try again later."
    return f"{competition}: Kaggle refuses it ({said}), while {doing}."


def notebooks_only(competition: str, said: str = "") -> str:
    """Returns that files cannot be sent, and what can be done."""
    found = f" ({said})" if said else ""
    return (
        f"{competition} takes submissions from notebooks only{found}, so that no file can be sent. A "
        "notebook that trains and predicts there is written by: "
        "kerasgrid export results/NAME.json --to notebook"
    )


def limit_reached(competition: str, said: str = "", *, is_total: bool = False) -> str:
    """Returns that no more can be sent, and from when it can."""
    found = f" ({said})" if said else ""
    if is_total:
        return (
            f"{competition}: this account's team has used all submissions that the competition allows{found}."
        )
    return (
        f"{competition}: the limit of submissions is reached{found}. The days of Kaggle begin at midnight "
        "UTC: give the same command again after that."
    )


def _wrong_credentials(said: str, places: Sequence[str]) -> str:
    where = places[0] if places else "the environment"
    others = (
        f" It comes before {' and '.join(places[1:])}, and is not passed over where it is wrong: correct it "
        "or take it away."
        if len(places) > 1
        else ""
    )
    return f"Kaggle refuses the credentials{said} of {where}.{others} {HOW_TO}"
