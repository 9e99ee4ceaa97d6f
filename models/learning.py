"""Finds out from data what features are to be made of: no knowledge of the sensors is needed.

Constants are dropped. Operating regimes are looked for (k-means, judged by the silhouette), and kept where
devices switch between them again and again: a way of working, not a stage of wear. Time constants follow
from the data's step, from how long devices live, and from how far ahead is to be seen.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from models.base import History
from models.features import Channel, Definition, Input, Regimes, listen_to, one_regime
from models.inputs import Floats
from models.labels import Labels
from models.task import Task, group_rows
from models.wear import find_wear, tells_more_with_wear
from prevenant.target import FAILURE, REMAINING_LIFE, Target

_MOST_WORDS = 24
_MOST_REGIMES = 10
_SILHOUETTE = 0.6
_TELLING = 0.8
"""A channel tells regimes apart where so much of its variance lies between them."""
_LOOKED_AT = 2_000
"""So many rows are clustered."""
_SWITCHES = 5
"""So often a device must switch between regimes, in the median."""
_LIFE_PARTS = 6.0
"""The longest time constant is this part of a life."""
_BASELINE_PARTS = 5.0
"""A device's first readings, for this part of a life, are its own normal."""
_CONSTANT = 1e300
"""The spread of what does not move in a regime."""
_MOST_CROSSED = 12
_FEW = 3.0
_MOST_INPUTS = 60
"""So many are followed at most where nobody says which: of hundreds, most say nothing of failures."""
_COMPARED = 10_000


def learn_definition(
    history: History, labels: Labels, target: Target, inputs: Sequence[str] | None
) -> Definition:
    """Return what features of `history` are made of; without `inputs`, of all its fields."""
    rows = history.rows
    has_past = len(rows) >= _FEW * rows["device"].nunique()
    texts = list(inputs) if inputs is not None else _choose_inputs(history, has_past=has_past)
    kept, dropped = _look_through(rows, texts)
    plain = listen_to(kept, dropped)
    channels = plain.channels
    if not channels:
        return plain
    values = plain.read_columns({name: rows[name].to_numpy() for name in plain.fields})
    mean, spread = _spread(values)
    regimes = (has_past and _find_regimes((values - mean) / spread, values, rows)) or one_regime(
        mean.tolist(), spread.tolist()
    )
    step, life = _step(rows), labels.life
    z = _normalise(values, mean, spread, regimes)
    if inputs is None and has_past and len(kept) > _MOST_INPUTS:
        telling = _find_telling(z, rows, labels) + np.array(regimes.heed or [0.0] * len(channels))
        kept, own = _keep_telling(kept, channels, telling, dropped)
        channels, regimes = listen_to(kept).channels, _regimes_of(regimes, own)
        mean, spread, z = mean[own], spread[own], z[:, own]
    wear = find_wear(z, labels.near, labels.far)
    if wear and not has_past and target.kind == FAILURE:
        wanted, groups = labels.wanted(target, 0.0), group_rows(history, labels, target)
        if not tells_more_with_wear(z, Task(target, labels, wanted, groups, 0)):
            wear = []
    definition = Definition(
        kept,
        channels,
        regimes,
        mean.tolist(),
        spread.tolist(),
        step=step,
        has_age=bool(has_past and labels.is_run_to_failure),
        dropped=dropped,
        wear=wear,
    )
    if not has_past:
        return definition
    longest = life / _LIFE_PARTS
    if target.kind != REMAINING_LIFE and target.horizon:
        longest = min(longest, target.horizon / 2)
    shortest = 3.0 * step
    longest = max(longest, 3.0 * shortest)
    by_reading = life if labels.is_run_to_failure else min(life, 4.0 * longest)
    return replace(
        definition,
        time_constants=tuple(np.geomspace(shortest, longest, 4).tolist()),
        baseline_readings=max(5, round(by_reading / _BASELINE_PARTS / step)),
        baseline_time_constant=0.0 if labels.is_run_to_failure else 20.0 * longest,
    )


