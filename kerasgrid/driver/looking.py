"""A look at the data of a grid.yaml, before any model: the page that `kerasgrid plot --data` writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerasgrid.checks.data import data_of
from kerasgrid.checks.draft import Draft, read_draft
from kerasgrid.checks.samples import look_at, warnings_of_samples
from kerasgrid.data.pictures import Decoder, Pictures
from kerasgrid.data.sources import find_source
from kerasgrid.io import write_text
from kerasgrid.records import not_told
from kerasgrid.report.samples import SamplesPage, Sizes
from kerasgrid.views.pages import page_path


def write_data_page(
    source: Path, output: Path | None = None, doing: Callable[[str], None] = not_told
) -> Path:
    """Writes a page of samples of each class, of how many there are, and of what is odd about them.

    Args:
        source: The grid.yaml; its model need not be there yet.
        output: The file; default: NAME.data.html beside the grid.yaml.
        doing: Is told how far the decoding of image files is.

    Returns:
        The file.

    Raises:
        ConfigError: The file's faults that are of its data.
        ResultsError: The output is no name of a page.
    """
    target = page_path([source], output, ending=".data.html")
    draft = read_draft(source)
    data = data_of(draft, doing=doing)
    draft.report.finish()
    assert data is not None  # else there were a fault of it
    look = look_at(draft.data, data, doing)
    told = warnings_of_samples(draft.config, data, look)
    page = SamplesPage(
        draft.config.name or source.stem,
        data,
        look.seen,
        told,
        _sizes(draft),
        look.left_out,
        look.name,
        look.name_of_test,
        draft.config.search.seed,
    )
    write_text(target, page.html())
    return target


def _sizes(draft: Draft) -> Sizes | None:
    """Returns the sizes of image files, as their headers tell them; None where samples are none."""
    source = find_source(draft.data)
    if not source.decodes:
        return None
    pictures = source.read().images
    assert isinstance(pictures, Pictures)  # as `decodes` tells
    with Decoder(pictures) as decoder:
        found = [decoder.size(picture) for picture in pictures.files]
    sizes = [size for size in found if size is not None]
    return Sizes(np.array([size for size, _ in sizes], dtype=np.int64).reshape(-1, 2), len(found))
