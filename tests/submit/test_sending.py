"""Submitting with Kaggle's real client to a service on loopback."""

from __future__ import annotations

import json

import pytest
from service import CUT, HANG, TOKEN, Answer, Lost

from kerasgrid.errors import KerasgridError, ServiceError
from kerasgrid.submit import ledger as sent
from kerasgrid.submit.client import Client
from kerasgrid.submit.ledger import Ledger, refresh
from kerasgrid.submit.sending import draft_of, submit

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_process")]


@pytest.fixture
def send(run, service, monkeypatch):
    """Sends the run's submission; `send.told` are the lines for the user."""
    monkeypatch.setattr(sent, "FIRST_POLL_S", 0.05)

    def sending(**options):
        paths, draft = draft_of(run.json, "digits", "first try")
        sending.told.clear()
        return submit(paths, draft, sending.told.append, **options)

    sending.told = []
    return sending


def hurry(monkeypatch, name):
    """Gives the service little time for an answer to one question."""
    ask = getattr(Client, name)

    def hurried(client, *arguments):
        client._timeout_s = 0.3
        return ask(client, *arguments)

    monkeypatch.setattr(Client, name, hurried)


def entries(run):
    return json.loads(run.submissions.read_text())["submissions"]


def refused(send, **options):
    with pytest.raises(ServiceError) as caught:
        send(**options)
    return str(caught.value)


def test_a_submission_is_sent_once_and_followed(send, run, service):
    service.n_pending = 3
    entry = send(wait_s=30)
    assert (entry.status, entry.public_score, entry.ref) == ("complete", "0.99571", 100)
    assert service.uploads == [run.submission.read_bytes()]
    assert service.count("CreateSubmission") == 1
    (kept,) = entries(run)
    assert kept["sha256"] == entry.sha256
    assert kept["message"] == "first try"
    assert send.told == [
        "results/grid/submission.csv: checked against data/sample_submission.csv",
        "digits: 1 submission today, 4 left",
        "digits: submission.csv is submitted (ref 100)",
    ]
    with pytest.raises(KerasgridError, match=r"this very file was sent to digits on .*0\.99571.*--again"):
        send()
    send(again=True)
    assert service.count("CreateSubmission") == 2
    assert [one["ref"] for one in entries(run)] == [100, 101]


def test_a_dry_run_does_all_but_send(send, run, service, home):
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "kaggle.json").write_text("{}")
    (home / ".kaggle" / "kaggle.json").chmod(0o644)
    assert send(dry_run=True) is None
    assert send.told[1].startswith(f"Warning: {home}/.kaggle/kaggle.json can be read by other users")
    assert send.told[-1] == "Dry run: nothing was sent."
    assert not {"StartSubmissionUpload", "PUT", "CreateSubmission"} & set(service.calls)
    assert not run.submissions.exists()


RULES = "You must accept this competition's rules before you'll be able to submit"
NOTEBOOKS = "This competition only accepts Submissions from Notebooks"


@pytest.mark.parametrize(
    ("call", "answer", "message"),
    [
        ("StartSubmissionUpload", Answer(403, RULES), "competitions/digits/rules and call the same again"),
        ("StartSubmissionUpload", Answer(403, NOTEBOOKS), "written by: kerasgrid export results/NAME.json"),
        ("GetSubmissionLimits", Answer(404, "Not found"), "digits: Kaggle knows no such competition"),
        (
            "StartSubmissionUpload",
            Answer(429, "Too Many Requests", {"Retry-After": "7"}),
            "Wait 7 s and call",
        ),
        (
            "CreateSubmission",
            Answer(400, "Daily submission limit exceeded"),
            "days of Kaggle begin at midnight",
        ),
        ("PUT", Answer(403, "Forbidden"), "Kaggle's storage has not taken the file"),
    ],
)
def test_refusals_end_in_words_and_nothing_is_submitted(send, run, service, call, answer, message):
    service.answers[call] = [answer]
    told = refused(send)
    assert message in told
    assert "secret-upload-url" not in told
    assert service.submissions == []
    assert service.count("CreateSubmission") == (call == "CreateSubmission")
    if call != "GetSubmissionLimits":
        assert told.endswith("Nothing was submitted.")
        assert entries(run)[0]["status"] == "failed"
        del service.answers[call]
        assert send().status == "complete"
        assert service.count("CreateSubmission") <= 2
        assert len(service.submissions) == 1


def test_what_the_service_says_beforehand(send, run, service):
    service.competition["isKernelsSubmissionsOnly"] = True
    assert "kerasgrid export results/NAME.json --to notebook" in refused(send)
    service.competition = {"ref": "digits", "submissionsDisabled": True}
    assert "takes no submissions now" in refused(send)
    service.competition = {"ref": "digits"}
    service.limits = {"numToday": 5, "numTotal": 9, "numAllowedNow": 0}
    assert "the limit of submissions is reached" in refused(send)
    service.limits["limitedByTotal"] = True
    assert "has used all submissions" in refused(send)
    service.limits = {"numToday": 0, "numTotal": 0, "numAllowedNow": 0}  # of no team yet
    assert send().status == "complete"
    assert service.count("CreateSubmission") == 1