def _choose_inputs(history: History, *, has_past: bool) -> list[str]:
    """Return the fields; where devices have no past, also what two of them make together."""
    fields = history.fields
    if has_past:
        return fields
    numbers = [
        name
        for name in fields
        if pd.api.types.is_numeric_dtype(history.rows[name]) and history.rows[name].nunique() > _FEW
    ]
    if len(numbers) > _MOST_CROSSED:
        return fields
    pairs = list(combinations(numbers, 2))
    return [
        *fields,
        *(f"{one} * {other}" for one, other in pairs),
        *(f"{one} - {other}" for one, other in pairs),
        *(f"{one} / {other}" for one, other in pairs),
    ]


def _look_through(
    rows: pd.DataFrame, texts: Sequence[str]
) -> tuple[tuple[Input, ...], dict[str, str]]:
    """Return what can be learned from, and why the rest cannot."""
    kept: list[Input] = []
    dropped: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        column = rows.get(text)
        if column is not None and not pd.api.types.is_numeric_dtype(column):
            words = tuple(sorted(str(word) for word in column.dropna().unique()))
            if len(words) < 2:  # noqa: PLR2004  one word says nothing
                dropped[text] = "it is always the same"
            elif len(words) > _MOST_WORDS:
                dropped[text] = f"it has {len(words)} different words, more than {_MOST_WORDS}"
            else:
                kept.append(Input(text, words))
            continue
        one = Input(text)
        plain = listen_to([one])
        values = plain.read_columns({name: rows[name].to_numpy() for name in plain.fields})[:, 0]
        values = values[np.isfinite(values)]
        if not len(values):
            dropped[text] = "it is always missing"
        elif np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):
            dropped[text] = "it is always the same"
        else:
            kept.append(one)
    return tuple(kept), dropped


def _find_telling(z: Floats, rows: pd.DataFrame, labels: Labels) -> Floats:
    """Return by channel how far apart it lies near failures and far from them, 0 to 1.

    What is compared are distributions (Kolmogorov and Smirnov), of the values and of their distance to the
    device's own mean: levels, trends and spreads all show there.
    """
    random = np.random.default_rng(0)
    near, far = (
        random.permutation(np.flatnonzero(side))[:_COMPARED] for side in (labels.near, labels.far)
    )
    devices = rows["device"].to_numpy()
    telling = np.zeros(z.shape[1])
    for channel, values in enumerate(z.T):
        apart = values - pd.Series(values).groupby(devices).transform("mean").to_numpy(float)
        telling[channel] = max(_tell_apart(one[near], one[far]) for one in (values, apart))
    return telling


def _keep_telling(
    kept: tuple[Input, ...], channels: Sequence[Channel], telling: Floats, dropped: dict[str, str]
) -> tuple[tuple[Input, ...], NDArray[np.intp]]:
    """Return the inputs of a wide table that tell most, and their channels; note why others do not."""
    by_input = np.zeros(len(kept))
    np.maximum.at(by_input, [one.input for one in channels], telling)
    chosen = set(np.argsort(-by_input, kind="stable")[:_MOST_INPUTS].tolist())
    for number, one in enumerate(kept):
        if number not in chosen:
            dropped[one.text] = f"{_MOST_INPUTS} others tell more of failures"
    own = [index for index, one in enumerate(channels) if one.input in chosen]
    return tuple(kept[number] for number in sorted(chosen)), np.array(own, np.intp)


def _regimes_of(regimes: Regimes, own: NDArray[np.intp]) -> Regimes:
    """Return the regimes with some of their channels."""
    centres, means, scales = (
        np.array(one)[:, own].tolist() for one in (regimes.centres, regimes.means, regimes.scales)
    )
    heed = np.array(regimes.heed)[own].tolist() if regimes.heed else []
    return Regimes(centres, means, scales, heed)


def _tell_apart(some: Floats, others: Floats) -> float:
    """Return how far two distributions lie apart, 0 to 1; missing values say nothing."""
    some, others = some[~np.isnan(some)], others[~np.isnan(others)]
    if not len(some) or not len(others):
        return 0.0
    places = np.concatenate([some, others])
    one, other = (
        np.searchsorted(np.sort(side), places, side="right") / len(side) for side in (some, others)
    )
    return float(np.abs(one - other).max())


