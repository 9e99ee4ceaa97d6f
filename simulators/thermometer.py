"""A room with a thermometer: a thermostat holds it, until the cooling is lost."""

import random
from collections.abc import Iterator

from simulators.door import Telemetry

_HELD, _OUTSIDE = 22.0, 31.0
_COOLED_S, _WARMED_S = 300.0, 420.0


class Thermometer:
    """Publishes every 30 seconds."""

    interval_s = 30.0

    def __init__(self, site: str, name: str, seed: int) -> None:
        self._random = random.Random(f"{seed} {site} {name}")  # noqa: S311  noise, no secret
        self.device = f"{site}/{name}"
        self._topic = f"airport/{site}/thermometers/{name}"
        self._temperature = _HELD
        self._humidity = self._random.uniform(38, 52)

    def step(self, at_s: float, faults: frozenset[str]) -> Iterator[Telemetry]:
        """Yield what it sends: the room follows its surroundings with a time constant."""
        del at_s
        lost = "cooling_lost" in faults
        target, constant = (_OUTSIDE, _WARMED_S) if lost else (_HELD, _COOLED_S)
        self._temperature += (target - self._temperature) * self.interval_s / constant
        noise = self._random.gauss(0, 0.08)
        yield (
            self._topic,
            {
                "temperature": round(self._temperature + noise, 2),
                "humidity": round(self._humidity + self._random.gauss(0, 0.3), 1),
            },
        )
