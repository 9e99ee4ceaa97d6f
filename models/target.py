"""What a model predicts, in words; and what can be predicted from data, where nobody says."""

import numpy as np

from models.base import History
from prevenant.durations import format_duration, parse_duration
from prevenant.target import ANOMALY, CYCLES, FAILURE, REMAINING_LIFE, SECONDS, Target

_HORIZONS = ("15m", "1h", "6h", "12h", "24h", "48h", "72h")
_PART_OF_A_LIFE = 0.1


def describe_target(target: Target) -> str:
    """Return the same as people write it."""
    if target.kind == ANOMALY:
        return "anomaly"
    if target.kind == REMAINING_LIFE:
        return f"remaining life in {CYCLES if target.unit == CYCLES else 'time'}"
    return f"failure {describe_horizon(target)}"


def describe_horizon(target: Target) -> str:
    """Return how far ahead a failure is looked for: `now`, `within 3d`, `within 30 cycles`."""
    if target.horizon <= 0:
        return "now"
    if target.unit == CYCLES:
        return f"within {target.horizon:g} cycles"
    hours = target.horizon / 3600
    # People plan in hours up to a week.
    whole = hours.is_integer() and 1 <= hours < 168  # noqa: PLR2004
    return f"within {hours:.0f}h" if whole else f"within {format_duration(target.horizon)}"


def deduce_target(history: History, *, ends_in_failure: bool) -> tuple[Target, str]:
    """Return what can be predicted from such data, and why that.

    Rows that are alone for their device say whether it fails now; cycles, or records that end with each
    device's failure, how long it lives; times of failures, whether one comes within a horizon.
    """
    devices = history.rows["device"].nunique()
    if devices == len(history.rows) and not ends_in_failure:
        return Target(FAILURE, history.unit), "each device has one row, with no past to learn from"
    if history.unit == CYCLES:
        return Target(REMAINING_LIFE, CYCLES), "the rows count cycles"
    if ends_in_failure:
        return Target(REMAINING_LIFE, SECONDS), "each device's record ends with its failure"
    horizon = _choose_horizon(history)
    why = f"the failures have times, and devices are seen for {format_duration(_life_s(history))} each"
    return Target(FAILURE, SECONDS, horizon), why


def _choose_horizon(history: History) -> float:
    """Return the longest usual horizon that is a tenth of what is seen of a device before a failure."""
    limit = _PART_OF_A_LIFE * _life_s(history)
    horizons = [parse_duration(text) for text in _HORIZONS]
    return max([one for one in horizons if one <= limit], default=horizons[0])


def _life_s(history: History) -> float:
    """Return how long a device is seen for each of its failures, in the middle of those that have any."""
    failed = history.failures.groupby("device")["failed_at"].count()
    stretches = history.rows.groupby("device")["at"]
    spans = stretches.last() - stretches.first()
    lives = (spans.loc[failed.index] / failed).to_numpy(dtype=np.float64)
    return float(np.median(lives)) if len(lives) else 0.0
