"""What conditions ask of a device beyond its last reading: windows, changes, ages, numbers of its site."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from operator import attrgetter
from typing import Any

import msgspec

from prevenant.domain import Reading
from rules.expression import (
    Age,
    Changed,
    Condition,
    Field,
    Last,
    Leaf,
    Quantity,
    SiteNumber,
    Truth,
    Windowed,
    atom_truth,
    evaluate,
    leaves_of,
    quantity_value,
)
from rules.windows import Totals, Track, Window, as_text

Lookup = Callable[[Any], Any]
"""From a leaf to its value."""
NumberOfSite = Callable[[SiteNumber], float | None]


class Memory(msgspec.Struct, gc=False):
    """What one device's readings have left behind."""

    windows: list[Window]
    tracks: list[Track]
    observed: float = 0.0
    """The device's own time at its newest reading."""
    received: float = 0.0
    """When a reading of that time first arrived: a repetition does not put the device's clock back."""


class Derived:
    """The windows and tracks that the conditions on one device type need."""

    def __init__(self, leaves: Iterable[Leaf], changes: Sequence[Changed]) -> None:
        leaves = list(leaves)
        windowed = [leaf for leaf in leaves if isinstance(leaf, Windowed)]
        self._bases = list(dict.fromkeys((leaf.of, leaf.window_s) for leaf in windowed))
        self._window_of = {leaf: self._bases.index((leaf.of, leaf.window_s)) for leaf in windowed}
        asked = [leaf for leaf in leaves if isinstance(leaf, Last | Age)]
        fields = [one.field for one in (*asked, *changes)]
        self._fields = list(dict.fromkeys(fields))
        self._track_of = {field: number for number, field in enumerate(self._fields)}
        self._asked = [
            frozenset(as_text(c.to) for c in changes if c.field == field and c.to is not None)
            for field in self._fields
        ]
        self._lasts = [leaf for leaf in asked if isinstance(leaf, Last)]
        self._changes = changes
        self.ages: dict[Age, list[float]] = {}
        """By age, the breakpoints that time alone will cross."""

    @property
    def is_needed(self) -> bool:
        """Whether a device has to remember anything."""
        return bool(self._bases or self._fields)

    @property
    def names(self) -> list[str]:
        """What is remembered, in order: the same names mean the same in another book."""
        return [f"{of!r} {window_s}" for of, window_s in self._bases] + [
            repr(field) for field in self._fields
        ]

    def adopt(self, memory: Memory, names: Sequence[str]) -> Memory:
        """Return `memory`, which was kept under `names`, as far as it is asked for here."""
        known = dict(zip(names, [*memory.windows, *memory.tracks], strict=True))
        new = self.new_memory()
        new.observed, new.received = memory.observed, memory.received
        count = len(new.windows)
        for number, name in enumerate(self.names):
            kept = known.get(name)
            if isinstance(kept, Window):
                new.windows[number] = kept
            elif isinstance(kept, Track):
                new.tracks[number - count] = kept
                kept.ask(self._asked[number - count])
        return new

    def new_memory(self, reading: Reading | None = None) -> Memory:
        """Return the memory of a device of which nothing was kept; `reading` is its newest."""
        memory = Memory(
            [Window(window_s) for _, window_s in self._bases], [Track() for _ in self._fields]
        )
        if reading is not None:
            memory.observed, memory.received = reading.observed_at, reading.received_at
        return memory

    def note(self, memory: Memory, reading: Reading) -> None:
        """Keep what `reading`, the newest of its device, says."""
        if reading.observed_at > memory.observed:
            memory.observed, memory.received = reading.observed_at, reading.received_at
        value_of = value_lookup(reading)
        for (of, _), window in zip(self._bases, memory.windows, strict=True):
            window.add(reading.observed_at, _number(of, value_of))
        for field, track, asked in zip(self._fields, memory.tracks, self._asked, strict=True):
            track.take(reading.observed_at, value_of(field), asked)

    def lookup(
        self, memory: Memory, reading: Reading, now: float, number_of: NumberOfSite
    ) -> Lookup:
        """Return how to find a leaf's value, and whether something changed, at the observed time `now`."""
        value_of = value_lookup(reading)
        totals: dict[int, Totals] = {}

        def find(leaf: Any) -> Any:
            match leaf:
                case Windowed():
                    number = self._window_of[leaf]
                    window = memory.windows[number]
                    if number not in totals:
                        totals[number] = window.total(now)
                    return _window_value(leaf, totals[number], is_known=window.is_known)
                case Last(field, window_s):
                    track = memory.tracks[self._track_of[field]]
                    return track.value if now - track.sent_at <= window_s else None
                case Age(field):
                    track = memory.tracks[self._track_of[field]]
                    return None if track.value is None else now - track.sent_at
                case Changed(field):
                    return _has_changed(leaf, memory.tracks[self._track_of[field]], now)
                case SiteNumber():
                    return number_of(leaf)
            return value_of(leaf)

        return find

    def changes_at(self, memory: Memory, now: float) -> float:
        """Return the observed time, after `now`, at which time alone may change something."""
        due = min((window.moves_at() for window in memory.windows), default=inf)
        for leaf in self._lasts:
            due = _earlier(
                due, memory.tracks[self._track_of[leaf.field]].sent_at + leaf.window_s, now
            )
        for change in self._changes:
            track = memory.tracks[self._track_of[change.field]]
            due = _earlier(due, track.changed_at + change.window_s, now)
            due = _earlier(due, track.known_since + change.window_s, now)
            if change.to is not None:
                for since in (track.became, track.unsure):
                    at = since.get(as_text(change.to), -inf)
                    due = _earlier(due, at + change.window_s, now)
        for age, bounds in self.ages.items():
            sent_at = memory.tracks[self._track_of[age.field]].sent_at
            position = bisect_right(bounds, now - sent_at)
            if position < len(bounds):
                due = min(due, sent_at + bounds[position])
        return due


