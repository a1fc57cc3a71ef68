"""What is told of samples before anything is trained, and the page that shows them."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.samples import Look, look_at, warnings_of_samples
from kerasgrid.data.glance import Glance
from kerasgrid.driver.looking import write_data_page
from kerasgrid.errors import ConfigError, ResultsError
from kerasgrid.records import Dataset, Table, Target
from kerasgrid.report.samples import SamplesPage, Sizes

N = 100
CLASSES = Target("classes", ("cat", "owl"))
LABELS = Target("labels", ("a", "b"))


def data_of(labels, target=CLASSES, shape=(8, 8, 3), **more):
    stored = np.random.default_rng(0).integers(0, 256, (len(labels), *shape)).astype("uint8")
    return Dataset(stored, labels, target, "sha256:1", "pets.npz", **more)


def few_owls(n=10):
    return np.arange(N) < n


def told(data, seen=None, **config):
    draft = read_draft({"data": {"train": "digits"}, "model": "fc", **config})
    return warnings_of_samples(draft.config, data, Look(seen or Glance()))


UNEQUAL = (
    "classes are of unequal size, 9 to 1: 'cat' has 90 samples, and 'owl' has 10. A net may leave rare ones"
)


@pytest.mark.parametrize(
    ("config", "cures"),
    [
        ({}, "weigh them by training.class_weight: balanced or score by search.objective: balanced_accuracy"),
        ({"training": {"class_weight": "balanced"}}, "score by search.objective: balanced_accuracy"),
        ({"params": {"training.class_weight": "balanced"}}, "score by search.objective: balanced_accuracy"),
        ({"search": {"objective": "f1_macro"}}, "weigh them by training.class_weight: balanced"),
        ({"search": {"objective": "f1_macro"}, "training": {"class_weight": "balanced"}}, None),
    ],
)
def test_classes_of_unequal_size_are_told_with_what_is_not_done_yet(config, cures):
    wanted = () if cures is None else (f"{UNEQUAL} out: {cures}.",)
    assert told(data_of(few_owls().astype(int)), **config) == wanted
    assert told(data_of(few_owls(30).astype(int)), **config) == ()


def test_a_rare_label_is_told_and_numbers_have_none():
    several = np.stack([np.ones(N), few_owls(1)], axis=1).astype("uint8")
    assert told(data_of(several, LABELS)) == (
        "labels are of unequal frequency: 'a' is on 100 of 100 samples, and 'b' on 1. accuracy hardly counts "
        "rare ones: score by search.objective: f1_macro.",
    )
    assert told(data_of(several, LABELS), search={"objective": "f1_macro"}) == ()
    assert told(data_of(np.zeros((N, 1)), Target("numbers", ("price",)))) == ()


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (
            Glance(n_across=2, across=((3, 4),)),
            "2 of 100 samples hold the same values as one of another class, such as 3 ('owl') and 4 ('cat'): "
            "one of each pair has the wrong class.",
        ),
        (
            Glance(n_again=5, again=((1, 3), (1, 5))),
            "5 of 100 samples repeat another one with the same label, such as 1 and 3 or 1 and 5: copies are "
            "both trained on and held out, and scores are too high. Take them out, or keep them together by "
            "data.group.",
        ),
        (Glance(n_again=1, again=((1, 3),)), None),
        (
            Glance(n_test=40, n_shared=1, shared=((7, 2),)),
            "1 of 40 test samples is among the training samples too, such as 7 and 2 of the test set: scores "
            "there are too high.",
        ),
        (
            Glance(n_test=40, n_damaged=2, damaged=(3, 4)),
            "2 of 40 image files of data.test cannot be decoded, such as 3 of the test set and 4 of the "
            "test set: predict needs each of them. Fetch them again.",
        ),
        (
            Glance(n_grey=2, grey=(5, 8)),
            "2 of 100 images are grey (2.0%), and the others coloured, such as 5 and 8: a net may learn what "
            "is grey in the place of what is shown.",
        ),
        (
            Glance(n_grey=100, grey=(0,)),
            "all images are grey, in three equal channels: `image: [8, 8, 1]` would do with a third.",
        ),
    ],
)
def test_messages(seen, message):
    assert told(data_of(np.arange(N) % 2), seen) == (() if message is None else (message,))


def test_a_test_file_is_looked_into_and_what_it_is_not_is_told(tmp_path):
    data = data_of(np.arange(N) % 2)
    np.savez(tmp_path / "test.npz", images=data.images[:3])
    np.savez(tmp_path / "small.npz", images=data.images[:3, :4])

    def look(test):
        section = {"data": {"train": "digits", "test": str(tmp_path / test)}, "model": "fc"}
        return look_at(read_draft(section).data, data)

    assert (look("test.npz").seen.n_shared, look("test.npz").left_out) == (3, None)
    found = look("small.npz")
    assert found.seen.n_test is None
    assert "small.npz" in found.left_out
    assert "none.npz" in look("none.npz").left_out
    rows = data_of(np.arange(N) % 2, table=Table(()))
    assert look_at(read_draft({"data": {"train": "digits"}, "model": "fc"}).data, rows) == Look(Glance())


def test_image_files_are_told_by_their_names(tmp_path, monkeypatch):
    """Also where some are left out, or not drawn."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for place in range(8):
        kind = ("cat", "owl")[place % 2]
        (tmp_path / "train" / kind).mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (9 + place % 3, 12, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / "train" / kind / f"{place}.png")
    (tmp_path / "test").mkdir()
    (tmp_path / "train/owl/10.png").write_bytes((tmp_path / "train/cat/4.png").read_bytes())
    (tmp_path / "test/1.png").write_bytes((tmp_path / "train/owl/3.png").read_bytes())
    text = "data: {train: train, test: test, image: [8, 8, 3]}\nmodel: none.py:build\n"
    (tmp_path / "grid.yaml").write_text(text)
    page = write_data_page(tmp_path / "grid.yaml").read_text()
    pair = (
        "such as train/cat/4.png (&#x27;cat&#x27;) and train/owl/10.png (&#x27;owl&#x27;): one of each pair"
    )
    assert pair in page
    told = "1 of 1 test samples is among the training samples too, such as train/owl/3.png and test/1.png"
    assert told in page
    (tmp_path / "train/cat/0.png").write_bytes(b"")
    (tmp_path / "grid.yaml").write_text(text.replace("}", ", skip_bad: true}"))
    page = write_data_page(tmp_path / "grid.yaml").read_text()
    assert pair in page
    assert told in page
    (tmp_path / "grid.yaml").write_text(text.replace("}", ", skip_bad: true, subset: 6}"))
    assert told in write_data_page(tmp_path / "grid.yaml").read_text()
    (tmp_path / "grid.yaml").write_text(text.replace("test: test", "test: ., skip_bad: true"))
    page = write_data_page(tmp_path / "grid.yaml").read_text()
    assert "8 of 10 image files of data.test are those of data.train, such as train/cat/2.png: name" in page
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write("test/1.png")
        archive.write("train/owl/3.png", "test/deep/2.png")
    for test, n in (("all.zip", 2), ("all.zip/test/deep", 1)):
        (tmp_path / "grid.yaml").write_text(text.replace("test: test", f"test: {test}, skip_bad: true"))
        assert f"{n} of {n} test samples" in write_data_page(tmp_path / "grid.yaml").read_text()
    assert "9 files, 12 to 12 wide (median 12) and 9 to 11 high (median 10)" in page


