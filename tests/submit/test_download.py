"""Downloading with Kaggle's real client from a service on loopback."""

from __future__ import annotations

import pytest
from service import CUT, Answer
from test_download_unpacking import archive_of

from kerasgrid.cli.sending import download as command
from kerasgrid.errors import DataError, LockedError, ServiceError
from kerasgrid.locks import FolderLock
from kerasgrid.submit import download as module
from kerasgrid.submit.download import download, find_train

pytestmark = pytest.mark.slow

TRAIN = "label," + ",".join(f"pixel{place}" for place in range(16)) + "\n"
TRAIN += "".join(
    f"{row % 2}," + ",".join(str((row * place) % 255) for place in range(16)) + "\n" for row in range(20)
)
FILES = [("train.csv", TRAIN), ("test.csv", "a"), ("sample_submission.csv", "ImageId,Label\n1,0\n")]


@pytest.fixture
def folder(tmp_path, monkeypatch, service, shared_process):
    service.archive = archive_of(FILES)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def fetch(folder, **options):
    return download("digits", folder / "data", print, **{"most_bytes": 10**9, "timeout_s": 20, **options})


def test_download_unpacks_and_begins(folder, service, capsys):
    command("https://www.kaggle.com/competitions/digits/data", folder / "data", 1, 20)
    out = capsys.readouterr().out
    assert "3 files written" in out
    assert "grid.yaml is written. Next:" in out
    text = (folder / "grid.yaml").read_text()
    assert "train: data/train.csv" in text
    assert "sample_submission: data/sample_submission.csv" in text
    assert sorted(path.name for path in (folder / "data").iterdir()) == sorted(name for name, _ in FILES)
    command("digits", folder / "data", 1, 20)
    out = capsys.readouterr().out
    assert "0 files written, 3 there before" in out
    assert "grid.yaml is there already, and stays as it is." in out


def test_a_malicious_archive_leaves_nothing(folder, service):
    service.archive = archive_of([*FILES, ("../../evil.csv", "x")])
    with pytest.raises(DataError, match=r"'\.\./\.\./evil\.csv': a path that leads out of the folder"):
        fetch(folder)
    assert list((folder / "data").iterdir()) == []
    assert not list(folder.parent.rglob("evil*"))


def test_an_archive_that_is_too_large_is_gone_on_with(folder, service):
    with pytest.raises(DataError, match=r"the archive is larger than .*--max-gb.*\n.* is kept in data/\.dig"):
        fetch(folder, most_bytes=100)
    assert [path.name for path in (folder / "data").iterdir()] == [".digits.download"]
    assert len(fetch(folder).written) == 3
    assert len(list((folder / "data").iterdir())) == 3


@pytest.mark.parametrize(
    ("mine", "message"),
    [("train.csv", r"data/train\.csv is there already"), ("a", r"data/a is there already")],
)
def test_an_archive_is_not_fetched_again_where_files_were_in_its_way(folder, service, mine, message):
    service.archive = archive_of([*FILES, ("a/b.png", "x")])
    (folder / "data").mkdir()
    (folder / "data" / mine).write_text("mine")
    with pytest.raises(DataError, match=message):
        fetch(folder)
    (folder / "data" / mine).rename(folder / "mine")
    (kept,) = (folder / "data" / ".digits.download").glob("*.zip")
    kept.write_bytes(archive_of([*FILES, ("a/b.png", "y")]))  # by this it shows that it is taken
    assert len(fetch(folder).written) == 4
    assert (folder / "data" / "a" / "b.png").read_text() == "y"


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (403, "You must accept this competition's rules", "competitions/digits/rules"),
        (404, "Not found", "digits: Kaggle knows no such competition"),
        (503, "busy", "Kaggle has a fault of its own (503: busy), while downloading the data"),
    ],
)
def test_refusals(folder, service, status, text, message):
    service.answers["DownloadDataFiles"] = [Answer(status, text)]
    with pytest.raises(ServiceError) as caught:
        fetch(folder)
    assert message in str(caught.value)
    assert list((folder / "data").iterdir()) == []


def test_another_download_of_the_same_is_let_be(folder):
    staging = folder / "data" / ".digits.download"
    with FolderLock(staging / ".lock", staging / ".heartbeat"):
        (staging / "digits.zip").write_text("half of it")
        with pytest.raises(LockedError, match=r"\.digits\.download: another kerasgrid download is writing"):
            fetch(folder)
        assert (staging / "digits.zip").read_text() == "half of it"


def test_a_cut_download_goes_on(folder, service):
    service.answers["GET"] = [CUT, None]
    assert len(fetch(folder).written) == 3
    assert service.count("GET") == 2


def test_a_download_that_stands_still_is_ended_and_begun_again(folder, service):
    service.answers["GET"] = [CUT]
    with pytest.raises(ServiceError, match="no answer within 1 s, while downloading the data"):
        fetch(folder, timeout_s=1)
    assert [path.name for path in (folder / "data").iterdir()] == [".digits.download"]
    service.answers.clear()
    assert len(fetch(folder).written) == 3
    assert len(list((folder / "data").iterdir())) == 3


def test_no_credentials(folder, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(ServiceError, match="no credentials for Kaggle"):
        fetch(folder)
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train.csv", "train_labels.csv", "test.csv"], "train.csv"),
        (["training_set.csv", "test.csv"], "training_set.csv"),
        (["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"], "train-images-idx3-ubyte.gz"),
        (["train_a.csv", "train_b.csv"], None),
        (["trainer.csv", "data.csv"], None),
        ([], None),
    ],
)
def test_which_file_is_the_training_data(tmp_path, names, found):
    for name in names:
        (tmp_path / name).touch()
    assert find_train(tmp_path) == (None if found is None else tmp_path / found)


def test_a_file_that_is_no_training_data_is_said(folder, service, capsys):
    service.archive = archive_of([("images.csv", "a")])
    command("digits", folder / "data", 1, 20)
    assert "Which file in" in capsys.readouterr().out
    service.archive = archive_of([("train.csv", "x\n")])
    command("digits", folder / "more", 1, 20)
    assert "No grid.yaml was written: more/train.csv" in capsys.readouterr().out
    assert module.find_train(folder / "more") is not None
