"""`near`: whether another device of the site was observed around the moment that matters."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

import msgspec

from prevenant.domain import DeviceType, Reading
from rules.derived import holds
from rules.expression import Near, Truth

_KEPT_READINGS = 1_000
"""How many of the neighbours' latest readings are kept for one site and type."""
_KEPT_S = 3_600.0
"""For how long, beside the time that a `near` may be about: what comes later in a burst asks about it."""


class NearState(msgspec.Struct, gc=False):
    """The moment that one `near` of one device is about, and what is known of it."""

    truth: Truth = None
    rest: list[Truth] | None = []
    """The truths of the rest of the condition since that moment; empty before any reading; None where
    the device was heard before the rule was there: nobody knows when the rest came about."""
    observed: float = 0.0
    received: float = 0.0

    def move(self, observed: float, received: float, rest: list[Truth]) -> None:
        """Ask anew, about the moment `observed`, which was received at `received`."""
        self.truth = None
        self.rest = rest
        self.observed = observed
        self.received = received

    def leave_open(self, rest: list[Truth]) -> None:
        """Let it be unknown until the rest of the condition is another."""
        self.truth = None
        self.rest = rest
        self.observed = self.received = inf

    def due(self, near: Near) -> float:
        """Return when the answer is no, if nothing comes until then; infinity where it is known."""
        return self.received + near.within_s if self.truth is None and self.rest else inf


def answer(moment: NearState, near: Near, this: Reading, neighbours: Iterable[Reading]) -> bool:
    """Answer with true where one of `neighbours` satisfies `near`; return whether one does."""
    for neighbour in neighbours:
        if (
            (neighbour.device_id, neighbour.type) != (this.device_id, this.type)
            and abs(neighbour.observed_at - moment.observed) <= near.within_s
            and holds(near.condition, neighbour, this) is True
        ):
            moment.truth = True
            return True
    return False


class History:
    """The latest readings of the types that some `near` asks about, by site."""

    def __init__(self, horizons: Mapping[str, float]) -> None:
        self._horizons = horizons
        self._readings: dict[tuple[str, str], deque[Reading]] = defaultdict(
            lambda: deque(maxlen=_KEPT_READINGS)
        )
        self._lost: dict[tuple[str, str], float] = {}
        """The latest observed time of the readings that are not kept any more."""

    def keeps(self, type_name: str) -> bool:
        """Return whether readings of this type are kept."""
        return type_name in self._horizons

    def add(self, reading: Reading) -> None:
        """Keep a reading, and drop those that no moment can reach any more."""
        key = (reading.site_id, reading.type)
        kept = self._readings[key]
        if len(kept) == _KEPT_READINGS:
            self._drop(key)
        kept.append(reading)
        oldest = reading.received_at - 2 * self._horizons[reading.type] - _KEPT_S
        while kept[0].received_at < oldest:
            self._drop(key)

    def reaches(self, site_id: str, near: Near, observed: float) -> bool:
        """Return whether all readings are kept that `near` may be about, at the moment `observed`."""
        return self._lost.get((site_id, near.type), -inf) < observed - near.within_s

    def _drop(self, key: tuple[str, str]) -> None:
        dropped = self._readings[key].popleft()
        self._lost[key] = max(self._lost.get(key, -inf), dropped.observed_at)

    def readings(self, site_id: str, type_name: str) -> Iterable[Reading]:
        """Return what is kept of one type at one site, oldest first."""
        return self._readings[site_id, type_name]

    def packed(self) -> list[Any]:
        """Return everything as plain values for a snapshot."""
        return [msgspec.structs.astuple(r) for kept in self._readings.values() for r in kept]

    def packed_losses(self) -> list[tuple[str, str, float]]:
        """Return until when readings are not kept any more, by site and type."""
        return [(*key, at) for key, at in self._lost.items()]

    def unpack(
        self,
        packed: Iterable[Any],
        losses: Iterable[tuple[str, str, float]],
        types: Mapping[str, DeviceType],
    ) -> None:
        """Take over what `packed` and `packed_losses` returned, as far as it is still asked about."""
        self._lost = {(site, type_name): at for site, type_name, at in losses}
        for values in packed:
            reading = Reading(*values)
            if reading.type in self._horizons:
                fields = msgspec.convert(reading.values, types[reading.type].values_type)
                reading = msgspec.structs.replace(reading, values=fields)
                self._readings[reading.site_id, reading.type].append(reading)
