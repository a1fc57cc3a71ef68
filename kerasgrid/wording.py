"""Numbers and names in plain words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>]*)")
_WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_USER = re.compile(r"[^:/?#]*:(?P<secret>.*)@", re.DOTALL)
"""Of a URL behind its scheme. A password ends at the last @, since it may hold any sign."""
_TOKEN = re.compile(r"(?P<secret>[^:/?#@]+)@")
"""A user alone, who is one for a server of the web."""
_CUT = re.compile(r"[^:/?#\[\]]*:(?P<secret>(?!\d*(?:[/?#:\s]|$)).+)", re.DOTALL)
"""What stands in the place of a port and is none: a password at which the URL was cut off."""
_NAMED = r"(?:passw|passp|pwd|token|secret|key|auth|cred|signature)[\w.-]*"
_NAME = rf"[\w.-]*{_NAMED}="
_HOLDER = (
    r"(?<![^?&\s'\"<>])[\w.-]+="
    rf"(?=[^?&\s'\"<>]*{_NAMED}(?:\+|%20)*%(?:25)*3D|[^?&;\s'\"<>]*{_NAMED}=)"
)
"""A key whose value has such names within it, as that of pyodbc's odbc_connect."""
_IN_URL = re.compile(rf"(?i:(?<=[?&;])(?:{_NAME}|{_HOLDER}))(?P<secret>[^&]+)")
_IN_MESSAGE = re.compile(rf"(?i:(?<![\w.-])(?:{_NAME}|{_HOLDER}))(?P<secret>\{{[^}}]*\}}|[^&#;\s'\"<>)}}]+)")
_WITHIN = re.compile(rf"(?i:(?<![\w.-]){_NAME})(?P<secret>\{{[^}}]*\}}|[^;]+)")
_OTHERWISE = re.compile(
    r"|\s.*|.*\s|[\[{'\"&*!|>%@`#].*|.*\s#.*|(---|\.\.\.)(\s.*)?"
    r"|[+-]?(\d[\d_.]*|\.\d+)(e[+-]?\d+)?|0x[\da-f]+|[+-]?\.?(inf(inity)?|nan)|true|false|null|none|~",
    re.IGNORECASE | re.DOTALL,
)
"""Texts that look like a number or a word of YAML's own, or whose ends cannot be seen."""
_SHORT = 4
"""Secrets of fewer letters are masked in a message where they stand as a word."""
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of what a terminal obeys: control codes, marks that turn the direction of text or join letters,
halves of characters, ends of lines and paragraphs."""


def _escape(letter: str) -> str:
    """Returns a character as Python writes it within quotes: `\\x1b`, `\\u202e`."""
    return letter.encode("unicode_escape").decode()


def count(number: int, noun: str) -> str:
    """Returns `1 trial`, `2 trials`, `12,000 trials`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def joined(parts: Sequence[str], last: str = "and") -> str:
    """Returns `a`, `a and b`, `a, b and c`; `or` likewise."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def listed(names: Sequence[Any], most: int = 5) -> str:
    """Returns `'a', 'b'`; of many names the first ones, and `(20 in all)`."""
    text = ", ".join(repr(name) for name in names[:most])
    return text if len(names) <= most else f"{text}, ... ({len(names):,} in all)"


def value_word(value: Any) -> str:
    """Returns a value as YAML has it: `true`, `relu`, `0.001`; in quotes a text that reads as another."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return repr(value) if _OTHERWISE.fullmatch(value) else value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def named(params: Mapping[str, Any]) -> str:
    """Returns `dropout=0.2, optimizer=Adam`; an empty text where there are none."""
    return ", ".join(f"{name}={value_word(value)}" for name, value in params.items())


