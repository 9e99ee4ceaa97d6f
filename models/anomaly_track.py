"""One field of one device: how far each value is out of what this field has done before.

Four families of evidence, none of which knows what the field measures:

    level    the value, and its means over a few, some and many values, beyond the centre of all
    spread   the differences from value to value, grown or vanished: restless, or stuck
    jump     the value beyond what the best of three simple forecasts expected
    season   the values of a while beyond what is ordinary at this time of day and of week

Each statistic is judged by its own history in a `Tail`, hence in one and the same currency. Everything is
relative to the field's own scale, so neither its unit nor its zero matters. Memory is constant.
"""

from math import log, log1p
from typing import NamedTuple

from models.anomaly_season import Season
from models.anomaly_state import Remembered
from models.anomaly_tail import Tail

SPANS = (1, 4, 16, 64)
"""Over how many values a level is judged: a factor of four apart, so that no length falls between."""
SPREAD_SPANS = (12, 72)
SEASON_SPAN = 12
_HISTORY = 3_000
"""For how many values centre and scale are remembered."""
_ERROR_MEMORY = 100
_WARM_UP = 40
"""Before so many values, nothing is judged."""
_WINSOR = 10.0
"""What lies farther out than so many scales moves no scale farther."""
_STILL = 0.02
"""Differences this share of the ordinary ones are none: a stuck sensor need not be exactly still."""
_SEASONAL = 0.7
"""A season counts where it leaves at most this share of the ordinary deviation."""
_GAP = 5.0
"""After a pause of so many ordinary intervals, the last value says nothing about the next."""
_FARTHEST = 1e-6
"""The smallest scale, as a share of the deviation itself: what is out of all proportion is equally so."""
_ROUNDING = 1e-12

LEVEL_HIGH, LEVEL_LOW = "level high", "level low"
RESTLESS, STUCK = "restless", "stuck"
JUMP = "jump"
SEASON_HIGH, SEASON_LOW = "high for the time", "low for the time"


class Surprise(NamedTuple):
    """What one value gives away."""

    evidence: float
    """As in `Tail.see`, of all families together: the root of the sum of their squares."""
    cause: str
    """What the strongest family has seen."""
    expected: float | None
    low: float | None
    high: float | None
    """With `low`, around `expected`, where nine in ten values were so far; None at first."""


NOTHING = Surprise(0.0, "", None, None, None)


