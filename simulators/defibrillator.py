"""A defibrillator in a cabinet with a door contact."""

import random
from collections.abc import Iterator

from simulators.door import Telemetry


class Defibrillator:
    """Publishes on every change, and every five minutes to say that it is there."""

    interval_s = 5.0

    def __init__(self, site: str, name: str, seed: int) -> None:
        self._random = random.Random(f"{seed} {site} {name}")  # noqa: S311  noise, no secret
        self.device = f"{site}/{name}"
        self._topic = f"airport/{site}/defibrillators/{name}"
        self._battery = self._random.uniform(70, 100)
        self._in_cabinet = True
        self._said_at = -300.0

    def step(self, at_s: float, faults: frozenset[str]) -> Iterator[Telemetry]:
        """Yield what it sends at `at_s`, in seconds."""
        in_cabinet = "taken" not in faults
        changed = in_cabinet != self._in_cabinet
        self._in_cabinet = in_cabinet
        if changed or at_s - self._said_at >= 300.0:  # noqa: PLR2004  five minutes
            self._said_at = at_s
            yield self._topic, {"in_cabinet": in_cabinet, "battery": round(self._battery, 1)}