def distinct(name: str, taken: Container[str], form: str = "{} ({})") -> str:
    """Returns a name that is not taken: itself, else the first of `name (2)`, `name (3)`, ... that is not."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = form.format(name, number)
    return found


def shown_path(path: str | Path) -> str:
    """Returns a path as messages show it: relative where it lies in the working folder."""
    path = Path(path)
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def shell_word(path: str | Path) -> str:
    """Returns a path as a shell takes it, visible: by bash's `$'...'` where characters have to be escaped."""
    text = str(path)
    if visible_line(text) == text:
        return shlex.quote(text)
    letters = (c if visible_line(c) == c and c not in "\\'" else _bytes_of(c) for c in text)
    return f"$'{''.join(letters)}'"


def _bytes_of(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def masked(text: object, *urls: object) -> str:
    """Returns a URL, or a message about some, as it may be shown: stars for passwords, tokens and keys.

    Where it cannot be told what a password is and what follows it, more is masked rather than less.

    Args:
        text: The URL or the message.
        urls: Those that the message is about, whose secrets are masked in it however they are written.
    """
    shown = str(text)
    spellings = {each for url in urls for secret in _secrets(str(url)) for each in _spellings(secret)}
    for secret in sorted(spellings, key=len, reverse=True):
        word = re.escape(secret)
        shown = re.sub(rf"(?<!\w){word}(?!\w)" if len(secret) < _SHORT else word, "***", shown)
    if whole := _WHOLE_URL.fullmatch(shown):
        return _masked_url(whole, _IN_URL)
    return _IN_MESSAGE.sub(_masked_value, _URL.sub(lambda url: _masked_url(url, _IN_MESSAGE), shown))


def _masked_url(url: re.Match[str], named: re.Pattern[str]) -> str:
    scheme, rest = url.groups()
    found = _user_secret(scheme, rest)
    if found is None:
        return f"{scheme}://{named.sub(_masked_value, rest)}"
    start, end = found.span("secret")
    return f"{scheme}://{rest[:start]}***{named.sub(_masked_value, rest[end:])}"


def _masked_value(named: re.Match[str]) -> str:
    return named[0][: named.start("secret") - named.start()] + "***"


def _user_secret(scheme: str, rest: str) -> re.Match[str] | None:
    """Returns where a password or token stands in what follows a URL's scheme."""
    is_web = scheme.lower() in ("http", "https")
    return _USER.match(rest) or (_TOKEN.match(rest) if is_web else None) or _CUT.match(rest)


def _secrets(url: str) -> list[str]:
    """Returns a URL's secrets; of a password with @, behind which others see a host's name, its ends too."""
    whole = _WHOLE_URL.fullmatch(url)
    if whole is None:
        return []
    found = _user_secret(*whole.groups())
    secrets = [named["secret"] for named in _IN_URL.finditer(url)]
    for part in url.split("&"):
        secrets += [inner["secret"].strip("{}") for inner in _WITHIN.finditer(unquote_plus(part))]
    if found is None:
        return secrets
    ends = [f"{found['secret'][at.end() :]}@" for at in re.finditer("@", found["secret"])]
    return [found["secret"], *ends, *secrets]


def _spellings(secret: str) -> set[str]:
    plain = unquote(secret)
    return {secret, plain, unquote_plus(secret), quote(plain, safe=""), quote(plain), quote_plus(plain)} - {
        ""
    }


def visible(text: str, escape: Callable[[str], str] = _escape) -> str:
    """Returns a text with an escape for each character that a terminal would obey; ends of lines stay.

    Args:
        text: Of one line or several.
        escape: Gives the escape, `\\x1b` or `\\u202e` by default.
    """
    if text.isprintable():
        return text
    return "".join(escape(c) if c != "\n" and unicodedata.category(c) in _OBEYED else c for c in text)


def visible_line(text: str) -> str:
    """Returns a text on one line: visible, and with a space for each stretch of blanks and ends of lines."""
    return visible(" ".join(text.split()))


def visible_json(text: str) -> str:
    """Returns a JSON text of the same value in which nothing would be obeyed."""
    return visible(text, lambda letter: json.dumps(letter)[1:-1])
