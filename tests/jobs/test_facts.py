"""What a kept model's file tells beside its net, wherever the file goes."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest

from kerasgrid.data.encoding import Encoder
from kerasgrid.data.statistics import TargetScale
from kerasgrid.delivery.models import encode
from kerasgrid.errors import ResultsError
from kerasgrid.jobs.facts import SCHEMA, ModelFacts
from kerasgrid.records import Column, Table, Target

TABLE = Table(
    (
        Column("area", "numeric", has_blanks=True),
        Column("street \ud800", "categorical", ("Grvl", 'Pave, "new"')),
        Column("sold", "date"),
    )
)
VALUES = np.array([[100.0, 0.0, 14_000.0], [np.nan, 1.0, 14_031.5], [250.5, np.nan, 15_000.0]])
MEMBERS = {
    "metadata.json": b'{"keras_version": "3.8.0"}',
    "config.json": b"{}",
    "model.weights.h5": b"\x89HDF" * 99,
}


@pytest.fixture
def file(tmp_path):
    """A file as Keras writes it: three members, none of them packed."""
    path = tmp_path / "best.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("scaler", ["standard", "quantile", "none"])
@pytest.mark.parametrize("codes", [False, True])
def test_a_file_that_is_copied_alone_encodes_rows_as_before(file, tmp_path, scaler, codes):
    encoder = Encoder.fit(Table(TABLE.columns, scaler), VALUES, np.arange(3), codes)
    scale = TargetScale("log", (12.0,), (0.1 + 0.2,))
    ModelFacts(Target("numbers", ("SalePrice",)), encoder, scale).write(file)
    (tmp_path / "elsewhere").mkdir()
    found = ModelFacts.read(shutil.move(file, tmp_path / "elsewhere"))
    assert (found.target, found.scale) == (Target("numbers", ("SalePrice",)), scale)
    assert found.encoder.table == encoder.table
    np.testing.assert_array_equal(found.encoder(VALUES), encoder(VALUES))
    assert found.input_shape == encoder(VALUES).shape[1:]


def test_what_keras_has_written_stays(file):
    ModelFacts(Target("classes", (1, 2))).write(file)
    ModelFacts(Target("classes", ("cat", "dog"))).write(file)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == list(MEMBERS)  # of a fourth, Keras would unpack all
        assert archive.testzip() is None
        for name in ("config.json", "model.weights.h5"):
            assert archive.read(name) == MEMBERS[name]
        told = json.loads(archive.read("metadata.json"))
    assert told["keras_version"] == "3.8.0"
    assert told["kerasgrid"] == {
        "schema": SCHEMA,
        "target": {"kind": "classes", "names": ["cat", "dog"], "one_hot": False},
    }
    assert list(file.parent.iterdir()) == [file]
    assert ModelFacts.read(file).target.names == ("cat", "dog")


def test_files_of_earlier_versions_tell_nothing(file):
    assert ModelFacts.read(file) is None


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"no JSON", "Expecting value"),
        (
            b'{"kerasgrid": {"schema": "kerasgrid.net/9"}}',
            "schema 'kerasgrid.net/9', and kerasgrid.net/1 is known",
        ),
        (b'{"kerasgrid": {"schema": "kerasgrid.net/1"}}', "'target'"),
        (b'{"kerasgrid": []}', "list indices"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_cannot_be_read_says_so(file, metadata, message):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", metadata)
    with pytest.raises(
        ResultsError, match=r"best\.keras: what it tells beside its net cannot be read"
    ) as caught:
        ModelFacts.read(file)
    assert message in str(caught.value)


def test_a_file_that_is_no_archive_says_so(file):
    file.write_bytes(b"junk")
    with pytest.raises(ResultsError, match="File is not a zip file"):
        ModelFacts.read(file)


def test_vectors_of_a_model_that_takes_none(file):
    with pytest.raises(ResultsError, match=r"best\.keras: is no model of a table: give it samples as they"):
        encode(file, "test.csv")
