"""What a kept model's file tells beside its net, as plain data that goes wherever the file goes.

Where Keras would not load the model in its safe mode, its weights are kept, as arrays by their places, and
the source of the model function that builds it again is among what the file tells.

It stands in the file's `metadata.json`, which Keras writes and does not read: a member of its own would have
Keras unpack the whole archive on a disk whenever the model is loaded (`saving_lib.py`, where an archive of
more than three members is taken to hold assets).
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerasgrid.data.encoding import Encoder, width
from kerasgrid.data.statistics import TargetScale
from kerasgrid.errors import ResultsError
from kerasgrid.io import MOST_BESIDE, ZIP_DAMAGE, open_input, replacing
from kerasgrid.records import Target

_MEMBER, _KEY = "metadata.json", "kerasgrid"
SCHEMA = "kerasgrid.net/1"
_DAMAGE = (*ZIP_DAMAGE, OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """What a model of numbers, or of a table's rows, needs beside its net.

    Attributes:
        target: What each output of the model is.
        encoder: What makes its input of a table's rows; None of other samples.
        scale: Of the numbers to predict, which the last layers of the model undo; None for none.
        source: The digest of the source of the model function that builds the net; None where the net itself
            is in the file.
    """

    target: Target
    encoder: Encoder | None = None
    scale: TargetScale | None = None
    source: str | None = None

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Axes of one sample as the net takes it; None where no table says it."""
        return None if self.encoder is None else (width(self.encoder.table, self.encoder.codes),)

    def write(self, file: Path) -> None:
        """Adds this to a .keras file that Keras has written, or an .npz of weights, whole or not at all.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        told: dict[str, Any] = {"schema": SCHEMA, "target": asdict(self.target)}
        if self.encoder is not None:
            told["table"] = self.encoder.state()
        if self.scale is not None:
            told["target_scale"] = asdict(self.scale)
        if self.source is not None:
            told["source"] = self.source
        with (
            replacing(file, file.suffix) as part,
            zipfile.ZipFile(file) as before,
            zipfile.ZipFile(part, "w") as after,
        ):
            metadata = json.loads(before.read(_MEMBER)) if _MEMBER in before.namelist() else {}
            metadata[_KEY] = told
            after.writestr(_MEMBER, json.dumps(metadata, allow_nan=False), zipfile.ZIP_DEFLATED)
            for member in before.infolist():
                if member.filename != _MEMBER:
                    with before.open(member) as source, after.open(member, "w") as copy:
                        shutil.copyfileobj(source, copy)

    @classmethod
    def read(cls, file: Path) -> ModelFacts | None:
        """Returns what a .keras file tells; None where it tells nothing, as those of classes of images.

        Raises:
            ResultsError: It cannot be read.
        """
        try:
            with open_input(file) as opened, zipfile.ZipFile(opened) as archive:
                member = archive.getinfo(_MEMBER)
                if member.file_size > MOST_BESIDE:
                    raise ValueError(f"its {_MEMBER} has {member.file_size:,} bytes")
                metadata = json.loads(archive.read(member))
            told = metadata.get(_KEY) if isinstance(metadata, dict) else None
            return None if told is None else cls._of(told)
        except _DAMAGE as error:
            raise ResultsError(
                f"{file}: what it tells beside its net cannot be read ({error}). Restore it, or remove it "
                "and train it again."
            ) from error

    @classmethod
    def _of(cls, told: Mapping[str, Any]) -> ModelFacts:
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']!r}, and {SCHEMA} is known here")
        target = Target(**{**told["target"], "names": tuple(told["target"]["names"])})
        scale, table = told.get("target_scale"), told.get("table")
        return cls(
            target,
            None if table is None else Encoder.of_state(table),
            None if scale is None else TargetScale(scale["how"], tuple(scale["mean"]), tuple(scale["std"])),
            told.get("source"),
        )
