"""A door with a badge reader beside it: people badge, pass, and the door falls shut."""

import random
from collections.abc import Iterator
from typing import Any

Telemetry = tuple[str, dict[str, Any]]
"""A topic and a payload."""


class Door:
    """Publishes on every change, and once a minute to say that it is there."""

    interval_s = 5.0

    def __init__(self, site: str, name: str, seed: int) -> None:
        self._random = random.Random(f"{seed} {site} {name}")  # noqa: S311  noise, no secret
        self.device = f"{site}/{name}"
        self._name = name
        self._topic = f"airport/{site}/doors/{name}"
        self._badges = f"airport/{site}/badges/B{name[1:]}"
        self._battery = self._random.uniform(60, 100)
        self._open = False
        self._shuts_at = 0.0
        self._said_at = -60.0

    def step(self, at_s: float, faults: frozenset[str]) -> Iterator[Telemetry]:
        """Yield what door and reader send at `at_s`, in seconds."""
        self._battery = max(0.0, self._battery - self._random.uniform(0, 0.0004))
        was_open, badge = self._open, None
        if "held_open" in faults or "forced" in faults:
            if not self._open and "held_open" in faults:
                badge = self._badge()
            self._open = True
            self._shuts_at = at_s
        elif self._open and at_s >= self._shuts_at:
            self._open = False
        elif not self._open and self._random.random() < 0.02:  # noqa: PLR2004  somebody passes
            badge = self._badge()
            self._open = True
            self._shuts_at = at_s + self._random.uniform(5, 20)
        if badge is not None:
            yield self._badges, {"door": self._name, "granted": True, "badge": badge}
        if self._open != was_open or at_s - self._said_at >= 60.0:  # noqa: PLR2004  a minute
            self._said_at = at_s
            yield (
                self._topic,
                {"open": self._open, "badge": badge, "battery": round(self._battery, 1)},
            )

    def _badge(self) -> str:
        return f"{self._random.randrange(1000, 9999)}"
