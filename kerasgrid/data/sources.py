"""Which source is named: of samples to learn from, with all that they depend on, or of samples to predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kerasgrid.config.sections import IdxPair, ImagePattern
from kerasgrid.data.archives import Tree, archive_on_way, exists
from kerasgrid.data.arrays import shape_images
from kerasgrid.data.csv import csv_chunks, pixel_names, read_csv
from kerasgrid.data.csv_images import NamedImages, column_of_test, find_images, read_images, rows_to_predict
from kerasgrid.data.csv_pixels import find_pixels, pixel_cell_chunks, read_pixels
from kerasgrid.data.csv_tables import is_table, read_table, table_chunks
from kerasgrid.data.csv_text import CsvFile, known_names
from kerasgrid.data.decoding import telling
from kerasgrid.data.digests import file_digests
from kerasgrid.data.idx import idx_chunks, read_idx
from kerasgrid.data.image_files import Listing, all_images, class_folders, matching
from kerasgrid.data.image_streams import ids_of, picture_chunks, sample_beside
from kerasgrid.data.labels import as_classes, check_texts
from kerasgrid.data.npz import npy_chunks, npz_chunks, read_npy, read_npz
from kerasgrid.data.pictures import Picture, Pictures, image_of
from kerasgrid.data.places import csv_of, meant
from kerasgrid.data.roles import NO_ROLES, Roles
from kerasgrid.data.samples import Samples, check_samples
from kerasgrid.data.streams import Chunk, Stream, fitting
from kerasgrid.errors import DataError, NotBuiltError
from kerasgrid.io import digest, kind_of
from kerasgrid.records import Dataset, Doing, Table, Target, not_told
from kerasgrid.wording import listed, shown_path

_KINDS = (
    "a .csv, .tsv, .npz, a folder of class folders, {files: PATTERN, label: REGEX} for image files by name, "
    "{images: FILE, labels: FILE} for a pair of IDX or .npy files, a .zip of one of these, or digits"
)
_STREAM_KINDS = (
    "a .csv, .tsv, .npz or .npy file, a folder of images, {files: PATTERN}, a file of IDX images, a .zip of "
    "one of these, or digits"
)
_FEW_COLUMNS = 100
"""Of a file of more columns none is looked at for names of files."""


def read_digits(image: Sequence[int] | None = None) -> Samples:
    """Returns 1,797 images of digits, (1797, 8, 8, 1), uint8 in 0..16, with the classes 0 to 9.

    Args:
        image: (height, width, channels) of 64 pixels in all; (8, 8, 1) by default.

    Raises:
        DataError: `image` has another number of pixels.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = shape_images(bunch.data.astype(np.uint8), image, "digits")
    return Samples(images, bunch.target.astype(np.int64), Target("classes", tuple(range(10))))


def digits_chunks(shape: Sequence[int]) -> Iterator[Chunk]:
    """Yields what `read_digits` gives, as samples of a shape."""
    samples = read_digits()
    pixels = np.asarray(samples.images).reshape(len(samples.labels), -1)
    yield Chunk(fitting(pixels, shape, "digits"), None, samples.labels.tolist())


