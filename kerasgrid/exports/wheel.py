"""kerasgrid itself as a wheel, for machines without a network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import BinaryIO

import kerasgrid
from kerasgrid.errors import MissingPackageError
from kerasgrid.io import write_atomic

_WHEEL = "Wheel-Version: 1.0\nGenerator: kerasgrid\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all files in it, so that the same kerasgrid gives the same wheel."""


def write_wheel(folder: Path) -> Path:
    """Writes kerasgrid, as it is installed here, into a wheel and returns its path.

    It follows the binary distribution format, so that pip installs it; what it needs is not in it.

    Raises:
        MissingPackageError: It is not installed, but only lies on the path.
        StorageError: The file cannot be written.
    """
    try:
        found = distribution("kerasgrid")
        metadata = found.read_text("METADATA") or found.read_text("PKG-INFO")
    except PackageNotFoundError:
        metadata = None
    if metadata is None:
        raise MissingPackageError("kerasgrid is not installed, but only on the path: pip install it first.")
    about = f"kerasgrid-{found.version}.dist-info"
    files = dict(_package())
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/WHEEL"] = _WHEEL.encode()
    files[f"{about}/entry_points.txt"] = b"[console_scripts]\nkerasgrid = kerasgrid.cli:main\n"
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""]).encode()
    target = folder / f"kerasgrid-{found.version}-py3-none-any.whl"

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, data)

    write_atomic(target, write)
    return target


def _package() -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each file of the package."""
    root = Path(kerasgrid.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".json"} and "__pycache__" not in path.parts:
            yield f"kerasgrid/{path.relative_to(root).as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
