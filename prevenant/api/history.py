"""A device's history as curves: each value over time, with the bounds that a rule compares it with."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from ingest.history import Coverage, Span
from ingest.past import Past
from ingest.thinning import Point, Thinned
from prevenant.domain import DeviceType, Reading
from prevenant.errors import BookError, JournalError
from prevenant.publishing import BookVersion
from rules.bounds import Bound, Curves, bounds_of
from rules.explain import describe_quantity
from rules.expression import Field, Quantity, Windowed
from rules.rule import Rule, RuleBook

_KEPT_BOOKS = 4
_SAME_UNIT = frozenset({"avg", "min", "max", "delta", "stddev", "sum"})


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound as it is drawn: at a height, or along points where it moves."""

    sign: str
    value: float
    severity: str
    clears: bool
    words: str = ""
    """Of one that moves, what it is; empty otherwise."""
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Curve:
    """One value over time."""

    name: str
    unit: str
    is_flag: bool
    is_asked: bool
    """Whether the rule looks at it."""
    points: list[Point]
    limits: list[Limit]
    count: int
    """How many values there were before they were thinned."""


@dataclass(frozen=True, slots=True)
class History:
    """What a device has sent in a span of time, as curves."""

    span: Span
    curves: list[Curve] = field(default_factory=list)
    readings: int = 0
    is_cut: bool = False
    """Whether the span holds more than is read."""
    unreadable: int = 0
    """How many damaged places there are."""
    last_seq: int = 0
    why_not: str = ""
    """Why there is nothing to be seen, where that is so."""


class Histories:
    """Draws histories out of the past, one at a time: the engine needs the machine more."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._turn = threading.Lock()
        self._books: dict[int, RuleBook] = {}

    def draw(
        self, device_type: DeviceType, device_id: str, span: Span, rule: Rule | None = None
    ) -> History:
        """Return a device's curves in a span, those that `rule` looks at first."""
        coverage = Coverage()
        drawing = _Drawing(device_type, span, rule)
        looks_back_s = drawing.asked.looks_back_s if drawing.asked else 0.0
        wide = Span(span.since - looks_back_s, span.until, span.focus)
        try:
            with self._turn:
                drawing.take(self._past.read(device_type, device_id, wide, coverage))
        except JournalError as error:
            return History(span, why_not=str(error))
        return History(
            span,
            drawing.curves(),
            drawing.readings,
            coverage.is_cut,
            len(coverage.unreadable),
            coverage.last_seq,
        )

    def rules_at(self, session: Session, at: datetime, in_force: RuleBook) -> RuleBook:
        """Return the rules that decided at a time; those in force where earlier ones cannot be had."""
        query = select(BookVersion).where(BookVersion.published_at <= at)
        version = session.exec(query.order_by(col(BookVersion.id).desc()).limit(1)).first()
        if version is None or version.is_active or version.id is None:
            return in_force
        if version.id not in self._books:
            try:
                book = version.load().rules
            except BookError:
                return in_force
            while len(self._books) >= _KEPT_BOOKS:
                self._books.pop(next(iter(self._books)))
            self._books[version.id] = book
        return self._books[version.id]


class _Drawing:
    """Curves while they are drawn."""

    def __init__(self, device_type: DeviceType, span: Span, rule: Rule | None) -> None:
        self._type, self._span = device_type, span
        fields = frozenset(one.name for one in device_type.fields)
        self.asked = (
            Curves(rule, fields) if rule is not None and rule.on == device_type.name else None
        )
        self._bounds = bounds_of(rule) if rule is not None and self.asked else []
        self._series: dict[str, Thinned] = {}
        self.readings = 0

    def take(self, readings: Iterable[Reading]) -> None:
        """Take what the device said."""
        fields = [one for one in self._type.fields if one.kind is not str]
        for reading in readings:
            at = reading.observed_at
            asked = self.asked.take(reading) if self.asked else {}
            if at < self._span.since:
                continue
            self.readings += 1
            for quantity, number in asked.items():
                self._add(describe_quantity(quantity), at, number)
            for one in fields:
                value = getattr(reading.values, one.attribute)
                if value is not None and Field(one.name) not in asked:
                    self._add(one.name, at, float(value))

    def curves(self) -> list[Curve]:
        """Return what there is to see: what the rule looks at, then the other values."""
        asked = self.asked.quantities if self.asked else []
        beside = {one.beside for one in self._bounds}
        names = [one for one in asked if one not in beside or isinstance(one, Field)]
        rest = [Field(one.name) for one in self._type.fields if one.kind is not str]
        return [
            curve
            for one in dict.fromkeys([*names, *rest])
            if (curve := self._curve(one, is_asked=one in asked)) is not None
        ]

    def _curve(self, quantity: Quantity, *, is_asked: bool) -> Curve | None:
        name = describe_quantity(quantity)
        series = self._series.get(name)
        if series is None:
            return None
        known = self._type.field(quantity.name) if isinstance(quantity, Field) else None
        return Curve(
            name,
            self._unit_of(quantity),
            known is not None and known.kind is bool,
            is_asked,
            series.points(),
            list(self._limits(quantity)),
            series.count,
        )

    def _limits(self, quantity: Quantity) -> Iterator[Limit]:
        for bound in self._bounds:
            if bound.quantity == quantity and (limit := self._limit(bound)) is not None:
                yield limit

    def _limit(self, bound: Bound) -> Limit | None:
        severity = bound.severity.word
        if bound.beside is None:
            return Limit(bound.sign, bound.value, severity, bound.clears)
        words = describe_quantity(bound.beside)
        series = self._series.get(words)
        if series is None:
            return None
        if bound.value:
            words += f" {'+' if bound.value > 0 else '-'} {abs(bound.value):g}"
        points = [(at, value + bound.value) for at, value in series.points()]
        return Limit(bound.sign, points[-1][1], severity, bound.clears, words, points)

    def _unit_of(self, quantity: Quantity) -> str:
        match quantity:
            case Field(name):
                known = self._type.field(name)
                return (known.unit or "") if known else ""
            case Windowed(function, Field() as of) if function in _SAME_UNIT:
                return self._unit_of(of)
        return ""

    def _add(self, name: str, at: float, value: float) -> None:
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Thinned(self._span.since, self._span.until)
        series.add(at, value)


def view_history(history: History) -> dict[str, Any]:
    """Return a history as plain values; points as two lists, of times and of values."""
    return {
        "since": history.span.since,
        "until": history.span.until,
        "readings": history.readings,
        "is_cut": history.is_cut,
        "unreadable": history.unreadable,
        "why_not": history.why_not,
        "curves": [
            {
                "name": one.name,
                "unit": one.unit,
                "is_flag": one.is_flag,
                "is_asked": one.is_asked,
                "count": one.count,
                "points": _columns(one.points),
                "limits": [
                    {
                        "sign": limit.sign,
                        "value": limit.value,
                        "severity": limit.severity,
                        "clears": limit.clears,
                        "words": limit.words,
                        "points": _columns(limit.points),
                    }
                    for limit in one.limits
                ],
            }
            for one in history.curves
        ],
    }


def _columns(points: list[Point]) -> list[list[float]]:
    return [[at for at, _ in points], [value for _, value in points]]
