"""What is ordinary at this time of day and of week, learned as days go by.

A profile holds the mean of each part of its period, and counts a part's own day only once it is over: what
is expected now is never made of now. The profile that has been nearer to the truth is believed.
"""

from models.anomaly_state import Remembered

_DAY, _WEEK = 86_400.0, 604_800.0
_HALF_HOUR, _HOUR = 1_800.0, 3_600.0
_ADAPTING = 0.25
"""A quarter of what is ordinary is the last day's (or week's)."""
_PERIODS_SEEN = 2
"""A part of a profile says nothing before it was seen so often."""
_ERROR_MEMORY = 500


class Profile(Remembered):
    """The course of one period, part by part."""

    __slots__ = ("count", "mean", "now", "part", "parts", "period", "seen", "sum", "width")

    def __init__(self, period: float, width: float) -> None:
        """Cut a period into parts of a width, both in seconds."""
        self.period, self.width = period, width
        self.parts = round(period / width)
        self.mean = [0.0] * self.parts
        self.seen = [0] * self.parts
        self.part = self.now = -1
        self.sum, self.count = 0.0, 0

    def expect(self, at: float) -> float | None:
        """Move to a time, and return what is ordinary then, if it is known."""
        now = int(at // self.width)
        if now != self.now:
            self._close()
            self.now, self.part = now, now % self.parts
        part = self.part
        return self.mean[part] if self.seen[part] >= _PERIODS_SEEN else None

    def learn(self, value: float) -> None:
        """Take in a value of the part that `expect` has moved to."""
        self.sum += value
        self.count += 1

    def _close(self) -> None:
        if self.count:
            part = self.part
            seen = self.seen[part] = self.seen[part] + 1
            self.mean[part] += max(1 / seen, _ADAPTING) * (self.sum / self.count - self.mean[part])
        self.sum, self.count = 0.0, 0


class Season(Remembered):
    """What is ordinary now, by the day or by the week, whichever has been nearer to the truth."""

    __slots__ = ("count", "day", "day_error", "week", "week_error")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.day, self.week = Profile(_DAY, _HALF_HOUR), Profile(_WEEK, _HOUR)
        self.day_error = self.week_error = 0.0
        self.count = 0

    def expect(self, at: float, value: float) -> float | None:
        """Return what was to be expected of a value, if anything, and learn from it."""
        by_day, by_week = self.day.expect(at), self.week.expect(at)
        self.day.learn(value)
        self.week.learn(value)
        if by_day is None or by_week is None:
            return by_day
        by_week_now = self.count > 0 and self.week_error < self.day_error
        self.count += 1
        share = max(1 / self.count, 1 / _ERROR_MEMORY)
        self.day_error += share * (abs(value - by_day) - self.day_error)
        self.week_error += share * (abs(value - by_week) - self.week_error)
        return by_week if by_week_now else by_day
