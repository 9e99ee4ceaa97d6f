"""What stands in the topic of a stream: readings as they were heard, and who decides on what follows.

One record carries many readings of the devices of one partition, so that what a record costs is paid once
a batch. All that a partition decides follows from its records alone, in their order: also the time up to
which its timers run, for which each process that listens writes a mark at least every second.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ingest.mqtt import Frame

GONE_AFTER_S = 60.0
"""A process that listens and has said nothing for so long keeps timers from running no more."""
_REMEMBERED_S = 3_600.0
_ENVELOPE_BYTES = 64


class Heard(msgspec.Struct, tag="heard", array_like=True, gc=False):
    """Frames that arrived together, or none: then it is the mark alone. Times are seconds since 1970."""

    origin: str
    """Which process says so: its seat, and after a dot what is another after each start."""
    number: int
    """Rises from one record of this origin to the next: one that comes again is known by it."""
    at: float
    timers_until: float
    """Up to when this process has heard everything."""
    frames: list[Frame]


class BookTaken(msgspec.Struct, tag="book", array_like=True, gc=False):
    """Another version of the rule book decides on all that follows."""

    origin: str
    number: int
    at: float
    timers_until: float
    version: int
    fingerprint: str


class ModelTaken(msgspec.Struct, tag="model", array_like=True, gc=False):
    """Another version of a model speaks, or is tried in its shadow; 0 is none."""

    at: float
    model: str
    version: int
    fingerprint: str
    is_shadow: bool


class TimePassed(msgspec.Struct, tag="time", array_like=True, gc=False):
    """Nobody listens: whoever decides lets the time pass."""

    at: float


Record = Heard | BookTaken | ModelTaken | TimePassed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return a record as bytes."""
    return _ENCODER.encode(record)


def decode_record(value: bytes) -> Record:
    """Return a record. Raises msgspec.MsgspecError where it is none."""
    return _DECODER.decode(value)


def in_records(frames: Sequence[Frame], most_bytes: int) -> Iterator[list[Frame]]:
    """Yield as many frames at a time as one record takes; a larger one has a record of its own."""
    some: list[Frame] = []
    size = 0
    for frame in frames:
        weight = len(frame[0]) + len(frame[1]) + _ENVELOPE_BYTES
        if some and size + weight > most_bytes:
            yield some
            some, size = [], 0
        some.append(frame)
        size += weight
    if some:
        yield some


class Marks:
    """Up to when all who listen have heard everything: up to then timers may run. Pure.

    Where one of them has lost its broker, or has been killed, the silence of its devices proves nothing;
    after `gone_after_s` without a record it is waited for no more, nor once its successor has its seat.
    """

    def __init__(self, gone_after_s: float = GONE_AFTER_S) -> None:
        self._gone_after_s = gone_after_s
        self.latest = 0.0
        """When the newest record arrived. It never runs backwards, whatever clocks do."""
        self._of: dict[str, tuple[int, float, float]] = {}
        """By origin: its last number, when that arrived, and up to when it has heard everything."""

    def take(self, origin: str, number: int, at: float, until: float) -> bool:
        """Take note of a record; return False where it was taken before."""
        known = self._of.get(origin)
        if known is not None and number <= known[0]:
            return False
        self.pass_time(at)
        self._of[origin] = number, self.latest, min(until, self.latest)
        return True

    def pass_time(self, at: float) -> None:
        """Let the time pass up to `at`."""
        self.latest = max(self.latest, at)
        if any(self.latest - seen > _REMEMBERED_S for _, seen, _ in self._of.values()):
            self._of = {
                origin: one
                for origin, one in self._of.items()
                if self.latest - one[1] <= _REMEMBERED_S
            }

    @property
    def until(self) -> float:
        """Up to when timers may run."""
        here: dict[str, tuple[float, float]] = {}
        for origin, (_, seen, until) in self._of.items():
            seat = origin.partition(".")[0]
            if self.latest - seen <= self._gone_after_s and here.get(seat, (0.0, 0.0))[0] <= seen:
                here[seat] = seen, until
        return min((until for _, until in here.values()), default=self.latest)

    def snapshot(self) -> Any:
        """Return what was noted, as plain values."""
        return [self.latest, {origin: list(one) for origin, one in self._of.items()}]

    def restore(self, state: Any) -> None:
        """Take over what was noted before."""
        self.latest = float(state[0])
        self._of = {
            str(origin): (int(number), float(seen), float(until))
            for origin, (number, seen, until) in state[1].items()
        }