# The page


def page(data, seen=None, told=(), **more):
    return SamplesPage("pets <b>", data, seen or Glance(), told, **more).html()


def test_the_page_has_samples_of_each_class_and_how_many_there_are():
    names = Target("classes", ("cat", "<script>owl"))
    seen = Glance(n_across=2, across=((3, 4),), n_grey=1, grey=(9,), n_test=5, n_shared=1, shared=((7, 2),))
    text = page(data_of(few_owls().astype(int), names), seen, ["<i>odd"])
    for part in (
        "&lt;i&gt;odd",
        "cat (90 samples)",
        "&lt;script&gt;owl (10 samples)",
        "3: &lt;script&gt;owl",
    ):
        assert part in text, part
    for part in (
        "7, 2",
        "The test set has 5 samples",
        "9: &lt;script&gt;owl",
        "Samples of each",
    ):
        assert part in text, part
    assert "<script" not in text
    assert text.count("data:image/png") == 2 * 6 + 4


def test_the_page_has_labels_and_ranges_of_numbers_too():
    several = np.stack([few_owls(50), few_owls(1)], axis=1).astype("uint8")
    text = page(data_of(several, LABELS))
    for part in ("a (50 samples)", "b (1 sample)", "none of the labels (50 samples)", "labels of a sample"):
        assert part in text, part
    text = page(data_of(np.arange(N)[:, None] / 2, Target("numbers", ("price",))))
    assert "price of 0 to 6 (13 samples)" in text
    assert "price: 0 to 49.5, median 24.75" in text


def test_the_page_has_sizes_of_files_and_of_a_table_only_how_many_there_are():
    sizes = np.array([[4, 8]] * 3 + [[16, 9]])
    text = page(data_of(np.arange(N) % 2), sizes=Sizes(sizes, 5))
    for part in (
        "5 files, 8 to 9 wide (median 8) and 4 to 16 high (median 4)",
        "1 could not be read",
        "8 x 4",
    ):
        assert part in text, part
    rows = data_of(np.arange(N) % 2, shape=(4,), table=Table(()))
    text = page(rows)
    assert "Rows of a table are not compared" in text
    assert "data:image/png" not in text
    assert "Samples of each class" in text


def test_it_is_written_beside_the_grid_without_a_model(tmp_path):
    (tmp_path / "grid.yaml").write_text("data: {train: digits}\nmodel: none.py:build\n")
    path = write_data_page(tmp_path / "grid.yaml")
    assert path == tmp_path / "grid.data.html"
    assert "digits: 1,797 samples of 8 x 8 x 1" in path.read_text()
    (tmp_path / "grid.yaml").write_text("data: {train: none.csv}\nmodel: none.py:build\n")
    with pytest.raises(ConfigError, match="none"):
        write_data_page(tmp_path / "grid.yaml")
    with pytest.raises(ResultsError, match=r"ends in \.html"):
        write_data_page(tmp_path / "grid.yaml", tmp_path / "page.txt")
