"""Describes the package for an index. All else is in setup.cfg and pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

INSTALL = """
## Install

```bash
pip install "kerasgrid[tensorflow]"   # or tensorflow-cpu, or jax; without, where a backend is there already
```
"""


def description() -> str:
    """Returns what README.md says to those without the repository: links as their texts, no pictures."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https:)[^)]*\)\n+", "", text)
    text = re.sub(r"\[([^]]*)\]\((?!https:)[^)]*\)", r"\1", text)
    about, *chapters = re.split(r"(?m)^(?=## )", text)
    tour = next(chapter for chapter in chapters if chapter.startswith("## The tour"))
    return "\n".join([about.rstrip(), INSTALL, tour])


if __name__ == "__main__":
    from setuptools import setup

    setup(long_description=description())