def test_a_client_that_cannot_ask_for_the_limits_sends_all_the_same(send, monkeypatch):
    monkeypatch.setattr(Client, "limits", lambda client: None)
    assert send().status == "complete"
    assert (
        "How many submissions are left is not known: Kaggle's client asks from version 2.2 on." in send.told
    )


def test_reading_is_tried_again_after_a_fault_that_passes(send, service, monkeypatch):
    monkeypatch.setattr("kerasgrid.submit.client._FIRST_PAUSE_S", 0.01)
    service.answers["GetSubmissionLimits"] = [Answer(503, "busy"), CUT, None]
    assert send().status == "complete"
    assert service.count("GetSubmissionLimits") == 3
    assert service.count("CreateSubmission") == 1


def test_what_only_helps_may_fail(send, service, monkeypatch):
    monkeypatch.setattr("kerasgrid.submit.client._FIRST_PAUSE_S", 0.01)
    service.answers = {"GetCompetition": [Answer(500, "x")], "GetSubmissionLimits": [Answer(500, "y")]}
    assert send().status == "complete"
    assert send.told[1].startswith("How many submissions are left is not known: digits: Kaggle has a fault")


@pytest.mark.parametrize("answer", [Lost(), Answer(500, "Internal error", and_do=True)])
def test_a_submission_whose_answer_is_lost_is_found_in_the_list(send, run, service, answer):
    service.answers["CreateSubmission"] = [answer]
    assert send().status == "complete"
    assert service.count("CreateSubmission") == 1
    assert entries(run)[0]["ref"] == 100


def test_a_submission_that_may_have_arrived_is_looked_for_first(send, run, service, monkeypatch):
    service.answers["CreateSubmission"] = [Answer(500, "Internal error"), None]
    told = refused(send)
    assert "Whether the submission arrived is not known" in told
    assert entries(run)[0]["status"] == "sending"
    assert "Kaggle does not list it yet" in refused(send)
    assert service.count("CreateSubmission") == 1
    # It had arrived after all.
    service.answer("CreateSubmission", {"submissionDescription": "first try"})
    with pytest.raises(KerasgridError, match="this very file was sent"):
        send()
    assert service.count("CreateSubmission") == 1
    # It never comes.
    service.submissions.clear()
    ledger = Ledger(run.submissions)
    ledger.put(0, type(ledger.entries[0])(**{**entries(run)[0], "status": "sending", "ref": None}))
    monkeypatch.setattr(sent, "SETTLES_S", -1)
    assert send().status == "complete"
    assert [one["status"] for one in entries(run)] == ["failed", "complete"]
    assert service.count("CreateSubmission") == 2


def test_an_upload_that_is_cut_is_gone_on_with_or_given_up(send, run, service, monkeypatch):
    service.answers["PUT"] = [CUT, None]
    assert send(timeout_s=20).status == "complete"
    assert len(service.submissions) == 1
    service.answers["PUT"] = [CUT]
    hurry(monkeypatch, "upload")
    told = refused(send, again=True)
    assert "Kaggle gave no answer within 0.3" in told
    assert told.endswith("Nothing was submitted.")
    assert len(service.submissions) == 1
    assert [one["status"] for one in entries(run)] == ["complete", "failed"]


def test_a_slow_service_is_not_waited_for_for_ever(send, run, service, monkeypatch):
    service.answers["CreateSubmission"] = [HANG]
    hurry(monkeypatch, "create")
    told = refused(send)
    assert "Kaggle gave no answer within 0.3 s, while submitting the uploaded file" in told
    assert "Whether the submission arrived is not known" in told
    assert service.count("CreateSubmission") == 1


def test_the_grace_begins_where_the_answer_was_lost_not_with_the_upload(send, run, service):
    service.answers["CreateSubmission"] = [Answer(500, "Internal error")]
    refused(send)
    data = json.loads(run.submissions.read_text())
    data["submissions"][0]["time"] = "2026-01-01T00:00:00+00:00"
    run.submissions.write_text(json.dumps(data))
    told = refused(send)
    assert "Kaggle does not list it yet. Give the command again in 1" in told  # 120 s, or a little less
    assert service.count("CreateSubmission") == 1


def test_an_interrupted_submission_has_all_of_the_grace(send, run, service, monkeypatch):
    def interrupted(client, message):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Client, "create", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send(timeout_s=3000)
    (entry,) = Ledger(run.submissions).entries
    assert (entry.status, entry.step) == ("sending", "submit")
    assert abs(entry.age_s) < 60
    assert "Kaggle does not list it yet" in refused(send)


def test_after_a_kill_the_grace_begins_where_the_answer_would_have_been_given_up(send, run, monkeypatch):
    seen = []

    def look(client, message):
        seen.extend(Ledger(run.submissions).entries)
        raise ServiceError("x", "slow")

    monkeypatch.setattr(Client, "create", look)
    refused(send, timeout_s=500)
    assert -501 < seen[0].age_s < -440