@dataclass(frozen=True)
class Source:
    """Samples that can be read.

    Attributes:
        name: What messages call it.
        files: The files whose bytes decide what is read.
        options: A JSON value: what else decides it.
        read: Reads the samples.
        decodes: Whether these are image files, `Pictures`, which `read` does not decode yet.
        notes: What was guessed of them.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any]
    read: Callable[[], Samples]
    decodes: bool = False
    notes: tuple[str, ...] = ()

    def digests(self, doing: Doing = not_told) -> list[str]:
        """Returns the SHA-256 of each file.

        Args:
            doing: Is told how many have been looked at, where they are many.

        Raises:
            DataError: One is missing, no regular file, or may not be read.
        """
        tell = telling(doing, "Looking at image files", len(self.files))
        return [own.digest for own in file_digests(self.files, tell)]


def find_source(config: Any, trained: Dataset | None = None, key: str = "data.train") -> Source:
    """Returns the source that a config's `train` names.

    Args:
        config: The config's data section.
        trained: The training data, where these are rows that are held out.
        key: What messages call it.

    Raises:
        DataError: It names no kind of source.
        NotBuiltError: A kind that this version does not read yet.
    """
    source = _found(config, trained, key)
    packed = [archive_on_way(path) for path in source.files]
    members = [found[1] for found in packed if found is not None and found[1]]
    if not members:
        return source
    files = (path if found is None else found[0] for path, found in zip(source.files, packed, strict=True))
    return replace(
        source, files=tuple(dict.fromkeys(files)), options={**source.options, "members": sorted(set(members))}
    )


def _found(config: Any, trained: Dataset | None, key: str) -> Source:
    """Returns the source that a config's `train` names, whose files may be paths into a .zip."""
    train = config.train
    image = None if config.image is None else tuple(int(size) for size in config.image)
    options: dict[str, Any] = {"image": None if image is None else list(image)}
    if isinstance(train, (list, tuple)):
        raise NotBuiltError(f"{key}: a list of files is not built yet. Give {_KINDS}.")
    if isinstance(train, ImagePattern):
        listing = matching(train.files, train.label, key, skip_bad=config.skip_bad)
        if listing.labels is None:
            raise DataError(
                f"{key}.label is missing: a regular expression that finds the class in a file's path, "
                "such as (cat|dog). Where folders are called as their classes, name the folder that these "
                "are in."
            )
        return _files_source(shown_path(train.files), listing, config, trained, options)
    if not isinstance(train, (str, Path)):
        return _pair_source(train, image, options, multi_label=config.multi_label)
    if str(train) == "digits":
        options |= {"source": "digits", "version": version("scikit-learn")}
        return Source("digits", (), options, lambda: read_digits(image))
    if (file := csv_of(train, config)) is not None:
        return replace(_csv_source(file, config, trained, image, options), name=shown_path(train))
    path = meant(train)
    assert path is not None
    if (tree := Tree.at(path)) is not None:
        listing = class_folders(tree, skip_bad=config.skip_bad)
        return _files_source(shown_path(path), listing, config, trained, options)
    if path.suffix.lower() == ".npz":
        options |= {"source": "npz", **({"multi_label": True} if config.multi_label else {})}
        return Source(
            shown_path(train), (path,), options, lambda: read_npz(path, image, multi_label=config.multi_label)
        )
    if path.suffix.lower() == ".npy":
        raise DataError(
            f"{shown_path(path)}: holds one array, and labels are needed beside it: {key}: {{images: "
            f"{path.name}, labels: FILE.npy}}."
        )
    raise _unknown(path, f"{key} is a kind", _KINDS)


def _pair_source(
    train: Any, image: tuple[int, ...] | None, options: dict[str, Any], *, multi_label: bool
) -> Source:
    """Returns the source of a file of images and one of labels."""
    images, labels = (Path(_part(train, name)) for name in ("images", "labels"))
    name = f"{shown_path(images)} and {shown_path(labels)}"
    are_npy = {path.suffix.lower() == ".npy" for path in (images, labels)}
    if len(are_npy) > 1:
        raise DataError(
            f"{name}: one is a .npy file and the other none. Give a pair of .npy or of IDX files."
        )
    if not are_npy.pop():
        return Source(
            name, (images, labels), options | {"source": "idx"}, lambda: read_idx(images, labels, image)
        )
    options |= {"source": "npy", **({"multi_label": True} if multi_label else {})}
    return Source(
        name, (images, labels), options, lambda: read_npy(images, labels, image, multi_label=multi_label)
    )


def _files_source(
    name: str, listing: Listing, config: Any, trained: Dataset | None, options: dict[str, Any]
) -> Source:
    """Returns the source of image files whose places tell their classes."""
    files, labels = listing.files, listing.labels
    assert labels is not None

    def read() -> Samples:
        values = as_classes(sorted(set(labels)))
        classes = tuple(sorted(values))
        place = {
            spelled: classes.index(value) for spelled, value in zip(sorted(set(labels)), values, strict=True)
        }
        codes = np.array([place[label] for label in labels], np.int64)
        try:
            pictures = _pictures(files, config, trained, name, listing.faults)
            check_texts(classes, f"{name}: the class")
            check_samples(pictures, codes, name)
        except DataError as error:
            raise DataError("\n".join([*listing.faults, str(error)])) from error
        return Samples(pictures, codes, Target("classes", classes))

    listed_ = digest([list(listing.names), list(labels)])
    options |= {"source": "files", "listing": listed_, **_decoding(config, trained)}
    return Source(name, _paths(files), options, read, decodes=True, notes=listing.report)


