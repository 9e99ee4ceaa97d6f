"""What the API answers where it refuses or fails: problem details (RFC 9457), one line with the remedy."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException as StarletteHTTPException

from prevenant.errors import (
    BookError,
    ConfigurationError,
    CrmImportError,
    JournalError,
    KeyTaken,
    PrevenantError,
    StoreUnavailable,
)

MEDIA_TYPE = "application/problem+json"
GENERAL = "about:blank"
INVALID = "urn:prevenant:invalid"
_PREFIX = "urn:prevenant:"
_RETRY_AFTER_S = "5"


class Flaw(BaseModel):
    """One thing wrong with what was sent."""

    model_config = ConfigDict(extra="allow")

    message: str
    place: str = ""
    """Where: `query.limit`, `body.ends_at`, `contacts/zoe: phone`."""


class Problem(BaseModel):
    """Why a request was refused, or has failed (RFC 9457)."""

    type: str = GENERAL
    """`about:blank`, or which of the API's own kinds of problem it is."""
    title: str
    status: int
    detail: str = ""
    """For a person: what is wrong, and what to do instead."""
    instance: str = ""
    """The path that was asked for."""
    problems: list[Flaw] = []
    """Everything wrong at once, where there may be several."""


class Refusal(HTTPException):
    """A refusal of a kind of its own, which programs can tell from others of its status."""

    def __init__(
        self, code: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, detail, dict(headers or {}))
        self.type = f"{_PREFIX}{kind}"


def add_problems(app: FastAPI) -> None:
    """Let an application answer every refusal and failure with its problem."""
    kinds: tuple[type[Exception], ...] = (StarletteHTTPException, RequestValidationError)
    for kind in (*kinds, PrevenantError, DataError, OverflowError, Exception):
        app.add_exception_handler(kind, answer_problem)


async def answer_problem(request: Request, error: Exception) -> Response:
    """Return the answer to a request that was refused, or that failed."""
    problem, headers = _describe(error)
    if isinstance(error, RequestValidationError) and _is_no_json(request, error):
        code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
        problem = _refused(code, "send it as JSON, with Content-Type: application/json")
    elif problem.status == status.HTTP_404_NOT_FOUND and problem.detail == problem.title:
        problem.detail = "nothing is answered here: /api/v1/openapi.json says what is"
    elif problem.status == status.HTTP_405_METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow", "")
        problem.detail = f"this takes {allowed}" if allowed else problem.detail
    problem.instance = request.url.path
    body = problem.model_dump(exclude={"problems"})
    if problem.problems:
        body["problems"] = [one.model_dump(exclude_unset=True) for one in problem.problems]
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def _is_no_json(request: Request, error: RequestValidationError) -> bool:
    """Return whether a body could not be read since it is said to be something else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return False
    wrong = {tuple(one["loc"]) for one in error.errors() if one["type"] != "missing"}
    return ("body",) in wrong


def _describe(error: Exception) -> tuple[Problem, dict[str, str] | None]:
    match error:
        case RequestValidationError():
            flaws = [_flaw(one) for one in error.errors()]
            return _refused(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws), None
        case StarletteHTTPException():
            headers = dict(error.headers) if error.headers else None
            problem = _refused(error.status_code, error.detail)
            problem.type = getattr(error, "type", problem.type)
            return problem, headers
        case BookError() | CrmImportError():
            flaws = [{"place": one.place, "message": one.message} for one in error.problems]
            return _refused(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws), None
        case ConfigurationError():
            return _refused(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)), None
        case KeyTaken():
            problem = _refused(status.HTTP_409_CONFLICT, str(error))
            problem.type = f"{_PREFIX}key-in-use"
            return problem, None
        case DataError() | OverflowError():
            message = "a value is out of range, or holds a character that cannot be kept"
            return _refused(status.HTTP_422_UNPROCESSABLE_CONTENT, message), None
        case StoreUnavailable() | JournalError():
            what = "database" if isinstance(error, StoreUnavailable) else "journal"
            message = f"the {what} does not answer; try again"
            headers = {"Retry-After": _RETRY_AFTER_S}
            return _refused(status.HTTP_503_SERVICE_UNAVAILABLE, message), headers
        case _:
            # Whatever it is stands in the log; it may hold what is nobody's business.
            message = "something failed here, and stands in the engine's log; try again"
            return _refused(status.HTTP_500_INTERNAL_SERVER_ERROR, message), None


def _refused(code: int, said: object) -> Problem:
    """Return a problem from its status and either one line or a list of all that is wrong."""
    title = HTTPStatus(code).phrase
    if not isinstance(said, Sequence) or isinstance(said, str):
        return Problem(title=title, status=code, detail=str(said or ""))
    flaws = [Flaw.model_validate(one) for one in said]
    first = ": ".join(part for part in (flaws[0].place, flaws[0].message) if part) if flaws else ""
    more = f", and {len(flaws) - 1} more: see `problems`" if len(flaws) > 1 else ""
    return Problem(type=INVALID, title=title, status=code, detail=f"{first}{more}", problems=flaws)


def _flaw(error: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a part of a request; without what was sent, which may be secret."""
    place = ".".join(str(part) for part in error["loc"])
    return {"place": place, "message": str(error["msg"])}
