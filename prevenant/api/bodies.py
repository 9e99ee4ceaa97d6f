"""What one request may bring: nothing larger than can be held, and nothing that is not known."""

from datetime import datetime
from typing import Annotated

from fastapi import Request, status
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prevenant.api.etags import PREFIX
from prevenant.api.problems import Refusal, answer_problem
from prevenant.moments import FIRST_AT, LAST_AT

LARGEST = 10 * 1024 * 1024


def _check_moment(at: datetime) -> datetime:
    if not FIRST_AT <= at <= LAST_AT:
        message = f"a time has to lie between {FIRST_AT:%Y} and {LAST_AT:%Y}"
        raise ValueError(message)
    return at


Moment = Annotated[AwareDatetime, AfterValidator(_check_moment)]
"""A time with an offset, which can be told in every time zone, and reckoned with."""


class Body(BaseModel):
    """What a request brings: a name that it does not know is refused, since it would do nothing."""

    model_config = ConfigDict(extra="forbid")


class Bounded:
    """Refuses requests to the API that are larger than `LARGEST` bytes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count what comes of it."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        said = request.headers.get("content-length", "")
        if said.isdigit() and int(said) > LARGEST:
            answer = await answer_problem(request, _too_large())
            await answer(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


def _too_large() -> Refusal:
    message = f"a request has {LARGEST // 1024 // 1024} MB at most: send it in parts"
    return Refusal(status.HTTP_413_CONTENT_TOO_LARGE, "too-large", message)
