"""Made-up series of many kinds with faults of many kinds, labelled as the Numenta benchmark labels.

A series is a kind of device at its ordinary work, of which 15 % or more goes by before the first fault. A
window is centred on its fault; all windows of a series together cover a tenth of it.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.nab import Series

Values = npt.NDArray[np.float64]
Random = np.random.Generator
Kind = Callable[[Random, Values], Values]
"""Makes values for times in days."""
Fault = Callable[[Random, Values, int, int, float], None]
"""Spoils the values from one row to another in place; the last argument is the series' own spread."""

_START = 1_700_000_000.0
_DAY = 86_400.0


def _smooth(random: Random, rows: int, memory: float) -> Values:
    """Noise of deviation 1 that remembers for `memory` rows."""
    keep = np.exp(-1 / memory)
    steps = random.normal(0, np.sqrt(1 - keep * keep), rows)
    out = np.empty(rows)
    last = 0.0
    for i in range(rows):
        last = keep * last + steps[i]
        out[i] = last
    return out


def _holding(random: Random, rows: int, levels: Values, stay: float) -> Values:
    """Levels, each held for `stay` rows on average."""
    out = np.empty(rows)
    i = 0
    while i < rows:
        length = 1 + int(random.exponential(stay))
        out[i : i + length] = random.choice(levels)
        i += length
    return out


def noise(random: Random, days: Values) -> Values:
    """Make a sensor at rest."""
    return 20 + random.normal(0, 0.5, days.size)


def drifting(random: Random, days: Values) -> Values:
    """Make a temperature that wanders slowly."""
    return 68 + 3 * _smooth(random, days.size, 60) + random.normal(0, 0.4, days.size)


def daily(random: Random, days: Values) -> Values:
    """Make a temperature that follows the day."""
    wave = np.sin(2 * np.pi * days) + 0.3 * np.sin(4 * np.pi * days + 1)
    return 15 + 6 * wave + 1.2 * _smooth(random, days.size, 30) + random.normal(0, 0.3, days.size)


def shifts(random: Random, days: Values) -> Values:
    """Make a machine that runs from 9 to 18 and idles at night."""
    on = ((days % 1) > 9 / 24) & ((days % 1) < 18 / 24)
    return np.where(on, 80.0, 20.0) + random.uniform(-4, 4, days.size)


