"""A made-up token is nowhere but where the user has put it; and killed processes send nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from service import HANG, TOKEN, Answer, Stuck, wait_for

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from kerasgrid.cli import main; main()"]
SUBMIT = ("submit", "results/grid.json", "-c", "digits", "-m", "first try")
ARE_PROCESSES_SHOWN = Path("/proc/self/cmdline").exists()


def begin(*arguments, **environment):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERASGRID_TRACEBACK": "1", **environment},
    )


def done(*arguments, **environment):
    process = begin(*arguments, **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def assert_kept_secret(folder, *texts):
    for text in texts:
        assert TOKEN not in text
    for path in folder.rglob("*"):
        assert TOKEN not in path.name
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def test_the_token_is_nowhere_after_success_and_failures(run, service):
    """In no file beside the home folder, nothing printed, and no traceback, which is asked for."""
    answers = [
        ("StartSubmissionUpload", Answer(403, f"Token {TOKEN} may not do this")),
        ("GetSubmissionLimits", Answer(401, f"Bearer {TOKEN} is expired")),
        ("CreateSubmission", Answer(500, f"failed for {TOKEN}")),
        ("PUT", Answer(500, TOKEN)),
    ]
    work = run.results.parent
    for call, answer in answers:
        service.answers = {call: [answer]}
        code, out, err = done(*SUBMIT, "--again")
        assert code == 1
        assert "ServiceError" in err
        assert_kept_secret(work, out, err)
    assert "Token *** may not do this" in run.submissions.read_text()
    service.answers = {}
    code, out, err = done(*SUBMIT, "--again", "--wait")
    assert (code, err) == (0, "")
    assert out.endswith("digits: public/private score 0.99571 / -\n")
    assert_kept_secret(work, out, err)


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        ("PUT", "failed", "Interrupted. Nothing was submitted."),
        ("CreateSubmission", "sending", "Interrupted. Whether the submission arrived is not known"),
    ],
)
def test_ctrl_c_ends_it_and_leaves_a_record(run, service, call, status, told):
    service.answers[call] = [HANG]
    process = begin(*SUBMIT)
    wait_for(lambda: call in service.calls)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out.splitlines()[-1].startswith(told)
    (entry,) = json.loads(run.submissions.read_text())["submissions"]
    assert entry["status"] == status
    assert_kept_secret(run.results.parent, out, err)


@pytest.mark.skipif(not ARE_PROCESSES_SHOWN, reason="the system shows no command lines in /proc")
@pytest.mark.parametrize(("call", "answer"), [("PUT", HANG), ("CreateSubmission", Stuck())])
def test_a_process_that_is_killed_sends_nothing_twice(run, service, call, answer):
    """Killed while it uploads, or after the submission has arrived and before that is written down."""
    service.answers[call] = [answer, None]
    process = begin(*SUBMIT)
    wait_for(lambda: call in service.calls)
    lines = list(command_lines())
    assert any(b"spawn_main" in line for line in lines)
    assert not any(TOKEN.encode() in line for line in lines)
    process.kill()
    out, err = process.communicate(timeout=20)
    (entry,) = json.loads(run.submissions.read_text())["submissions"]
    assert (entry["status"], entry["step"]) == ("sending", "upload" if call == "PUT" else "submit")
    service.released.set()
    code, *texts = done(*SUBMIT, KERASGRID_TRACEBACK="")
    assert service.count("CreateSubmission") == 1
    assert len(service.submissions) == 1
    if call == "PUT":
        assert code == 0
    else:
        assert code == 1
        assert "this very file was sent to digits" in texts[1]
        assert "Traceback" not in texts[1]
    assert_kept_secret(run.results.parent, out, err, *texts)
