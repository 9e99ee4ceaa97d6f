"""What a model is to predict, as people write it: `failure within 72h`, `remaining life in cycles`."""

import re

import msgspec

from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError

CYCLES, SECONDS = "cycles", "seconds"
REMAINING_LIFE, FAILURE, ANOMALY = "remaining_life", "failure", "anomaly"
FIELDS = {
    REMAINING_LIFE: ("remaining_life", "low", "high"),
    FAILURE: ("probability", "low", "high"),
    ANOMALY: ("anomaly", "low", "high"),
}
"""By kind of target, what a model adds to a reading: `NAME.remaining_life`, `NAME.low`, `NAME.high`."""
FORMS = (
    "write `failure within 72h`, `failure within 30 cycles`, `failure now`, "
    "`remaining life in cycles` (or minutes, hours, days) or `anomaly`"
)

_LIFE = re.compile(r"remaining life(?: in (cycles|time|minutes|hours|days))?")
_FAILURE = re.compile(r"failure (?:now|within (?:(?P<cycles>\d+) cycles?|(?P<time>\S.*)))")
_SHOWN = {"cycles": "cycle", "minutes": "minute", "time": "hour", "hours": "hour", "days": "day"}


class Target(msgspec.Struct, frozen=True):
    """What a model predicts."""

    kind: str
    """`remaining_life`, `failure` (its probability within the horizon) or `anomaly`."""
    unit: str = SECONDS
    """`cycles` or `seconds`: of the horizon, of remaining life, and of the data's axis."""
    horizon: float = 0.0
    """Of `failure`: how far ahead; 0 is now."""

    @property
    def value_field(self) -> str:
        """The name of the field with the prediction itself."""
        return FIELDS[self.kind][0]

    @property
    def is_now(self) -> bool:
        """Whether it is about the very reading: it does not matter what readings are counted in."""
        return self.kind == FAILURE and self.horizon <= 0

    def is_like(self, kind: str, unit: str, horizon: float) -> bool:
        """Return whether that is the same; an anomaly is one, however it is counted."""
        if kind != self.kind or kind == ANOMALY:
            return kind == self.kind
        return horizon == self.horizon and (unit == self.unit or self.is_now)


def parse_target(text: str) -> Target:
    """Return what `text` asks for. Raises ConfigurationError with the forms there are."""
    return read_target(text)[0]


def read_target(text: str) -> tuple[Target, str | None]:
    """Return what `text` asks for, and the unit in which the prediction is shown; an anomaly has none.

    Raises ConfigurationError with the forms there are.
    """
    words = " ".join(text.lower().split())
    if words == "anomaly":
        return Target(ANOMALY), None
    if match := _LIFE.fullmatch(words):
        named = match[1] or "cycles"
        return Target(REMAINING_LIFE, CYCLES if named == "cycles" else SECONDS), _SHOWN[named]
    match = _FAILURE.fullmatch(words)
    if match is None:
        message = f"{text!r} is nothing that a model predicts: {FORMS}"
        raise ConfigurationError(message)
    if match["cycles"]:
        horizon, unit = float(match["cycles"]), CYCLES
    else:
        try:
            horizon, unit = parse_duration(match["time"]) if match["time"] else 0.0, SECONDS
        except ValueError:
            message = f"{match['time']!r} is no horizon: {FORMS}"
            raise ConfigurationError(message) from None
    if horizon <= 0 and words != "failure now":
        message = "a horizon of 0 is now: write `failure now`"
        raise ConfigurationError(message)
    return Target(FAILURE, unit, horizon), "ratio"
