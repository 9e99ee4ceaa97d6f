"""Chooses when a prediction sends somebody: the threshold, and how many readings have to agree."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from models.base import Calls
from models.calls import MISS_OVER_FALSE, Lives, call_rows, judge
from models.inputs import Floats
from prevenant.target import REMAINING_LIFE, Target

_DEBOUNCES = (1, 2, 3, 5, 8, 12)
_THRESHOLDS = 60
_CLEARLY = 2.0
"""Standard errors of a difference that is more than chance."""
_TRIFLE = 0.05
"""Of a visit's cost: less by life is no reason to wait for more readings."""


def choose_calls(target: Target, window: tuple[float, float], lives: Lives) -> Calls:
    """Return the threshold and debounce that cost least on `lives`; `window` is (latest, earliest)."""
    longest = int(np.diff([*lives.starts, len(lives.at)]).max(initial=1))
    debounces = [one for one in _DEBOUNCES if one <= longest]
    choose = _choose_for_lives if target.kind == REMAINING_LIFE else _choose_for_chances
    return choose(target, window, lives, debounces)


def _choose_for_lives(
    target: Target, window: tuple[float, float], lives: Lives, debounces: list[int]
) -> Calls:
    """Return the calls that cost least where each lead might as well have been a little different.

    On ten lives many thresholds and debounces catch all ten, and which of them will catch the next is told
    by how far inside the window their leads lie. More readings in a row are asked for only where that is
    clearly better.
    """
    latest, earliest = window
    thresholds = np.linspace(latest, earliest * 1.2, _THRESHOLDS)
    # Silverman's rule (1986) for leads that fill the window: narrower the more lives there are.
    spread = (earliest - latest) / 2 * max(1, len(lives.starts)) ** -0.2
    found: list[tuple[Calls, Floats]] = []
    for debounce in debounces:
        tried = [Calls(float(one), debounce, earliest, latest) for one in thresholds]
        costs = np.array([expect_costs(target, calls, lives, spread) for calls in tried])
        place = _middle(costs.sum(axis=1) <= costs.sum(axis=1).min() + 1e-9)
        found.append((tried[place], costs[place]))
    best = found[int(np.argmin([costs.sum() for _, costs in found]))][1]
    for calls, costs in found:
        if not is_clearly_more(costs - best - _TRIFLE):
            return calls
    return found[0][0]


def is_clearly_more(differences: Floats) -> bool:
    """Return whether differences, one a life, are above zero by more than chance would have it."""
    standard_error = differences.std() / np.sqrt(max(1, len(differences) - 1))
    return bool(differences.mean() > _CLEARLY * standard_error + 1e-9)


def expect_costs(target: Target, calls: Calls, lives: Lives, spread: float) -> Floats:
    """Return what calls by remaining life cost each life in the mean, spread about when they came."""
    called = call_rows(target, calls, lives)
    life = np.searchsorted(lives.starts, called, side="right") - 1
    fails = lives.fail_within(calls.earliest)
    costs = np.where(fails, MISS_OVER_FALSE, 0.0)
    lead = lives.ends_at[called] - lives.at[called]
    early, late = (
        ndtr(beyond / max(spread, 1e-9)) for beyond in (lead - calls.earliest, calls.latest - lead)
    )
    costs[life] = np.where(fails[life], 1.0 - late + MISS_OVER_FALSE * (early + late), 1.0)
    return costs


def _choose_for_chances(
    target: Target, window: tuple[float, float], lives: Lives, debounces: list[int]
) -> Calls:
    """Return the calls that cost least, in the middle of a valley: there others cost the same."""
    latest, earliest = window
    thresholds = np.unique(np.quantile(lives.value, 1.0 - np.geomspace(1e-4, 0.5, _THRESHOLDS)))
    best, least = Calls(float(thresholds[0]), 1, earliest, latest), np.inf
    for debounce in debounces:
        tried = [Calls(float(one), debounce, earliest, latest) for one in thresholds]
        costs = [judge(target, calls, lives).cost() for calls in tried]
        steady = np.convolve(np.pad(costs, 1, mode="edge"), np.ones(3) / 3, mode="valid")
        place = _middle(steady <= steady.min() + 1e-9)
        if steady[place] < least - 1e-9:
            best, least = tried[place], float(steady[place])
    return best


def _middle(low: NDArray[np.bool_]) -> int:
    """Return the middle of the longest run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]])))
    begins, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - begins))
    return int((begins[longest] + ends[longest] - 1) // 2)