def _spread(values: Floats) -> tuple[Floats, Floats]:
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return mean, np.where(spread > 0, spread, 1.0)


def _step(rows: pd.DataFrame) -> float:
    """Return the usual time between two rows of a device."""
    apart = rows["at"].diff()[rows["device"].eq(rows["device"].shift())]
    return float(apart.median()) if len(apart) else 1.0


def _find_regimes(known: Floats, values: Floats, rows: pd.DataFrame) -> Regimes | None:
    """Return the ways of working that devices switch between; None where there is one.

    Looked for twice: first among all channels, then among those that tell the first finding apart.
    """
    known = np.where(np.isnan(known), 0.0, known)
    random = np.random.default_rng(0)
    chosen = random.choice(len(known), min(_LOOKED_AT, len(known)), replace=False)
    sample = known[chosen]
    if len(np.unique(sample, axis=0)) <= _MOST_REGIMES:
        return None
    labels, _, score = _cluster(sample)
    heed = _share_between(sample, labels) >= _TELLING
    if not heed.any() or (score < _SILHOUETTE and heed.all()):
        return None
    labels, count, score = _cluster(sample[:, heed])
    if score < _SILHOUETTE:
        return None
    centres = np.array([sample[labels == number].mean(axis=0) for number in range(count)])
    apart = known[:, None, heed] - centres[:, heed]
    regime = (apart**2).sum(axis=2).argmin(axis=1)
    if not _is_switched(regime, rows):
        return None
    whole = np.nanstd(values, axis=0)
    means, scales = np.zeros_like(centres), np.full_like(centres, _CONSTANT)
    for number in range(len(centres)):
        own = values[regime == number]
        means[number] = np.nan_to_num(np.nanmean(own, axis=0))
        spread = np.nanstd(own, axis=0)
        told = spread > 1e-6 * np.where(whole > 0, whole, 1.0)
        scales[number, told] = spread[told]
    return Regimes(centres.tolist(), means.tolist(), scales.tolist(), heed.astype(float).tolist())


def _cluster(sample: Floats) -> tuple[NDArray[np.intp], int, float]:
    """Return the clusters that stand apart best: by row which one, how many, and the silhouette."""
    best, labels, most = -1.0, np.zeros(len(sample), np.intp), 1
    for count in range(2, min(_MOST_REGIMES, len(np.unique(sample, axis=0)) - 1) + 1):
        found = KMeans(count, n_init=3, random_state=0).fit(sample)
        if len(np.unique(found.labels_)) < count:
            break
        score = float(silhouette_score(sample, found.labels_))
        if score > best + 0.01:
            best, labels, most = score, found.labels_.astype(np.intp), count
    return labels, most, best


def _share_between(sample: Floats, labels: NDArray[np.intp]) -> Floats:
    """Return by channel how much of its variance lies between clusters."""
    centres = np.array([sample[labels == one].mean(axis=0) for one in range(labels.max() + 1)])
    whole = sample.var(axis=0)
    return np.asarray(centres[labels].var(axis=0) / np.where(whole > 0, whole, 1.0), float)


def _is_switched(regime: NDArray[np.intp], rows: pd.DataFrame) -> bool:
    """Return whether devices switch between regimes again and again."""
    same = rows["device"].eq(rows["device"].shift()).to_numpy()
    switches = pd.Series(same & (regime != np.roll(regime, 1))).groupby(rows["device"].to_numpy())
    return float(switches.sum().median()) >= _SWITCHES


def _normalise(values: Floats, mean: Floats, spread: Floats, regimes: Regimes) -> Floats:
    """Return channels in units of their spread within the regime of each row; what is missing is zero."""
    centres = np.array(regimes.centres)
    known = np.nan_to_num((values - mean) / spread)
    apart = (known[:, None, :] - centres) ** 2 * np.array(regimes.heed or [1.0] * len(mean))
    regime = apart.sum(axis=2).argmin(axis=1)
    z: Floats = (values - np.array(regimes.means)[regime]) / np.array(regimes.scales)[regime]
    return np.asarray(np.nan_to_num(z), float)
