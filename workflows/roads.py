"""Travel times by road from a routing server, OSRM or Valhalla, where one is set.

It is asked by a thread of its own, of the best few alone and with a short time-out, so that no
transaction waits for it; what it says comes back to the case as an event. Where it does not answer, the
great circle with a road factor serves, and the reason says so.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any

import requests
import structlog
from routingpy import OSRM, Valhalla
from routingpy.client_base import BaseClient
from routingpy.exceptions import RouterError
from urllib3.exceptions import HTTPError

log = structlog.get_logger()

_WAITING = 1_000
_MAX_BYTES = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_REDIRECT = 300
_SILENCE = (requests.RequestException, HTTPError)
_NONSENSE = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
Position = tuple[float, float]


class NoWay(Exception):
    """The routing server gave no usable answer; says why, in words."""


@dataclass(frozen=True, slots=True)
class Question:
    """How long technicians take to a job, each from where they are."""

    case_id: int
    step: str
    asked_at: float
    """Seconds since 1970: which question of the step it is."""
    job: Position
    positions: Mapping[str, Position]
    on_foot: bool


Answered = Callable[[Question, Mapping[str, float], str], None]
"""Takes the seconds by technician, or else why there are none."""


class Roads:
    """A routing server."""

    def __init__(
        self, url: str, engine: str = "osrm", timeout_s: float = 1.0, best: int = 12
    ) -> None:
        self.engine = engine
        self.timeout_s = timeout_s
        self.best = best
        """Of how many of the best by great circle it is asked."""
        options = {"timeout": timeout_s, "client": _OneRequest}
        self._client = Valhalla(url, **options) if engine == "valhalla" else OSRM(url, **options)
        self._questions: Queue[tuple[Question, Answered] | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    @property
    def name(self) -> str:
        """What it is called in reasons."""
        return {"osrm": "OSRM", "valhalla": "Valhalla"}[self.engine]

    def serves(self, *, on_foot: bool) -> bool:
        """Return whether it knows ways of this kind: an OSRM server knows those of one vehicle."""
        return self.engine == "valhalla" or not on_foot

    def ask(self, question: Question, answered: Answered) -> None:
        """Have the question answered by a thread of ours; where too many wait, at once in the negative."""
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._answer, name="roads", daemon=True)
                self._thread.start()
        try:
            self._questions.put_nowait((question, answered))
        except Full:
            answered(question, {}, f"{self.name} has too much to answer")

    def stop(self) -> None:
        """End the thread after the question under way."""
        with self._guard:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._questions.put(None)
            thread.join(self.timeout_s * 3 + 1)

    def find_ways(self, question: Question) -> dict[str, float]:
        """Return how many seconds each takes; who cannot get there by road is left out. Raises NoWay."""
        ids = list(question.positions)
        places = [question.positions[one] for one in ids] + [question.job]
        # These servers want longitude first.
        locations = [[lon, lat] for lat, lon in places]
        sources, destinations = list(range(len(ids))), [len(ids)]
        profile = (
            "driving" if self.engine == "osrm" else "pedestrian" if question.on_foot else "auto"
        )
        try:
            matrix = self._client.matrix(
                locations, profile=profile, sources=sources, destinations=destinations
            )
            ways = {one: row[0] for one, row in zip(ids, matrix.durations, strict=True)}
            return {one: float(s) for one, s in ways.items() if s is not None and math.isfinite(s)}
        except RouterError as error:
            message = f"{self.name} answers with HTTP {error.status}"
            raise NoWay(message) from error
        except _SILENCE as error:
            message = f"{self.name} does not answer ({type(error).__name__})"
            raise NoWay(message) from error
        except _NONSENSE as error:
            message = f"{self.name} answers something else than travel times"
            raise NoWay(message) from error

    def _answer(self) -> None:
        while (item := self._questions.get()) is not None:
            question, answered = item
            ways: Mapping[str, float] = {}
            why = ""
            try:
                ways = self.find_ways(question)
            except NoWay as error:
                why = str(error)
                log.warning("no travel times", case=question.case_id, reason=why)
            try:
                answered(question, ways, why)
            except Exception as error:  # noqa: BLE001  the step goes on without, once its time is over
                log.error(
                    "travel times could not be told", case=question.case_id, error=repr(error)
                )


class _OneRequest(BaseClient):  # type: ignore[misc]  # routingpy ships no types
    """Asks once: routingpy's own client asks again, and gives up unasked where it was held up a moment."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._session = requests.Session()

    def _request(
        self,
        url: str,
        get_params: Mapping[str, Any] | None = None,
        post_params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Any:
        """Return what the server answers, read from JSON."""
        patience = time.monotonic() + self.timeout
        with self._session.request(
            "GET" if post_params is None else "POST",
            self.base_url + self._generate_auth_url(url, get_params),
            json=post_params,
            headers=self.headers,
            timeout=self.timeout,
            stream=True,
        ) as answer:
            if answer.status_code >= _REDIRECT:
                raise RouterError(answer.status_code)
            body = bytearray()
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if len(body) > _MAX_BYTES or time.monotonic() > patience:
                    message = "too long, or too slow"
                    raise requests.Timeout(message)
            return json.loads(body)
