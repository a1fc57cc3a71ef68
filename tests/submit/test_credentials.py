"""Credentials: where they are looked for, what is said of them, and what the client makes of wrong ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from service import TOKEN, Answer, skip_without_client

from kerasgrid.errors import MissingPackageError, ServiceError
from kerasgrid.submit.client import Client
from kerasgrid.submit.refusals import MISSING, find_credentials

pytestmark = pytest.mark.slow


def key_file(folder, mode=0o600, key=TOKEN):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kaggle.json"
    path.write_text(json.dumps({"username": "somebody", "key": key}))
    path.chmod(mode)
    return path


def test_places_in_the_order_in_which_they_are_taken(home, monkeypatch, tmp_path):
    with pytest.raises(ServiceError, match=r"no credentials for Kaggle.*/settings/api.*access_token"):
        find_credentials()
    xdg = key_file(home / ".config" / "kaggle")
    assert find_credentials().places == (str(xdg),)
    key = key_file(home / ".kaggle")  # once there, the other folder is not looked at
    assert find_credentials().places == (str(key),)
    other = key_file(tmp_path / "elsewhere")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(other.parent))
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", TOKEN)
    (home / ".kaggle" / "access_token").write_text(TOKEN)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert find_credentials().places == (
        "KAGGLE_API_TOKEN",
        str(home / ".kaggle" / "access_token"),
        "KAGGLE_USERNAME and KAGGLE_KEY",
        str(other),
    )


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_files_that_others_can_read_draw_a_warning(home, mode, is_warned):
    path = key_file(home / ".kaggle", mode)
    expected = (
        f"Warning: {path} can be read by other users of this machine. Keep it to yourself: chmod 600 {path}"
    )
    assert find_credentials().warnings == ((expected,) if is_warned else ())


def test_a_token_may_be_a_file_and_notebooks_of_kaggle_have_one(home, monkeypatch):
    (home / "token").write_text(TOKEN)
    (home / "token").chmod(0o644)
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(home / "token"))
    assert find_credentials().warnings[0].startswith(f"Warning: {home / 'token'} can be read by other users")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x" * 5000)
    assert find_credentials().warnings == ()
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("KAGGLE_API_V1_TOKEN", str(home / "token"))
    assert find_credentials().places == ("KAGGLE_API_V1_TOKEN",)


def asked(message=None):
    with Client("digits", 20) as client:
        if message is None:
            return client.limits()
        with pytest.raises(ServiceError) as caught:
            client.limits()
        assert message in str(caught.value)
        return str(caught.value)


def test_a_key_is_taken_and_a_wrong_one_is_told(service, home, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    path = key_file(home / ".kaggle")
    assert asked()["allowed"] == 4
    service.answers["GetSubmissionLimits"] = [Answer(403, f"the key {TOKEN} may not")]
    asked("(403: the key *** may not)")
    service.answers.clear()
    key_file(home / ".kaggle", key="wrong-key-1234")
    told = asked(f"Kaggle refuses the credentials (401: Unauthenticated) of {path}.")
    assert "wrong-key" not in told


def test_a_wrong_token_breaks_a_right_key_which_is_told(service, home, monkeypatch):
    path = key_file(home / ".kaggle")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong-token-1234")
    told = asked("Kaggle refuses the credentials (401: Unauthenticated) of KAGGLE_API_TOKEN.")
    assert f"It comes before {path}, and is not passed over where it is wrong" in told
    assert "wrong-token" not in told
    path.unlink()
    told = asked("Kaggle refuses the credentials of KAGGLE_API_TOKEN.")  # the client ends its process
    assert "wrong-token" not in told


def test_no_network_is_told(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("kerasgrid.submit.client._TRIES", 1)
    asked("the connection to Kaggle was cut, or cannot be made (ProxyError)")


def test_a_client_that_is_not_installed_is_told(home, monkeypatch, tmp_path):
    (tmp_path / "kaggle.py").write_text("raise ImportError('No module named kaggle')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    with (
        Client("digits", 20) as client,
        pytest.raises(MissingPackageError, match=r'pip install "kerasgrid\[kaggle\]"'),
    ):
        client.limits()


def test_a_client_that_is_too_old_is_told_with_what_is_needed(home, monkeypatch, tmp_path):
    """1.7, which Colab and Kaggle have in 2026, knows no tokens, and cannot ask about a competition."""
    setup = (Path(__file__).parents[2] / "setup.cfg").read_text(encoding="utf-8")
    assert f"the package kaggle, {re.search('kaggle>=([0-9.]+)', setup)[1]} or newer." in MISSING
    (tmp_path / "kagglesdk").mkdir()
    for name in ("__init__", "kaggle_env"):
        (tmp_path / "kagglesdk" / f"{name}.py").touch()
    (tmp_path / "kaggle-1.7.4.5.dist-info").mkdir()
    (tmp_path / "kaggle-1.7.4.5.dist-info" / "METADATA").write_text("Name: kaggle\nVersion: 1.7.4.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    with Client("digits", 20) as client, pytest.raises(MissingPackageError) as caught:
        client.limits()
    assert str(caught.value).startswith(f"{MISSING} (kaggle 1.7.4.5 is installed: cannot import name ")


def test_a_client_that_never_returns_from_its_import_is_killed(home, monkeypatch, tmp_path):
    skip_without_client()
    (tmp_path / "kaggle.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    monkeypatch.setattr("kerasgrid.submit.client._START_S", 0)
    with (
        Client("digits", 1) as client,
        pytest.raises(ServiceError, match=r"no answer within 1 s.*--timeout SECONDS"),
    ):
        client.limits()
