"""A household's refrigerator: a thermostat switches its compressor, people open its door."""

import random
from collections.abc import Iterator

from simulators.door import Telemetry

_SETPOINT, _ROOM = 4.0, 22.0
_BAND = 0.8
_LEAK_S = 5_400.0
"""Time constant towards the room's temperature."""
_COLD, _COOLING_S = -18.0, 3_000.0
_ALREADY_WARM = 7.2
"""A refrigerator that begins with a lost compressor has been warming for a while."""


class Refrigerator:
    """Publishes once a minute."""

    interval_s = 60.0

    def __init__(self, site: str, name: str, seed: int) -> None:
        self._random = random.Random(f"{seed} {site} {name}")  # noqa: S311  noise, no secret
        self.device = f"{site}/{name}"
        self._topic = f"homes/{site}/fridges/{name}"
        self._cabinet = _SETPOINT + self._random.uniform(-_BAND, _BAND)
        self._running = False
        self._first = True

    def step(self, at_s: float, faults: frozenset[str]) -> Iterator[Telemetry]:
        """Yield what it sends: heat leaks in, the compressor takes it out while it can."""
        del at_s
        lost = "compressor_lost" in faults
        if lost and self._first:
            self._cabinet = _ALREADY_WARM
        self._first = False
        if self._cabinet > _SETPOINT + _BAND:
            self._running = True
        elif self._cabinet < _SETPOINT - _BAND:
            self._running = False
        opened = not lost and self._random.random() < 0.02  # noqa: PLR2004  somebody is hungry
        leak = _LEAK_S / (4.0 if opened else 1.0)
        self._cabinet += (_ROOM - self._cabinet) * self.interval_s / leak
        if self._running and not lost:
            self._cabinet += (_COLD - self._cabinet) * self.interval_s / _COOLING_S
        amps = self._random.gauss(0.1 if lost else 1.1, 0.02) if self._running else 0.02
        yield (
            self._topic,
            {
                "cabinet": round(self._cabinet + self._random.gauss(0, 0.05), 2),
                "setpoint": _SETPOINT,
                "compressor_amps": round(max(0.0, amps), 3),
                "door_open": opened,
            },
        )
