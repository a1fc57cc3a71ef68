"""What messages show, and what they do not."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.errors import ConfigError
from kerasgrid.wording import masked, shown_path, value_word

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=4, max_size=20)
ODBC = "mssql+pyodbc:///?odbc_connect"
FORMS = [
    "postgresql://user:{}@host/database",
    "mysql+pymysql://user:{}@host:3306/database?charset=utf8",
    "http://user:{}@host:5000",
    "postgresql://:{}@[::1]/database",
    "postgresql://host/database?user=me&password={}",
    "https://host/path?token={}",
    "https://host/path?api_key={}&page=2",
    "https://host/path?x=1&X-Amz-Signature={}",
]
MESSAGES = [
    "cannot connect to {url}: refused",
    "Could not parse SQLAlchemy URL from string '{url}'",
    '(psycopg.OperationalError) could not translate host name "{end}host" to an address',
    "Max retries exceeded with url: /api?token={secret} (Caused by ProxyError)",
    "FATAL: the password {secret} is wrong",
]


@pytest.mark.parametrize("form", FORMS)
@given(secret=PASSWORDS)
@example("se/cret")
@example("p@ss")
@example("a:b@c/d?e=f@g h'i\"j")
@example("12345")
@example("://@")
@example("a%40b+c")
def test_no_secret_of_a_url_is_shown_by_itself_or_in_a_message(form, secret):
    is_named = "={}" in form
    spellings = [
        quote(secret, safe=""),
        quote_plus(secret),
        *([] if is_named and "&" in secret else [secret]),
    ]
    for written in spellings:
        url = form.format(written)
        assume(secret not in form and written not in form)
        shown = masked(url)
        assert secret not in shown
        assert written not in shown
        assert "***" in shown
        end = secret.rpartition("@")[2]
        for message in MESSAGES:
            plain = message.format(url="", end="@", secret="")
            assume(
                not {secret, written} & {plain[i : i + len(s)] for s in (secret, written) for i in range(99)}
            )
            told = masked(message.format(url=url, end=f"{end}@", secret=secret), url)
            assert secret not in told
            assert written not in told
            if "@" in secret and len(end) > 3 and not is_named and written == secret:
                assert f"{end}@" not in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:se/cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@ss@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:cut#off", "postgresql://u:***"),
        ("mysql://u:@h/x", "mysql://u:***@h/x"),
        (f"{ODBC}=DRIVER%3Dx%3BPWD%3Dsecret", f"{ODBC}=***"),
        (f"{ODBC}=Driver%3D%7Bx+y%7D%3BPassword%3Dse%3Dcret%3B&a=1", f"{ODBC}=***&a=1"),
        (f"{ODBC}=DRIVER%253Dx%253BPWD%253Dsecret", f"{ODBC}=***"),
        (f"{ODBC}=DRIVER={{x y}};SERVER=h;PWD=secret;UID=u", f"{ODBC}=DRIVER={{x y}};SERVER=h;PWD=***"),
        (f"{ODBC}=PWD=secret;Password=secret", f"{ODBC}=***"),
        (f"{ODBC}=DRIVER%3Dx%3BPWD=secret", f"{ODBC}=***"),
        (f"{ODBC}=DRIVER%3Dx%3BUID%3Du", f"{ODBC}=DRIVER%3Dx%3BUID%3Du"),
        (f"no {ODBC}=DRIVER%3Dx%3BPWD%3Dsecret there", f"no {ODBC}=*** there"),
        (f"no {ODBC}=DRIVER=x;PWD=secret;Password=secret;", f"no {ODBC}=DRIVER=x;PWD=***;Password=***;"),
        ("DRIVER={x};PWD={a b;c};UID=u", "DRIVER={x};PWD=***;UID=u"),
        ("https://token@host/x", "https://***@host/x"),
        (
            "neither postgresql://u:p@h/d nor http://a:b@c/?pwd=x with password=foo",
            "neither postgresql://u:***@h/d nor http://a:***@c/?pwd=*** with password=***",
        ),
        *(
            (harmless, harmless)
            for harmless in (
                *("postgresql://user@host:5432/database?sslmode=require", "http://host:5000/path#part"),
                *("sqlite:///folder/a@b.db#study@home", "http://[::1]:5000", "a: key of b, x=1 y@z"),
                *("http://host: refused", "http://host:5000: refused"),
            )
        ),
    ],
)
def test_what_is_no_secret_stays(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    "held", ["DRIVER%3Dx%3BPWD%3Dse+cret%3BUID%3Du", "DRIVER=x;PWD=se cret;UID=u", "PWD={se cret}"]
)
def test_a_password_within_a_value_of_a_url_is_masked_in_a_message_about_it(held):
    told = masked("Login failed for u with se cret (se+cret, se%20cret)", f"{ODBC}={held}")
    assert "cret" not in told


@given(
    st.sampled_from(["me", "a b", None]), PASSWORDS, st.sampled_from(["host", "::1"]), st.none() | st.just(9)
)
def test_urls_that_sqlalchemy_writes_are_shown_as_it_shows_them(user, password, host, port):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = sqlalchemy.URL.create("postgresql", user, password if user else None, host, port, "db")
    assert masked(url.render_as_string(hide_password=False)) == url.render_as_string(hide_password=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (16, "16"),
        ("16", "'16'"),
        ("1e-3", "'1e-3'"),
        (".5", "'.5'"),
        (True, "true"),
        ("true", "'true'"),
        (None, "null"),
        ("null", "'null'"),
        ("", "''"),
        (" a", "' a'"),
        ("[1]", "'[1]'"),
        ([1, "1"], "[1, '1']"),
        (0.001, "0.001"),
        ("Adam", "Adam"),
        ("two words", "two words"),
        ("off", "off"),
        ("3x3", "3x3"),
    ],
)
def test_a_text_and_what_it_could_be_read_as_are_shown_differently(value, shown):
    assert value_word(value) == shown


@example("#")
@example("1 # one")
@example("--- 1")
@example("...")
@given(st.text(max_size=8) | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["true", "~"]))
def test_no_text_is_shown_as_a_number_or_a_switch_is(text):
    try:
        read = read_yaml(text, "")[0]
    except ConfigError:
        return
    assert not isinstance(read, int | float | None) or value_word(text) != text


def test_a_path_is_shown_without_what_it_takes_back(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "grids").mkdir()
    (tmp_path / "data/train.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "grids/../data/train.csv") == str(Path("data/train.csv"))
    assert shown_path("grids/../data/gone.csv") == str(Path("grids/../data/gone.csv"))
