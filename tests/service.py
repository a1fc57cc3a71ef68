"""A server on loopback that answers as Kaggle does, as far as submissions and downloads go.

What it was asked is kept, so that tests can tell that nothing was sent twice.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

TOKEN = "KGAT_canary_5f2b9c1e7d"
CUT, HANG = "cut", "hang"
OF_KAGGLE = ("API_V1_TOKEN", "API_TOKEN", "USERNAME", "KEY", "CONFIG_DIR", "API_ENVIRONMENT")
CREDENTIALS = [*(f"KAGGLE_{name}" for name in OF_KAGGLE), "KAGGLE_KERNEL_RUN_TYPE", "XDG_CONFIG_HOME"]
"""Variables by which Kaggle's client finds credentials, or takes itself to be elsewhere."""


@dataclass(frozen=True)
class Answer:
    """An answer other than the usual one; `and_do` where the call has its effect all the same."""

    status: int
    message: str = ""
    headers: dict = field(default_factory=dict)
    and_do: bool = False


@dataclass(frozen=True)
class Lost:
    """The call has its effect, and the connection is cut before the answer."""


@dataclass(frozen=True)
class Stuck:
    """The call has its effect, and the answer never comes."""


class Server(ThreadingHTTPServer):
    """The server, which stays on its port while tests come and go; a context manager that runs it.

    Attributes:
        service: What those who connect are answered by.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service: Service | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class Service:
    """The server's state.

    Attributes:
        calls: Names of what was asked, in order, with `PUT` for an upload.
        answers: By the name of a call, the answers that are given in place of the usual one, one a call; the
            last one stays.
        submissions: What it lists, newest first.
        scores: By the number of times that the list was asked for: status, score, error of all submissions.
    """

    def __init__(self, address: str):
        self.address = address
        self.calls: list[str] = []
        self.bodies: list[dict] = []
        self.answers: dict[str, list] = {}
        self.submissions: list[dict] = []
        self.uploads: list[bytes] = []
        self.limits = {"numToday": 1, "numTotal": 7, "numAllowedNow": 4}
        self.competition = {"id": 1, "ref": "digits", "title": "Digits"}
        self.outcome = {"status": "COMPLETE", "publicScore": "0.99571"}
        self.n_pending = 0
        self.archive = b""
        self.rate = 0.0
        self.released = threading.Event()

    def count(self, name: str) -> int:
        return self.calls.count(name)

    def answer(self, name: str, body: dict) -> dict:
        if name == "IntrospectToken":
            return {"active": body["token"] == TOKEN, "username": "somebody"}
        if name == "GetCompetition":
            return self.competition
        if name == "GetSubmissionLimits":
            return self.limits
        if name == "StartSubmissionUpload":
            return {"token": "blob-token", "createUrl": f"{self.address}/upload/secret-upload-url"}
        if name == "CreateSubmission":
            ref = 100 + len(self.submissions)
            made = {
                "ref": ref,
                "fileName": "submission.csv",
                "date": "2026-11-26T01:02:03.000Z",
                "description": body.get("submissionDescription", ""),
                "status": "PENDING",
            }
            self.submissions.insert(0, made)
            return {"message": "Successfully submitted to Digits", "ref": ref}
        if name == "ListSubmissions":
            if self.n_pending > 0:
                self.n_pending -= 1
            else:
                for one in self.submissions:
                    one.update(self.outcome)
            return {"submissions": self.submissions}
        raise AssertionError(name)


def skip_without_client() -> None:
    """Skips a test that asks Kaggle's own client where that is missing, or is 1.7, which knows no tokens."""
    reason = "this asks Kaggle's own client, 1.8.4 or newer"
    sdk = pytest.importorskip("kagglesdk.kaggle_env", reason=reason)
    if not hasattr(sdk, "get_access_token_from_env"):
        pytest.skip(reason)


def without_credentials(patch, home: Path) -> None:
    """Gives Kaggle's client a home folder, and nothing of Kaggle's in the environment."""
    patch.setenv("HOME", str(home))
    for name in CREDENTIALS:
        patch.delenv(name, raising=False)


def asked_by_kaggle(patch, server: Server) -> Service:
    """Has Kaggle's client ask the server, with a token that it knows; returns what it is answered by."""
    server.service = Service(server.address)
    patch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    patch.setenv("http_proxy", server.address)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        patch.delenv(name, raising=False)
    patch.setenv("KAGGLE_API_TOKEN", TOKEN)
    return server.service


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.service = self.server.service

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self._body()
        name = urlsplit(self.path).path.rpartition("/")[2]
        self.service.calls.append(name)
        self.service.bodies.append(json.loads(body or b"{}"))
        if not self._is_known() and name != "IntrospectToken":
            self._send(401, {"code": 401, "message": "Unauthenticated"})
        elif not self._answered_otherwise(name):
            if name == "DownloadDataFiles":
                self.send_response(302)
                self.send_header("Location", f"{self.service.address}/files/archive.zip")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._send(200, self.service.answer(name, self.service.bodies[-1]))

    def do_PUT(self):
        self.service.calls.append("PUT")
        length = int(self.headers["Content-Length"])
        planned = self._planned("PUT")
        if planned == CUT:
            self.rfile.read(length // 2)
            self._cut()
            return
        data = self.rfile.read(length)
        if planned == HANG:
            self.service.released.wait(60)
        elif isinstance(planned, Answer):
            self._send(planned.status, {"message": planned.message})
        else:
            self.service.uploads.append(data)
            self._send(200, {})

    def do_GET(self):
        self.service.calls.append("GET")
        if self._planned("GET") == CUT:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.service.archive)))
            self.end_headers()
            self.wfile.write(self.service.archive[: len(self.service.archive) // 2])
            self._cut()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.send_header("Content-Length", str(len(self.service.archive)))
        self.end_headers()
        self.wfile.write(self.service.archive)

    def _answered_otherwise(self, name: str) -> bool:
        planned = self._planned(name)
        if planned is None:
            return False
        if planned == HANG:
            self.service.released.wait(60)
        elif planned == CUT:
            self._cut()
        elif isinstance(planned, Lost):
            self.service.answer(name, self.service.bodies[-1])
            self._cut()
        elif isinstance(planned, Stuck):
            self.service.answer(name, self.service.bodies[-1])
            self.service.released.wait(60)
        else:
            if planned.and_do:
                self.service.answer(name, self.service.bodies[-1])
            message = {"code": planned.status, "message": planned.message}
            self._send(planned.status, message, planned.headers)
        return True

    def _planned(self, name: str):
        planned = self.service.answers.get(name, [])
        return planned.pop(0) if len(planned) > 1 else planned[0] if planned else None

    def _is_known(self) -> bool:
        given = self.headers.get("Authorization", "")
        basic = base64.b64encode(f"somebody:{TOKEN}".encode()).decode()
        return given in (f"Bearer {TOKEN}", f"Basic {basic}")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _cut(self):
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, body: dict, headers: dict | None = None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def wait_for(condition, seconds: float = 20) -> None:
    """Returns when a condition holds; fails where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