def weekly(random: Random, days: Values) -> Values:
    """Make passengers an interval: by day and weekday, growing slowly."""
    hour, weekday = days % 1, (days // 1) % 7
    wave = np.exp(np.sin(2 * np.pi * (hour - 0.3))) * np.where(weekday >= 5, 0.6, 1.0)
    growth = 1 + 0.1 * days / days[-1]
    rate = 8000 * wave * growth * np.exp(random.normal(0, 0.06, days.size))
    return np.asarray(np.round(rate), np.float64)


def counts(random: Random, days: Values) -> Values:
    """Make requests an interval, few at night."""
    rate = 40 * (1 + 0.8 * np.sin(2 * np.pi * days)) * np.exp(0.3 * _smooth(random, days.size, 20))
    return np.asarray(random.poisson(rate), np.float64)


def mentions(random: Random, days: Values) -> Values:
    """Make counts that come in bursts with heavy tails."""
    rate = 8 * (1 + 0.6 * np.sin(2 * np.pi * days)) * np.exp(0.6 * _smooth(random, days.size, 8))
    bursts = np.zeros(days.size)
    for at in random.integers(0, days.size, days.size // 250):
        size, length = 30 * (random.pareto(2.0) + 0.3), random.integers(2, 12)
        end = min(days.size, at + length)
        bursts[at:end] += size * np.exp(-np.arange(end - at) / 3)
    return random.poisson(rate + np.minimum(bursts, 400)).astype(float)


def idle(random: Random, days: Values) -> Values:
    """Make a server that does nothing but a short job now and then."""
    values = np.round(0.13 + 0.004 * random.normal(0, 1, days.size), 3)
    for at in range(int(random.integers(20, 60)), days.size, int(random.integers(100, 290))):
        values[at] += random.uniform(1.5, 2.3)
    return values


def regimes(random: Random, days: Values) -> Values:
    """Make a machine that is used at three levels."""
    levels = np.array([10.0, 35.0, 60.0])
    return _holding(random, days.size, levels, 40) + random.normal(0, 1.5, days.size)


def growing(random: Random, days: Values) -> Values:
    """Make a level that rises all the time."""
    rise = np.asarray(100 + 30 * days / days[-1], np.float64)
    return rise + 2 * _smooth(random, days.size, 20) + random.normal(0, 1, days.size)


def quantised(random: Random, days: Values) -> Values:
    """Make a thermometer that tells half degrees."""
    slow = 21 + 1.2 * np.sin(2 * np.pi * days) + 0.5 * _smooth(random, days.size, 80)
    return np.round(2 * slow) / 2


def latency(random: Random, days: Values) -> Values:
    """Make times to answer: skewed, with slow ones among them."""
    body = np.exp(
        3.8 + 0.15 * random.normal(0, 1, days.size) + 0.1 * _smooth(random, days.size, 50)
    )
    slow = random.random(days.size) < 0.01
    return body * np.where(slow, random.uniform(1.5, 3.0, days.size), 1.0)


def compressor(random: Random, days: Values) -> Values:
    """Make a refrigerator that cools down, and warms up again."""
    period = random.integers(14, 30)
    phase = np.cumsum(1 / (period * np.exp(0.08 * random.normal(0, 1, days.size))))
    saw = np.abs((phase % 1) - 0.35) / 0.65
    return 3 + 2.5 * saw + random.normal(0, 0.08, days.size)


def filling(random: Random, days: Values) -> Values:
    """Make a tank that fills up and is emptied."""
    period = random.integers(200, 500)
    return 100 * ((np.arange(days.size) / period) % 1) + random.normal(0, 0.7, days.size)


def network(random: Random, days: Values) -> Values:
    """Make bytes an interval: mostly few, periodically many, never twice the same."""
    base = np.exp(11 + 0.5 * random.normal(0, 1, days.size))
    busy = random.random(days.size) < 0.12
    return base * np.where(busy, random.uniform(5, 25, days.size), 1.0)


def occupancy(random: Random, days: Values) -> Values:
    """Make a share of time in per cent, with rush hours, and rough."""
    hour = days % 1
    rush = np.exp(-(((hour - 0.34) / 0.05) ** 2)) + 0.8 * np.exp(-(((hour - 0.72) / 0.07) ** 2))
    rate = (3 + 14 * rush) * np.exp(0.35 * random.normal(0, 1, days.size))
    return np.asarray(np.round(np.minimum(rate, 100), 2), np.float64)


def load(random: Random, days: Values) -> Values:
    """Make a processor's load: a level with a shape of its own and now and then a job."""
    values = 14 + 0.6 * random.normal(0, 1, days.size) + 0.5 * _smooth(random, days.size, 200)
    for at in random.integers(0, days.size, days.size // 400):
        values[at : at + int(random.integers(1, 4))] += random.uniform(2, 6)
    return np.round(values, 3)


def spike(random: Random, values: Values, first: int, _end: int, spread: float) -> None:
    """Put in one to three values far out."""
    values[first : first + int(random.integers(1, 4))] += random.uniform(6, 14) * spread


def dip(random: Random, values: Values, first: int, _end: int, spread: float) -> None:
    """Put in a few values far below."""
    values[first : first + int(random.integers(1, 6))] -= random.uniform(6, 12) * spread


def burst(random: Random, values: Values, first: int, end: int, spread: float) -> None:
    """Put in many values far out, one here, one there."""
    rows = random.random(end - first) < 0.4
    values[first:end][rows] += random.uniform(3, 8) * spread


def step(random: Random, values: Values, first: int, end: int, spread: float) -> None:
    """Put in another level for a time."""
    values[first:end] += random.choice([-1, 1]) * random.uniform(2.5, 6) * spread


def settle(random: Random, values: Values, first: int, _end: int, spread: float) -> None:
    """Put in another level for good."""
    values[first:] += random.choice([-1, 1]) * random.uniform(2.5, 6) * spread


def ramp(random: Random, values: Values, first: int, end: int, spread: float) -> None:
    """Put in a level that runs away."""
    values[first:end] += np.linspace(0, random.uniform(5, 9) * spread, end - first)


def restless(random: Random, values: Values, first: int, end: int, spread: float) -> None:
    """Put in more noise."""
    values[first:end] += random.normal(0, random.uniform(2.5, 5) * spread, end - first)


def stuck(_random: Random, values: Values, first: int, end: int, _spread: float) -> None:
    """Put in the same value again and again."""
    values[first:end] = values[first]


def silent(_random: Random, values: Values, first: int, end: int, _spread: float) -> None:
    """Put in nothing where there was something."""
    values[first:end] = 0.0


def elsewhere(random: Random, values: Values, first: int, end: int, _spread: float) -> None:
    """Put in ordinary values of another time of day."""
    start = int(random.integers(0, first - (end - first)))
    values[first:end] = values[start : start + end - first].copy()


def damped(_random: Random, values: Values, first: int, end: int, _spread: float) -> None:
    """Put in the ordinary course, but little of it."""
    middle = np.median(values[:first])
    values[first:end] = middle + 0.2 * (values[first:end] - middle)


ORDINARY: list[Fault] = [spike, dip, burst, step, settle, ramp, restless, stuck]
KINDS: dict[Kind, tuple[list[Fault], bool]] = {
    noise: ([*ORDINARY, silent], False),
    drifting: (ORDINARY, False),
    daily: ([*ORDINARY, damped, elsewhere], False),
    shifts: ([spike, step, damped, silent, burst, elsewhere], True),
    weekly: ([damped, silent, spike, step, elsewhere], True),
    counts: ([spike, burst, step, silent, stuck], True),
    mentions: ([spike, burst, step], True),
    idle: ([step, settle, burst, restless], True),
    regimes: ([spike, restless, stuck, silent, ramp], True),
    growing: (ORDINARY, False),
    quantised: ([spike, dip, step, restless, ramp], False),
    latency: ([spike, burst, step, settle, ramp], True),
    compressor: ([stuck, step, ramp, spike, settle], False),
    filling: ([stuck, spike, restless, dip], True),
    network: ([spike, step, silent, burst], True),
    occupancy: ([spike, step, silent, damped], True),
    load: (ORDINARY, True),
}
"""Each kind with the faults that it can have, and whether its values stay above 0."""
SHAPES = [(4032, 288), (1600, 24), (2500, 200), (4032, 288), (8000, 48), (15000, 288)]
"""Rows of a series, and of a day."""


def make_corpus(seed: int, each: int = 3) -> Iterator[Series]:
    """Make `each` series of every kind: one in six has no fault, one in eight has gaps."""
    for number, (kind, (faults, positive)) in enumerate(KINDS.items()):
        for copy in range(each):
            random = np.random.default_rng([seed, number, copy])
            rows, of_day = SHAPES[int(random.integers(len(SHAPES)))]
            days = np.arange(rows) / of_day + random.random()
            if random.random() < 1 / 8:
                days += np.cumsum(
                    np.where(random.random(rows) < 3 / rows, random.random(rows), 0.0)
                )
            values = kind(random, days)
            many = 0 if random.random() < 1 / 6 else int(random.integers(1, 4))
            spoilt = list(_spoil(random, values, many, faults, of_day))
            if positive:
                values = np.maximum(values, 0.0)
            name = " ".join([f"{kind.__name__}-{copy}", *(fault for fault, _ in spoilt)])
            windows = [window for _, window in spoilt]
            yield Series(name, (_START + days * _DAY).tolist(), values.tolist(), windows)


def _spoil(
    random: Random, values: Values, many: int, faults: list[Fault], of_day: int
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Put faults into a series, and yield the name and the window of each."""
    rows = values.size
    spread = max(float(np.std(values[: rows // 5])), 1e-3)
    half = rows // (20 * max(many, 1))
    part = (rows - int(0.2 * rows)) // max(many, 1)
    for number in range(many):
        begin = int(0.2 * rows) + number * part
        first = int(random.integers(begin + half, begin + part - half))
        length = int(random.integers(20, max(25, min(2 * of_day, half))))
        fault = faults[int(random.integers(len(faults)))]
        fault(random, values, first, min(first + length, rows), spread)
        yield fault.__name__, (first - half, min(first + half, rows - 1))