def _pictures(
    files: Sequence[Picture], config: Any, trained: Dataset | None, where: str, faults: Sequence[str]
) -> Pictures:
    """Returns image files as the samples that they become, or as those trained on are."""
    if trained is None:
        image = image_of(files, config.image, where, skip_bad=config.skip_bad)
    else:
        image = _image_of_trained(trained.images.shape[1:], where)
    how = image, config.fit, config.resample, config.skip_bad
    return Pictures(tuple(files), *how, where, tuple(faults))


def _image_of_trained(shape: Sequence[int], where: str) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise DataError(
            f"{where}: holds image files, which become images of 1, 3 or 4 channels, and samples trained on "
            f"are of {list(shape)}."
        )
    height, width, channels = shape
    return height, width, channels


def _decoding(config: Any, trained: Dataset | None) -> dict[str, Any]:
    """Returns what decides which images files become, beside their bytes, as a JSON value."""
    how = {"fit": config.fit, "resample": config.resample, "skip_bad": config.skip_bad}
    return how if trained is None else {**how, "image": list(trained.images.shape[1:])}


def _paths(files: Sequence[Picture]) -> tuple[Path, ...]:
    """Returns the files whose bytes decide what images are, a .zip once."""
    return tuple(dict.fromkeys(picture.path for picture in files))


Form = NamedImages | str | Literal[True, False]
"""What the rows of a CSV file are: names of images; pixels in a cell of a column; a table, or pixels."""


def form_of(file: CsvFile, config: Any, roles: Roles) -> Form:
    """Returns what the rows of a training file are: as it is said, or as it looks.

    Raises:
        DataError: It cannot be read; or what is said of it does not hold.
    """
    if config.files is not None:
        found = find_images(file, config.files, roles)
        assert found is not None
        return found
    if config.pixels is not None:
        return str(config.pixels)
    if not config.features.model_fields_set and len(set(file.names()) - roles.names) <= _FEW_COLUMNS:
        if (named := find_images(file, None, roles)) is not None:
            return named
        if (column := find_pixels(file, roles)) is not None:
            return column
    return is_table(file, config, roles)


def are_image_files(config: Any) -> bool:
    """Tells whether a config's `train` names image files, which are decoded.

    Raises:
        DataError: It cannot be read.
    """
    if isinstance(config.train, ImagePattern):
        return True
    if (file := csv_of(config.train, config)) is not None:
        return isinstance(form_of(file, config, Roles.of(config)), NamedImages)
    path = meant(config.train)
    return path is not None and Tree.at(path) is not None


def _csv_source(
    file: CsvFile,
    config: Any,
    trained: Dataset | None,
    image: tuple[int, ...] | None,
    options: dict[str, Any],
) -> Source:
    roles = Roles.of(config)
    if trained is None:
        roles = replace(roles, id=_own_id(file, config))
    else:
        names = file.names()
        if lacking := [name for name in roles.predicted if name not in names]:
            raise DataError(
                f"{file.first_line}: lacks {listed(lacking)}, by which rows that are held out are "
                "scored. Add what is to be predicted of them, or take folds."
            )
        roles = roles.of_held_out(names, trained.target)
    if roles.fold_file is not None and roles.id is None:
        raise DataError(
            f"data.fold is the file {shown_path(Path(roles.fold_file))}, whose folds are told by id. Name "
            "the column of ids with data.id."
        )
    files = (file.path, *([] if roles.fold_file is None else [Path(roles.fold_file)]))
    more = {} if roles == Roles(roles.label, id=roles.id) else {"roles": roles.plain}
    header = {} if file.has_header else {"header": "none"}
    options |= {"label": roles.label, "id": roles.id, **more, **header}
    form = form_of(file, config, roles) if trained is None else _form_as_trained(file, config, roles, trained)
    if isinstance(form, NamedImages):
        return _named_source(file, roles, form, config, trained, files, options)
    if isinstance(form, str):
        options |= {"source": "pixels", "pixels": form}
        notes = () if config.pixels else (f"pixels: the cells of {form!r} hold all pixels of an image each",)
        return Source(file.where, files, options, lambda: read_pixels(file, roles, form, image), notes=notes)
    table = None if trained is None else trained.table
    if form:
        features = config.features
        options |= {"source": "table", "features": features.model_dump()}
        options |= {} if table is None else {"table": asdict(table)}
        return Source(file.where, files, options, lambda: read_table(file, roles, features, table))
    return Source(file.where, files, options | {"source": "csv"}, lambda: read_csv(file, roles, image))


