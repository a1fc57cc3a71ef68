"""What Kaggle's refusals read like."""

from __future__ import annotations

import pickle

import pytest

from kerasgrid.errors import DataError, ServiceError
from kerasgrid.submit.refusals import limit_reached, notebooks_only, refusal
from kerasgrid.submit.sending import competition_name

SITE = "https://www.kaggle.com"


def words(kind="status", status=None, text="", places=("KAGGLE_API_TOKEN",), **more):
    reply = {"kind": kind, "status": status, "text": text, **more}
    return refusal(reply, "digits", "uploading a.csv", 120, places)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            {"status": 400, "text": "Bad\n  request\x1b[31m"},
            r"digits: Kaggle refuses it (400: Bad request\x1b[31m), while uploading a.csv.",
        ),
        (
            {"status": 403, "text": "You must accept the rules"},
            "digits: this account has not accepted the competition's rules (403: You must accept the rules). "
            f"Accept them at {SITE}/competitions/digits/rules and give the same command again.",
        ),
        (
            {"status": 403, "text": "Permission 'competitions.participate' was denied"},
            "digits: Kaggle does not allow it (403: Permission 'competitions.participate' was denied), while "
            "uploading a.csv. So it says where the name is wrong, where this account has not joined and "
            f"accepted the rules ({SITE}/competitions/digits/rules), and where the competition is closed: "
            f"see {SITE}/competitions/digits.",
        ),
        (
            {"status": 403, "text": "Submissions must be made from a Notebook"},
            "digits takes submissions from notebooks only (403: Submissions must be made from a "
            "Notebook), so that "
            "no file can be sent. A notebook that trains and predicts there is written by: kerasgrid export "
            "results/NAME.json --to notebook",
        ),
        (
            {"status": 404},
            "digits: Kaggle knows no such competition, or does not show it to this account (404). The "
            "name is the "
            f"last part of its address, {SITE}/competitions/NAME.",
        ),
        (
            {"status": 429, "text": "Too many requests"},
            "digits: Kaggle takes no more requests for now (429: Too many requests), while uploading "
            "a.csv. Wait "
            "some minutes and give the same command again.",
        ),
        (
            {"status": 429, "text": "Your team has used its daily Submission allowance (5) today"},
            "digits: the limit of submissions is reached (429: Your team has used its daily Submission "
            "allowance "
            "(5) today). The days of Kaggle begin at midnight UTC: give the same command again after that.",
        ),
        (
            {"status": 500, "text": "Notebook service failed"},
            "digits: Kaggle has a fault of its own (500: Notebook service failed), while uploading a.csv. "
            "Try again "
            "later.",
        ),
        (
            {"kind": "slow"},
            "Kaggle gave no answer within 120 s, while uploading a.csv. Try again later, or give it "
            "longer with "
            "--timeout SECONDS.",
        ),
        (
            {"kind": "cut", "text": "ConnectionError"},
            "the connection to Kaggle was cut, or cannot be made (ConnectionError), while uploading "
            "a.csv. Is this "
            "machine on the network, and is a proxy set that it needs?",
        ),
        (
            {"kind": "upload"},
            "Kaggle's storage has not taken the file, while uploading a.csv. Try again later.",
        ),
        ({"kind": "other"}, "Kaggle's client failed while uploading a.csv (its process ended)."),
    ],
)
def test_refusals(reply, expected):
    assert words(**reply) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Submission not allowed: the file size exceeds the limit of 100 MB for a submission",
        "Submission not allowed",
        "The submission has a description of more than the limit of 500 characters",
    ],
)
def test_what_is_no_limit_of_submissions(text):
    assert words(status=400, text=text).startswith("digits: Kaggle refuses it (400: ")


def test_wrong_credentials_name_their_place():
    told = words(
        status=401, text="Unauthenticated", places=("KAGGLE_API_TOKEN", "/home/me/.kaggle/kaggle.json")
    )
    assert told.startswith(
        "Kaggle refuses the credentials (401: Unauthenticated) of KAGGLE_API_TOKEN. It comes before "
        "/home/me/.kaggle/kaggle.json, and is not passed over where it is wrong: correct it or take it "
        "away. Make "
    )
    assert words("credentials").startswith(
        "Kaggle refuses the credentials of KAGGLE_API_TOKEN. Make a token at"
    )


def test_what_is_known_beforehand():
    assert notebooks_only("digits").startswith("digits takes submissions from notebooks only, so that")
    assert limit_reached("digits", is_total=True) == (
        "digits: this account's team has used all submissions that the competition allows."
    )


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ServiceError("words", "status", 403)))
    assert (str(error), error.kind, error.status) == ("words", "status", 403)


@pytest.mark.parametrize(
    "text",
    [
        "digit-recognizer",
        "https://www.kaggle.com/competitions/digit-recognizer",
        "https://kaggle.com/c/digit-recognizer/overview",
        " digit-recognizer ",
    ],
)
def test_a_competition_by_name_or_address(text):
    assert competition_name(text) == "digit-recognizer"


@pytest.mark.parametrize("text", ["", "../x", "a b", "https://example.org/c/x", "--again", "/etc/passwd"])
def test_what_is_no_competition(text):
    with pytest.raises(DataError, match="is no name of a competition"):
        competition_name(text)