def test_what_was_given_up_and_arrived_late_is_not_sent_again(send, run, service, monkeypatch):
    service.answers["CreateSubmission"] = [Answer(500, "Internal error")]
    refused(send)
    monkeypatch.setattr(sent, "SETTLES_S", -1)
    (entry,) = refresh(run, 20)
    assert (entry.status, entry.error) == ("failed", "cut off before it arrived")
    service.answer("CreateSubmission", {"submissionDescription": "first try"})
    with pytest.raises(KerasgridError, match="this very file was sent"):
        send()
    assert service.count("CreateSubmission") == 1


def test_what_another_run_has_given_up_is_looked_for_too(send, run, service, monkeypatch):
    """As after search --fresh, which moves the old run aside."""
    service.answers["CreateSubmission"] = [Answer(500, "Internal error")]
    refused(send)
    monkeypatch.setattr(sent, "SETTLES_S", -1)
    refresh(run, 20)
    aside = run.submissions.parent.with_name("grid.1")
    aside.mkdir()
    run.submissions.rename(aside / run.submissions.name)
    service.answer("CreateSubmission", {"submissionDescription": "first try"})
    with pytest.raises(KerasgridError, match="this very file was sent"):
        send()
    assert service.count("CreateSubmission") == 1


def test_what_was_never_asked_for_takes_no_other_submission(send, run, service, monkeypatch):
    """A file whose upload was cut, and then a second one of its name and message whose answer was lost."""
    service.answers["StartSubmissionUpload"] = [Answer(500, "Internal error"), None]
    refused(send)
    data = json.loads(run.submissions.read_text())
    data["submissions"][0] |= {"status": "sending", "sha256": "0" * 64}  # as after a kill
    run.submissions.write_text(json.dumps(data))
    service.answers["CreateSubmission"] = [Answer(500, "Internal error")]
    refused(send)
    service.answer("CreateSubmission", {"submissionDescription": "first try"})
    first, second = refresh(run, 20)
    assert (first.status, first.ref) == ("failed", None)
    assert (second.status, second.ref) == ("complete", 100)


def test_a_submission_that_cannot_be_scored(send, run, service):
    service.outcome = {"status": "ERROR", "errorDescription": "Evaluation: column Label is missing"}
    told = refused(send, wait_s=10)
    assert "Kaggle could not score it (Evaluation: column Label is missing)" in told
    assert entries(run)[0]["status"] == "error"


def test_a_submission_that_was_said_to_be_made_and_is_not_listed(send, run, service, monkeypatch):
    service.answers["CreateSubmission"] = [Answer(200, "Successfully submitted to Digits")]
    assert send().status == "pending"
    assert service.submissions == []
    monkeypatch.setattr(sent, "SETTLES_S", -1)
    (entry,) = refresh(run, 20)
    assert (entry.status, entry.error) == (
        "failed",
        "Kaggle said that it was submitted, and does not list it",
    )
    assert refused(send, wait_s=5).endswith("does not list it. Is the limit of the day reached?")


def test_scores_that_come_later(send, run, service):
    service.n_pending = 1000
    assert send(wait_s=0.2).status == "pending"
    assert send.told[-1].startswith("No score after 0.2 s. Ask for its score later")
    service.n_pending = 0
    service.outcome = {"status": "COMPLETE", "publicScore": "0.9", "privateScore": "0.8"}
    (entry,) = refresh(run, 20)
    assert (entry.status, entry.public_score, entry.private_score) == ("complete", "0.9", "0.8")


def test_a_question_for_the_score_that_is_refused_is_told(send, run, service):
    service.n_pending = 1000
    service.answers["ListSubmissions"] = [None, None, Answer(401, "Unauthenticated")]
    told = refused(send, wait_s=30)
    assert told.startswith("Kaggle refuses the credentials (401: Unauthenticated)")
    assert told.endswith("It is submitted. Ask for its score later: kerasgrid submissions RESULTS --refresh")
    assert entries(run)[0]["status"] == "pending"


def test_why_no_score_came_is_told(send, service):
    service.n_pending = 1000
    service.answers["ListSubmissions"] = [None, None, Answer(429, "Too Many Requests")]
    assert send(wait_s=0.4).status == "pending"
    assert send.told[-1].startswith("No score after 0.4 s (Kaggle answered 429 when it was last asked). Ask")


def test_a_token_that_lies_across_the_cut_is_starred_whole(send, run, service):
    service.answers["CreateSubmission"] = [Answer(400, "x" * 490 + TOKEN)]
    told = refused(send)
    assert "x***" in told
    assert "KGAT" not in told + run.submissions.read_text()


def test_two_at_once_and_a_file_that_is_none(send, run, service):
    from kerasgrid.errors import DataError, LockedError
    from kerasgrid.submit.ledger import held_alone

    with held_alone(run), pytest.raises(LockedError, match="another kerasgrid submit is sending"):
        send()
    run.submission.write_text("ImageId,Label\n1,7\n2,x\n")
    with pytest.raises(DataError, match="line 3, column 'Label': 'x' is no class; known: 0 to 9"):
        send()
    assert service.calls == []
