"""Readings that come by HTTP: into the same journal as those of a broker, durable before that is said.

What would only fill the quarantine is refused instead, with the reason: unlike a device, whoever posts it
hears the answer.
"""

import threading
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ingest.decode import Decoder
from ingest.mqtt import Frame
from prevenant.domain import DeviceType
from prevenant.errors import JournalError

MOST = 10_000
_NOT_IN_TOPICS = frozenset("+#\0")
_AT_ONCE = 4
"""So many requests wait for the disk; more would leave nobody to answer the others."""


class Posted(BaseModel):
    """What a device would have published: a payload under a topic of the rule book."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(min_length=1, max_length=1_000)
    payload: JsonValue
    """As JSON; a text goes as it is."""
    encoding: Literal["", "base64"] = ""
    """`base64`: the payload is bytes, written so."""


class Intake:
    """Gives what is posted to whoever decides, where that is done in this process."""

    def __init__(
        self, accept: Callable[[Sequence[Frame]], None], is_refused: Callable[[], bool]
    ) -> None:
        self._accept, self._is_refused = accept, is_refused
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def take(self, frames: Sequence[Frame]) -> None:
        """Make frames durable, and have them decided on. Raises JournalError where not now."""
        if self._is_refused() or not self._turns.acquire(blocking=False):
            message = "the journal has more to write than it can"
            raise JournalError(message)
        try:
            self._accept(frames)
        finally:
            self._turns.release()


def frame_of(posted: Posted) -> Frame:
    """Return the message that a device would have sent. Raises ValueError with what is wrong."""
    check_topic(posted.topic)
    payload = posted.payload
    if posted.encoding:
        try:
            data = b64decode(str(payload), validate=True)
        except NoBase64:
            message = "the payload is no base64"
            raise ValueError(message) from None
    elif isinstance(payload, str):
        data = payload.encode()
    else:
        data = msgspec.json.encode(payload)
    return posted.topic.encode(), data, 0


def check_topic(topic: str) -> None:
    """Raise ValueError where no broker would let anything be published under a topic."""
    if not topic or _NOT_IN_TOPICS & set(topic):
        message = "nothing can be published under a topic with +, # or a character that is none"
        raise ValueError(message)


def judge_frames(
    device_types: Mapping[str, DeviceType], frames: Sequence[Frame], now: float
) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the sites that frames speak of, and what of them cannot be read, by its place.

    What only makes sense after earlier messages of its sender is not judged here.
    """
    decoded = Decoder(device_types.values()).decode_batch(frames, now)
    flaws = [{"place": f"body.{one.position}", "message": one.reason} for one in decoded.rejected]
    spoken: Iterable[Any] = (*decoded.readings, *decoded.presences)
    return {one.site_id for one in spoken}, flaws
