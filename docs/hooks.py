"""Pages of the site that lie outside docs/, links that leave docs/, and folders in the navigation.

A link is written as GitHub follows it, relative to its file. Where it leads to one of `COPIED`, the site has
that page; where it leads to anything else outside docs/, the site shows the path and links nothing.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

COPIED = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"(?<!!)\[(?P<text>[^]\[]*)\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages of a folder in the place of the folder, where the navigation ends one in a slash."""
    config.nav = _listed(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie outside docs/."""
    root = posixpath.dirname(config.config_file_path)
    for origin, page in COPIED.items():
        files.append(File.generated(config, page, abs_src_path=posixpath.join(root, origin)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Gives a page with its links that leave docs/ as the site has them."""
    lies = {page: origin for origin, page in COPIED.items()}
    here = page.file.src_uri
    folder = posixpath.dirname(lies.get(here, f"docs/{here}"))

    def mended(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if path in COPIED:
            there = COPIED[path]
        elif path.startswith("docs/"):
            there = path.removeprefix("docs/")
        else:
            return f"{link['text']} (`{path}`)" if link["text"].strip("`") != path else f"`{path}`"
        there = posixpath.relpath(there, posixpath.dirname(here) or ".")
        return f"[{link['text']}]({there}{link['anchor'] or ''})"

    return LINK.sub(mended, markdown)


def _listed(entry: Any, docs: Path) -> Any:
    if isinstance(entry, list):
        return [_listed(one, docs) for one in entry]
    if isinstance(entry, dict):
        return {title: _listed(one, docs) for title, one in entry.items()}
    if entry.endswith("/"):
        return [page.relative_to(docs).as_posix() for page in sorted((docs / entry).glob("*.md"))]
    return entry
