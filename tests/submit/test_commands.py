"""submit and submissions as their user sees them."""

from __future__ import annotations

import shutil
from functools import partial
from subprocess import CompletedProcess

import pytest
import running
from service import Answer

from kerasgrid.submit import ledger


@pytest.fixture
def kerasgrid(monkeypatch, capfd):
    """Runs the command line in this process, where an error without words of its own would come out."""

    def told(*arguments):
        code = running.run(monkeypatch, *arguments)
        done = CompletedProcess(arguments, code, *capfd.readouterr())
        assert "Traceback" not in done.stderr
        return done

    return told


@pytest.fixture
def submit(kerasgrid):
    return partial(kerasgrid, "submit", "results/grid.json", "-c", "digits", "-m", "a [bold]try[/bold]")


def test_submit_wait_and_list(run, service, shared_process, kerasgrid, submit, monkeypatch):
    monkeypatch.setattr(ledger, "FIRST_POLL_S", 0.05)
    service.n_pending = 2
    done = submit("--wait")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "results/grid/submission.csv: checked against data/sample_submission.csv",
        "digits: 1 submission today, 4 left",
        "digits: submission.csv is submitted (ref 100)",
        "digits: public/private score 0.99571 / -",
    ]
    again = submit()
    assert again.returncode == 1
    assert "this very file was sent to digits" in again.stderr
    shutil.copytree(run.folder, run.results / "grid.1")  # as search --fresh moves a run aside
    run.submissions.unlink()
    assert "this very file was sent to digits" in submit().stderr
    (run.results / "grid.1" / "submissions.json").rename(run.submissions)
    assert service.count("CreateSubmission") == 1
    listed = " ".join(kerasgrid("submissions", "results/grid.json").stdout.split())
    assert "digits a [bold]try[/bold] complete 0.99571 / -" in listed
    service.outcome = {"status": "COMPLETE", "publicScore": "0.9", "privateScore": "0.8"}
    assert "0.9 / 0.8" in kerasgrid("submissions", "results/grid.json", "--refresh").stdout


def test_every_refusal_has_an_exit_code_and_no_traceback(run, service, shared_process, kerasgrid, submit):
    service.answers["GetSubmissionLimits"] = [Answer(403, "You must accept the rules")]
    done = submit()
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "competitions/digits/rules" in done.stderr
    assert kerasgrid("submit", "results/grid.json", "-m", "x").returncode == 2
    assert "'soon' is no time" in submit("--wait-limit", "soon").stderr
    assert kerasgrid("submissions", "results/none.json").returncode == 1
    listed = kerasgrid("submissions", "results/grid.json")
    assert listed.stdout.startswith("Nothing was sent yet. Next:\n  kerasgrid submit results/grid.json -c")


@pytest.mark.usefixtures("home")
def test_a_dry_run_without_credentials_checks_the_file(run, submit):
    done = submit("--dry-run")
    assert done.returncode == 0
    assert "Kaggle was not asked: no credentials for Kaggle" in done.stdout
    assert submit().returncode == 1
    run.submission.write_text("ImageId,Label\n1,7\n2,2\n")
    done = submit("--dry-run")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "results/grid/submission.csv: 2 rows, and data/sample_submission.csv has 3.",
        "results/grid/submission.csv: id '3' is missing (data/sample_submission.csv, line 4).",
    ]
