"""The official Kaggle client, in a process of its own: what is asked of it, and plain data back.

https://github.com/Kaggle/kaggle-api. Importing it authenticates over the network without a time limit, it
prints, ends its process where credentials are missing, and returns as if all were well where an upload
failed; so it lives here, where it can be killed, and a submission is made in the client's own two steps, the
upload and then the submission itself, so that the one side knows which of them was reached.
"""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kerasgrid.spawning import Parent
from kerasgrid.wording import masked

LISTED = 100
"""Submissions of a page; more than any competition takes in a day."""
_MOST_TEXT = 500
"""Characters of what the service says of an error."""


class _UploadFailed(Exception):
    """The storage behind the service has not taken the file."""


class _Served:
    """What can be asked."""

    def __init__(self) -> None:
        from kagglesdk.kaggle_env import get_access_token_from_env

        # Before the import of a client that has it not (1.7), and would fail in a way of its own.
        self._find_token = get_access_token_from_env
        import kaggle
        from tqdm import tqdm

        # Else the client's progress bars take a semaphore of the system's, which a kill leaves behind.
        tqdm.set_lock(threading.RLock())
        self._api = kaggle.api
        self._token: str | None = None
        if not self._api.config_values.get(self._api.CONFIG_NAME_AUTH_METHOD):
            # The import has swallowed why not; this tells.
            self._api.authenticate()

    def secrets(self) -> list[str]:
        """Returns what must not stand in any reply."""
        api = self._api
        found = [api.config_values.get(name) for name in (api.CONFIG_NAME_KEY, api.CONFIG_NAME_TOKEN)]
        return [secret for secret in (*found, self._find_token()[0], self._token) if secret]

    def about(self, competition: str) -> dict[str, Any]:
        """Returns what a submission has to know of a competition."""
        from kagglesdk.competitions.types.competition_api_service import ApiGetCompetitionRequest

        request = ApiGetCompetitionRequest()
        request.competition_name = competition
        with self._api.build_kaggle_client() as client:
            found = client.competitions.competition_api_client.get_competition(request)
        return {
            "title": found.title or competition,
            "notebooks_only": bool(found.is_kernels_submissions_only),
            "is_closed": bool(found.submissions_disabled),
        }

    def limits(self, competition: str) -> dict[str, Any] | None:
        """Returns how many submissions were made, and how many may still be made today; None of a client
        that cannot ask.
        """
        try:
            from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionLimitsRequest
        except ImportError:  # as it may be beside a client before 2.2
            return None
        request = ApiGetSubmissionLimitsRequest()
        request.competition_name = competition
        with self._api.build_kaggle_client() as client:
            found = client.competitions.competition_api_client.get_submission_limits(request)
        return {
            "today": found.num_today,
            "total": found.num_total,
            "allowed": found.num_allowed_now,
            "limited_by_total": bool(found.limited_by_total),
        }

    def upload(self, competition: str, path: str) -> None:
        """Uploads a file, which submits nothing yet."""
        from kaggle.api.kaggle_api_extended import ResumableUploadResult
        from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

        request = ApiStartSubmissionUploadRequest()
        request.competition_name = competition
        request.file_name = os.path.basename(path)
        request.content_length = os.path.getsize(path)
        request.last_modified_epoch_seconds = int(os.path.getmtime(path))
        with self._api.build_kaggle_client() as client:
            begun = client.competitions.competition_api_client.start_submission_upload(request)
            result = self._api.upload_complete(path, begun.create_url, True)
        if result != ResumableUploadResult.COMPLETE:
            raise _UploadFailed
        self._token = begun.token

    def create(self, competition: str, message: str) -> dict[str, Any]:
        """Submits what was uploaded: once, whatever comes of it."""
        from kagglesdk.competitions.types.competition_api_service import ApiCreateSubmissionRequest

        request = ApiCreateSubmissionRequest()
        request.competition_name = competition
        request.blob_file_tokens = self._token
        if message:
            request.submission_description = message
        with self._api.build_kaggle_client() as client:
            made = client.competitions.competition_api_client.create_submission(request)
        return {"message": made.message, "ref": made.ref or None}

    def submissions(self, competition: str) -> list[dict[str, Any]]:
        """Returns the newest submissions."""
        found = self._api.competition_submissions(competition, page_size=LISTED)
        return [
            {
                "ref": one.ref,
                "file": one.file_name or "",
                "message": one.description or "",
                "time": one.date.isoformat() if isinstance(one.date, datetime) else None,
                "status": one.status.name.lower(),
                "public_score": one.public_score or None,
                "private_score": one.private_score or None,
                "error": one.error_description or None,
            }
            for one in found or []
            if one is not None
        ]

    def download(self, competition: str, folder: str) -> None:
        """Downloads all files of a competition as one archive, going on with what is there of it."""
        self._api.competition_download_files(competition, path=folder, force=False, quiet=True)


def serve(asking: Parent) -> None:
    """Is the process."""
    served: _Served | None = None
    for name, *arguments in asking:
        try:
            if name == "begin":
                served, answer = _Served(), None
            else:
                answer = getattr(served, name)(*arguments)
        except BaseException as error:
            reply = _of(error)
        else:
            reply = {"kind": "answer", "answer": answer}
        reply = _without(reply, _secrets(served))
        if "text" in reply:  # cut after its secrets are out, of which else a part could be left
            reply["text"] = masked(reply["text"], *_proxies())[:_MOST_TEXT]
        asking.send(reply)


def _of(error: BaseException) -> dict[str, Any]:
    """Returns an error as plain data; URLs are left out, since an upload's says who may write there."""
    if isinstance(error, ImportError):
        with contextlib.suppress(PackageNotFoundError):
            return {"kind": "missing", "text": f"kaggle {version('kaggle')} is installed: {error}"}
        return {"kind": "missing", "text": str(error)}
    if isinstance(error, SystemExit):  # the client's way to say that it has no credentials
        return {"kind": "credentials", "text": ""}
    if isinstance(error, _UploadFailed):
        return {"kind": "upload", "text": ""}
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return _of_response(error.response)
    if isinstance(error, exceptions.Timeout):
        return {"kind": "slow", "text": type(error).__name__}
    if isinstance(error, exceptions.RequestException | ConnectionError):
        return {"kind": "cut", "text": type(error).__name__}
    return {"kind": "other", "text": f"{type(error).__name__}: {error}"}


def _of_response(response: Any) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    status = response.status_code
    if status < 400 and isinstance(body.get("code"), int):
        status = body["code"]
    return {
        "kind": "status",
        "status": status,
        "text": str(body.get("message") or response.reason or ""),
        "retry_after": response.headers.get("Retry-After"),
    }


def _secrets(served: _Served | None) -> list[str]:
    found = [os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")]
    with contextlib.suppress(Exception):
        found += served.secrets() if served is not None else _secrets_of_files()
    return sorted({secret for secret in found if secret and len(secret) > 3}, key=len, reverse=True)


def _secrets_of_files() -> list[str]:
    from kagglesdk.kaggle_env import get_access_token_from_env

    return [token for token in get_access_token_from_env()[:1] if token]


def _proxies() -> list[str]:
    """Returns the URLs of proxies, which messages about the connection may repeat with their passwords."""
    return [value for name, value in os.environ.items() if name.lower().endswith("_proxy") and "://" in value]


def _without(value: Any, secrets: list[str]) -> Any:
    """Returns a reply with stars in the place of secrets, which a service or library may have repeated."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, dict):
        return {key: _without(item, secrets) for key, item in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list) else value
