"""`Idempotency-Key`: a request that is sent again, because its answer was lost, is not done again.

What was done under a key is known for a day, and its answer given again with `Idempotency-Replayed: true`.
Only what has changed something takes its key: what was refused may be put right and sent under the same.
"""

from collections.abc import Mapping
from uuid import uuid4

from fastapi import Request, status
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prevenant.api.access import find_actor
from prevenant.api.etags import PREFIX
from prevenant.api.problems import Refusal, answer_problem
from prevenant.errors import PrevenantError
from prevenant.idempotency import Attempt, digest_of, find_answer
from prevenant.store import written_beside

HEADER, REPLAYED = "idempotency-key", "Idempotency-Replayed"
LONGEST_KEY = 255
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEPT_HEADERS = ("content-type", "etag", "location")
_LARGEST_KEPT = 1_000_000


class Idempotent:
    """Does what is asked for under a key once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it as it was answered before."""
        is_ours = scope["type"] == "http" and scope["method"] in _CHANGING
        if not is_ours or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        key = request.headers.get(HEADER, "")
        try:
            actor = await run_in_threadpool(find_actor, request) if key else None
            if actor is None:
                await self._app(scope, receive, send)
                return
            answer = await self._do_once(request, key, actor.name)
        except (Refusal, PrevenantError) as refusal:
            answer = await answer_problem(request, refusal)
        await answer(scope, receive, send)

    async def _do_once(self, request: Request, key: str, owner: str) -> Response:
        if len(key) > LONGEST_KEY or not key.isprintable():
            message = f"an Idempotency-Key has {LONGEST_KEY} printable characters at most"
            raise Refusal(status.HTTP_400_BAD_REQUEST, "key-unusable", message)
        body = await request.body()
        attempt = Attempt(
            digest_of(owner, key),
            digest_of(request.method, request.url.path, request.url.query, body),
            uuid4().hex,
            request.app.state.clock.now(),
        )
        if attempt.digest in self._under_way:
            message = "a request with this key is under way: wait for its answer"
            raise Refusal(status.HTTP_409_CONFLICT, "key-in-use", message)
        self._under_way.add(attempt.digest)
        try:
            known = await run_in_threadpool(_find, request, attempt)
            return known or await self._do(request, body, attempt)
        finally:
            self._under_way.discard(attempt.digest)

    async def _do(self, request: Request, body: bytes, attempt: Attempt) -> Response:
        start: Message = {}
        parts: list[bytes] = []

        unread = [body]

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await request.receive()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        with written_beside(attempt.write):
            await self._app(request.scope, receive, keep)
        answer = Response(b"".join(parts), start["status"])
        answer.raw_headers = list(start["headers"])
        if attempt.is_done:
            await run_in_threadpool(_keep, request, attempt, answer)
        return answer


def _find(request: Request, attempt: Attempt) -> Response | None:
    """Return the answer to what was done under a key already; None where nothing was."""
    with request.app.state.store.read() as session:
        found = find_answer(session, attempt.digest, attempt.at)
    if found is None:
        return None
    if found.fingerprint != attempt.fingerprint:
        message = "this key was used for something else: take another one for each thing"
        raise Refusal(status.HTTP_422_UNPROCESSABLE_CONTENT, "key-used-otherwise", message)
    if found.status is None or found.body is None:
        message = "this was done, and its answer is not kept: read what it was about"
        raise Refusal(status.HTTP_409_CONFLICT, "done-already", message)
    return _replay(found.status, found.headers, found.body)


def _replay(code: int, headers: Mapping[str, str], body: str) -> Response:
    return Response(body, code, {**headers, REPLAYED: "true"})


def _keep(request: Request, attempt: Attempt, answer: Response) -> None:
    """Keep an answer, unless it holds a secret or is large."""
    headers = Headers(raw=answer.raw_headers)
    body = bytes(answer.body)
    if "no-store" in headers.get("cache-control", "") or len(body) > _LARGEST_KEPT:
        return
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    with request.app.state.store.write() as session:
        attempt.keep_answer(session, answer.status_code, kept, body.decode())