def _form_as_trained(file: CsvFile, config: Any, roles: Roles, trained: Dataset) -> Form:
    """Returns what rows that are held out are, by the training data, which `test` names here."""
    if trained.table is not None:
        return True
    form = _trained_form(config.test, config)
    return _form_like(form, file, config, roles)


def _trained_form(train: Any, config: Any) -> Form | None:
    """Returns the form of the training data; None where these are no CSV file, or are not there."""
    file = csv_of(train, config)
    if file is None or not exists(file.path):
        return None
    return form_of(file, config, Roles.of(config))


def form_of_others(file: CsvFile, config: Any) -> Form:
    """Returns what the rows of a CSV file are, where they are no table and others are learnt from.

    Raises:
        DataError: They are not what the training data's are.
    """
    return _form_like(_trained_form(config.train, config), file, config, Roles.of(config))


def _form_like(form: Form | None, file: CsvFile, config: Any, roles: Roles) -> Form:
    """Returns the form of other rows than those to learn from, where these are no table."""
    if isinstance(form, NamedImages):
        return column_of_test(file, config.files, form.column, roles)
    if isinstance(form, str):
        return form
    named = find_images(file, None, roles) if form is None and len(file.names()) <= _FEW_COLUMNS else None
    return named or False


def _named_source(
    file: CsvFile,
    roles: Roles,
    named: NamedImages,
    config: Any,
    trained: Dataset | None,
    files: tuple[Path, ...],
    options: dict[str, Any],
) -> Source:
    """Returns the source of image files that a CSV file names."""
    named = named.settled(file, config.files)
    pictures = [Picture(*named.tree.place(name)) for name in named.names_in(file) if named.tree.has(name)]

    def pictures_of(found: Sequence[Picture], faults: Sequence[str]) -> Pictures:
        return _pictures(found, config, trained, file.where, faults)

    def read() -> Samples:
        return read_images(file, roles, named, config.skip_bad, pictures_of)

    options |= {
        "source": "images",
        "column": named.column,
        "suffix": [named.suffix, *named.others],
        **_decoding(config, trained),
    }
    return Source(file.where, (*files, *_paths(pictures)), options, read, decodes=True, notes=named.report)


def open_stream(
    source: Any,
    shape: Sequence[int],
    config: Any = None,
    *,
    table: Table | None = None,
    name: str | None = None,
    target: Target | None = None,
) -> Stream:
    """Returns the samples of a file.

    Args:
        source: A path, `digits`, a pair of files, or a pattern of names.
        shape: Of a training sample: (height, width, channel), or other axes.
        config: The data section of the training data's config, which says whatever a CSV file's columns are,
            and whose `train` has the columns that such a file has to have.
        table: Of the training data, where these are rows of one.
        name: What messages call a .npy file; by default its path.
        target: What is predicted, by which labels of several are read, and folders known as classes.

    Raises:
        DataError: It names no kind of samples. What is wrong with them is told while they are read; of image
            files that there are none, or that some which are named are not there, at once.
    """
    if isinstance(source, IdxPair):
        images, labels = Path(source.images), Path(source.labels)
        if images.suffix.lower() == ".npy":
            return Stream(shown_path(images), partial(npy_chunks, images, shape, shown_path(images), labels))
        return Stream(shown_path(images), partial(idx_chunks, images, labels, shape))
    if str(source) == "digits":
        return Stream("digits", partial(digits_chunks, shape))
    file = csv_of(source, config, "test")
    is_pattern = isinstance(source, ImagePattern)
    path = None if is_pattern else meant(source, "test")
    tree = None if path is None or file is not None else Tree.at(path)
    if table is not None and file is None:
        raise DataError(
            f"{shown_path(path or source.files)}: the training data are a table, and this is no .csv file."
        )
    if is_pattern:
        listing = matching(source.files, source.label, "data.test")
        return _files_stream(shown_path(source.files), listing, shape, config, source, target)
    if tree is not None:
        return _files_stream(tree.where, all_images(tree), shape, config, source, target)
    if file is not None:
        return _csv_stream(file, shape, config, source, table, target)
    assert path is not None
    if path.suffix.lower() == ".npz":
        return Stream(shown_path(path), partial(npz_chunks, path, shape))
    if path.suffix.lower() == ".npy":
        name = name or shown_path(path)
        return Stream(name, partial(npy_chunks, path, shape, name))
    if path.suffix.lower() in {".gz", ".idx", ""} or "ubyte" in path.name:
        return Stream(shown_path(path), partial(idx_chunks, path, None, shape))
    raise _unknown(path, "a kind", _STREAM_KINDS)