class Track(Remembered):
    """What is remembered of one field of one device."""

    __slots__ = (
        "at", "centre", "change", "count", "errors", "forecasts", "interval", "jumps", "levels",
        "levels_high", "levels_low", "previous", "reach", "restless", "scale", "season",
        "season_high", "season_low", "season_mean", "season_scale", "season_seen", "spreads",
        "still",
    )  # fmt: skip

    def __init__(self, *, calendar: bool) -> None:
        """Know nothing yet; `calendar` is whether times are seconds since 1970."""
        self.count = 0
        self.at = self.interval = 0.0
        self.centre = self.scale = self.change = self.previous = self.reach = 0.0
        self.levels = [0.0] * len(SPANS)
        self.spreads = [0.0] * len(SPREAD_SPANS)
        self.forecasts = [0.0] * 3
        self.errors = [0.0] * 3
        self.levels_high = [Tail(10 + 4 * span) for span in SPANS]
        self.levels_low = [Tail(10 + 4 * span) for span in SPANS]
        self.restless = [Tail(10 + 4 * span) for span in SPREAD_SPANS]
        self.still = [Tail(10 + 4 * span) for span in SPREAD_SPANS]
        self.jumps = Tail(10)
        self.season = Season() if calendar else None
        self.season_high, self.season_low = Tail(10 + 4 * SEASON_SPAN), Tail(10 + 4 * SEASON_SPAN)
        self.season_mean = self.season_scale = 0.0
        self.season_seen = 0

    def see(self, at: float, value: float) -> Surprise:
        """Take in a value observed at a time later than the last, and say how surprising it is."""
        self.count += 1
        if self.count == 1:
            self._begin(at, value)
            return NOTHING
        paused = self._pause(at)
        judged = self.count > _WARM_UP
        share = 1 / min(self.count, _HISTORY)
        deviation = value - self.centre
        scale = max(self.scale, _FARTHEST * abs(deviation), _ROUNDING * abs(value)) or 1.0
        expected = self.forecasts[self.errors.index(min(self.errors))]
        reach = self.reach
        limit = _WINSOR * self.scale if judged else abs(deviation)
        held = self.centre + max(-limit, min(deviation, limit))
        jump = self._jump(value, held, scale, judged=judged and not paused)
        level, upwards = self._level(value, held, scale, judged=judged)
        spread, restless = self._spread(value, share, judged=judged, paused=paused)
        season, late = self._season(at, held, scale, judged=judged)
        self._settle(value, deviation, share)
        evidence = (level * level + spread * spread + jump * jump + season * season) ** 0.5
        if not evidence:
            return Surprise(0.0, "", expected, expected - reach, expected + reach)
        most = max(level, spread, jump, season)
        if most == level:
            cause = LEVEL_HIGH if upwards else LEVEL_LOW
        elif most == jump:
            cause = JUMP
        elif most == spread:
            cause = RESTLESS if restless else STUCK
        else:
            cause = SEASON_HIGH if late else SEASON_LOW
        return Surprise(evidence, cause, expected, expected - reach, expected + reach)

    def _begin(self, at: float, value: float) -> None:
        self.at, self.centre, self.previous = at, value, value
        self.levels = [value] * len(SPANS)
        self.forecasts = [value] * 3
        if self.season is not None:
            self.season.expect(at, value)

    def _pause(self, at: float) -> bool:
        """Move to a time, and say whether it comes after an unusual pause."""
        interval, self.at = at - self.at, at
        paused = self.count > _WARM_UP and interval > _GAP * self.interval
        usual = min(interval, _GAP * self.interval) if self.interval else interval
        self.interval += (usual - self.interval) / min(self.count - 1, _ERROR_MEMORY)
        return paused

    def _jump(self, value: float, held: float, scale: float, *, judged: bool) -> float:
        forecasts, errors = self.forecasts, self.errors
        best = errors.index(min(errors))
        missed = abs(value - forecasts[best])
        evidence = 0.0
        if judged:
            evidence = self.jumps.see(log1p(missed / (errors[best] + 0.01 * scale)), self.count)
        share = 1 / min(self.count, _ERROR_MEMORY)
        step = share * scale
        self.reach = max(0.0, self.reach + step * (0.9 if missed > self.reach else -0.1))
        for i in range(3):
            error, miss = errors[i], abs(value - forecasts[i])
            if self.count > _WARM_UP and error and miss > _WINSOR * error:
                miss = _WINSOR * error
            errors[i] = error + share * (miss - error)
        forecasts[0] = value
        forecasts[1] += 0.3 * (held - forecasts[1])
        forecasts[2] += 0.05 * (held - forecasts[2])
        return evidence

    def _level(
        self, value: float, held: float, scale: float, *, judged: bool
    ) -> tuple[float, bool]:
        levels, centre, count = self.levels, self.centre, self.count
        most, upwards = 0.0, True
        for i, span in enumerate(SPANS):
            towards = held if span > 1 else value
            levels[i] = level = levels[i] + (towards - levels[i]) / min(span, count)
            if not judged:
                continue
            beyond = (level - centre) / scale
            if beyond > 0:
                evidence = self.levels_high[i].see(log1p(beyond), count)
            else:
                evidence = self.levels_low[i].see(log1p(-beyond), count)
            if evidence > most:
                most, upwards = evidence, beyond > 0
        return most, upwards

    def _spread(
        self, value: float, share: float, *, judged: bool, paused: bool
    ) -> tuple[float, bool]:
        change, count = self.change, self.count
        step = abs(value - self.previous)
        if paused:
            return 0.0, True
        held = min(step, _WINSOR * change) if count > _WARM_UP else step
        most, restless = 0.0, True
        for i, span in enumerate(SPREAD_SPANS):
            spread = self.spreads[i] + (held - self.spreads[i]) / min(span, count)
            self.spreads[i] = spread
            if not judged or not change:
                continue
            grown = log(spread / change + _STILL)
            if grown > 0:
                evidence = self.restless[i].see(grown, count)
            else:
                evidence = self.still[i].see(-grown, count)
            if evidence > most:
                most, restless = evidence, grown > 0
        self.change = change + share * ((held if change else step) - change)
        return most, restless

    def _season(self, at: float, value: float, scale: float, *, judged: bool) -> tuple[float, bool]:
        ordinary = self.season.expect(at, value) if self.season is not None else None
        if ordinary is None:
            return 0.0, True
        self.season_seen += 1
        seen, deviation = self.season_seen, value - ordinary
        if seen == 1:
            self.season_scale = scale
        self.season_mean += (deviation - self.season_mean) / SEASON_SPAN
        evidence = 0.0
        if judged and seen > _WARM_UP and 0 < self.season_scale < _SEASONAL * scale:
            beyond = self.season_mean / self.season_scale
            tail = self.season_high if beyond > 0 else self.season_low
            evidence = tail.see(log1p(abs(beyond)), self.count)
        off = min(abs(deviation), 0.5 * _WINSOR * self.season_scale)
        self.season_scale += (off - self.season_scale) / min(seen + 20, _HISTORY)
        return evidence, self.season_mean > 0

    def _settle(self, value: float, deviation: float, share: float) -> None:
        """Let centre and scale follow, the outermost values no farther than the rest."""
        far = abs(deviation)
        if self.count > _WARM_UP:
            limit = _WINSOR * self.scale
            far = min(far, limit) if limit else far
            deviation = max(-0.5 * limit, min(deviation, 0.5 * limit))
        self.centre += share * deviation
        self.scale += share * (far - self.scale)
        self.previous = value
