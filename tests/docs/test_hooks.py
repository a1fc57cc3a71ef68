"""What the site does to pages and their links."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs", reason="the site is built with the tools of the extra docs")
from mkdocs.config import load_config
from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hooks)


@pytest.mark.parametrize(
    ("page", "link", "mended"),
    [
        ("guides/data.md", "[a](own-model.md#built-in-ones)", "[a](own-model.md#built-in-ones)"),
        ("guides/data.md", "[a](../index.md)", "[a](../index.md)"),
        ("guides/data.md", "[a](../../benchmarks/README.md#packs)", "[a](../benchmarks.md#packs)"),
        ("measured.md", "[a](../CONTRIBUTING.md)", "[a](contributing.md)"),
        ("contributing.md", "[a](docs/learnt.md)", "[a](learnt.md)"),
        ("benchmarks.md", "[a](../README.md)", "a (`README.md`)"),
        ("guides/data.md", "[`scripts/check`](../../scripts/check)", "`scripts/check`"),
        ("index.md", "[a](https://example.org/b)", "[a](https://example.org/b)"),
        ("index.md", "[a](#b) and ![c](kannada_fc.png)", "[a](#b) and ![c](kannada_fc.png)"),
    ],
)
def test_links_that_leave_the_site_are_mended(page, link, mended):
    at = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hooks.on_page_markdown(link, at, None, Files([])) == mended


def test_pages_outside_docs_are_there():
    assert all((ROOT / origin).is_file() for origin in hooks.COPIED)


def test_a_folder_in_the_navigation_is_its_pages():
    config = hooks.on_config(load_config(str(ROOT / "mkdocs.yml")))
    (background,) = [group["Background"] for group in config.nav if "Background" in group]
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert background[-1] == {"Decisions": [f"decisions/{name}" for name in pages]}