def _csv_stream(
    file: CsvFile, shape: Sequence[int], config: Any, source: Any, table: Table | None, target: Target | None
) -> Stream:
    roles = (NO_ROLES if config is None else Roles.of(config)).of_labels(target)
    train = None if config is None else csv_of(config.train, config)
    if table is not None:
        return Stream(file.where, partial(table_chunks, file, table, roles, known_names(train)))
    form = None if config is None else _form_like(_trained_form(config.train, config), file, config, roles)
    if isinstance(form, NamedImages):
        return _named_stream(file, form, shape, config, source, roles)
    if isinstance(form, str):
        return Stream(file.where, partial(pixel_cell_chunks, file, shape, roles, form))
    return Stream(file.where, partial(csv_chunks, file, shape, roles, pixel_names(train, roles)))


def _files_stream(
    name: str, listing: Listing, shape: Sequence[int], config: Any, source: Any, target: Target | None
) -> Stream:
    """Returns image files to predict; of classes, where they are in folders that are called as those are."""
    pictures = _to_predict(listing.files, shape, config, name)
    ids, line = ids_of(listing.names, sample_beside(config, source))
    known = {} if target is None or target.kind != "classes" else {str(own): own for own in target.names}
    told = listing.labels is not None and set(listing.labels) <= set(known)
    labels = [known[label] for label in listing.labels or ()] if told else None
    chunks = partial(picture_chunks, pictures, ids, labels)
    return Stream(name, chunks, (*listing.report, line), pictures)


def _named_stream(
    file: CsvFile, named: NamedImages, shape: Sequence[int], config: Any, source: Any, roles: Roles
) -> Stream:
    """Returns image files to predict that a CSV file names."""
    named = named.settled(file, config.files)
    rows = rows_to_predict(file, named, roles)
    pictures = _to_predict(rows.files, shape, config, file.where)
    ids, notes = rows.ids, named.report
    if ids is None:
        ids, line = ids_of(rows.names, sample_beside(config, source))
        notes = (*notes, line)
    return Stream(file.where, partial(picture_chunks, pictures, ids, rows.labels), notes, pictures)


def _to_predict(files: Sequence[Picture], shape: Sequence[int], config: Any, where: str) -> Pictures:
    """Returns image files that become samples as those trained on are; none is left out.

    Raises:
        DataError: Those trained on are no image files, and of another shape.
    """
    image = _image_of_trained(shape, where)
    if not are_image_files(config) and (found := image_of(files, None, where)) != image:
        raise DataError(f"{where}: images of {list(found)}, and those trained on have {list(image)}.")
    return Pictures(tuple(files), image, config.fit, config.resample, False, where)


def _unknown(path: Path, what: str, kinds: str) -> DataError:
    """Returns what is said of a file that is no source."""
    if other := kind_of(path, takes=("table", "arrays")):
        return DataError(f"{shown_path(path)} {other.told('data')}")
    return DataError(f"{shown_path(path)}: {what} of file that is not known here. Give {kinds}.")


def _part(train: Any, name: str) -> str | Path:
    """Returns `images` or `labels` of a mapping or an object."""
    value = train.get(name) if isinstance(train, Mapping) else getattr(train, name, None)
    if not isinstance(value, (str, Path)):
        raise DataError(f"data.train.{name} is {value!r}, where a file is needed. Give {_KINDS}.")
    return value


def _own_id(file: CsvFile, config: Any) -> str | None:
    """Returns the id column of the training data; None where other rows alone have it."""
    if config.id is None or config.id in file.names():
        return config.id
    others = (csv_of(config.test, config, "test"), csv_of(config.validation, config))
    if any(config.id in (known_names(other) or ()) for other in others):
        return None
    return config.id  # which the reading of the file refuses