def value_lookup(reading: Reading, this: Reading | None = None) -> Lookup:
    """Return how to find a field's value in `reading`, or in `this` for a `this.` field."""

    def value_of(field: Field) -> Any:
        source = this if field.of_this and this is not None else reading
        if field.name == "device":
            return source.device_id.rpartition("/")[2]
        if field.name == "site":
            return source.site_id
        return getattr(source.values, field.attribute)

    return value_of


def holds(condition: Condition, reading: Reading, this: Reading | None = None) -> Truth:
    """Return the truth of a condition of fields alone, without any breakpoints."""
    value_of = value_lookup(reading, this)
    return evaluate(condition, lambda atom: atom_truth(atom, value_of))


def share_of(number: SiteNumber, reading: Reading) -> float | None:
    """Return what a device's reading adds to a number of its site: None where it says nothing."""
    return _number(number.of, value_lookup(reading))


def is_derived(leaf: Leaf) -> bool:
    """Whether a leaf's value is more than what stands in a reading."""
    return not isinstance(leaf, Field)


def has_derived(part: Quantity | Condition) -> bool:
    """Whether something in `part` is more than what stands in a reading."""
    return any(is_derived(leaf) for leaf in leaves_of(part))


def _number(of: Quantity | Condition, value_of: Callable[[Any], Any]) -> float | None:
    """Return a quantity's value; of a condition 1 where it holds, 0 where not."""
    if isinstance(of, Quantity):
        return quantity_value(of, value_of)
    truth = evaluate(of, lambda atom: atom_truth(atom, value_of))
    return None if truth is None else float(truth)


def _window_value(leaf: Windowed, totals: Totals, *, is_known: bool) -> float | None:
    if leaf.function == "count":
        if not is_known:
            return None
        return float(totals.count) if isinstance(leaf.of, Quantity) else totals.sum
    if not totals.count:
        return None
    if leaf.function == "rate":
        value = _rate(totals, leaf.window_s, leaf.per_s)
    else:
        value = _AGGREGATES[leaf.function](totals)
    # Numbers near the largest come to more than one holds: that can be neither compared nor stored.
    return value if value is not None and isfinite(value) else None


def _delta(totals: Totals) -> float | None:
    return totals.last - totals.first if totals.count > 1 else None


def _rate(totals: Totals, window_s: float, per_s: float) -> float | None:
    """Return the change in `per_s` seconds; two readings close together tell of their noise alone."""
    span = totals.last_at - totals.first_at
    if span <= 0 or span < window_s / 2:
        return None
    return (totals.last - totals.first) / span * per_s


_AGGREGATES: dict[str, Callable[[Totals], float | None]] = {
    "avg": attrgetter("mean"),
    "min": attrgetter("minimum"),
    "max": attrgetter("maximum"),
    "sum": attrgetter("sum"),
    "stddev": attrgetter("stddev"),
    "delta": _delta,
}


def _has_changed(change: Changed, track: Track, now: float) -> Truth:
    if track.value is None:
        return None
    at, unsure = track.changed_at, -inf
    if change.to is not None:
        text = as_text(change.to)
        at, unsure = track.became.get(text, -inf), track.unsure.get(text, -inf)
    if now - at <= change.window_s:
        return True
    known = now - track.known_since >= change.window_s and now - unsure > change.window_s
    return False if known else None


def _earlier(due: float, at: float, now: float) -> float:
    """Return the earlier of `due` and `at`, which counts while it still lies ahead."""
    return min(due, at) if at >= now else due
