"""`near`: whether another device of the site was observed around the moment that matters."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from prevenant.domain import DeviceType, Reading
from rules.derived import holds
from rules.expression import Near, Truth

_KEPT_READINGS = 1_000
"""How many of the neighbours' latest readings are kept for one site and type."""


class NearState(msgspec.Struct, gc=False):
    """The moment that one `near` of one device is about, and what is known of it."""

    truth: Truth = None
    rest: list[Truth] = []
    """The truths of the rest of the condition since that moment; empty before any reading."""
    observed: float = 0.0
    received: float = 0.0

    def move(self, observed: float, received: float, rest: list[Truth]) -> None:
        """Ask anew, about the moment `observed`, which was received at `received`."""
        self.truth = None
        self.rest = rest
        self.observed = observed
        self.received = received


def answer(moment: NearState, near: Near, this: Reading, neighbours: Iterable[Reading]) -> None:
    """Answer with true where one of `neighbours` satisfies `near`; otherwise leave it open."""
    for neighbour in neighbours:
        if (
            abs(neighbour.observed_at - moment.observed) <= near.within_s
            and holds(near.condition, neighbour, this) is True
        ):
            moment.truth = True
            return


class History:
    """The latest readings of the types that some `near` asks about, by site."""

    def __init__(self, horizons: Mapping[str, float]) -> None:
        self._horizons = horizons
        self._readings: dict[tuple[str, str], deque[Reading]] = defaultdict(
            lambda: deque(maxlen=_KEPT_READINGS)
        )

    def keeps(self, type_name: str) -> bool:
        """Return whether readings of this type are kept."""
        return type_name in self._horizons

    def add(self, reading: Reading) -> None:
        """Keep a reading, and drop those that no moment can reach any more."""
        kept = self._readings[reading.site_id, reading.type]
        kept.append(reading)
        oldest = reading.received_at - 2 * self._horizons[reading.type] - 60.0
        while kept[0].received_at < oldest:
            kept.popleft()

    def readings(self, site_id: str, type_name: str) -> Iterable[Reading]:
        """Return what is kept of one type at one site, oldest first."""
        return self._readings[site_id, type_name]

    def packed(self) -> list[Any]:
        """Return everything as plain values for a snapshot."""
        return [msgspec.structs.astuple(r) for kept in self._readings.values() for r in kept]

    def unpack(self, packed: Iterable[Any], types: Mapping[str, DeviceType]) -> None:
        """Take over what `packed` returned earlier, as far as it is still asked about."""
        for values in packed:
            reading = Reading(*values)
            if reading.type in self._horizons:
                fields = msgspec.convert(reading.values, types[reading.type].values_type)
                reading = msgspec.structs.replace(reading, values=fields)
                self._readings[reading.site_id, reading.type].append(reading)
