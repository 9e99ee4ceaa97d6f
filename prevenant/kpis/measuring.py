"""Figures over a time: of everything, or by site, customer, rule or severity; as a whole and by period."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlmodel import Session, select

from prevenant.crm.tables import Customer, Site
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.kpis.definitions import KPIS, Kpi, kpi_called
from prevenant.kpis.facts import Fact, Facts, Origin, reckon
from prevenant.kpis.figures import Figure
from prevenant.kpis.periods import MOST, Every, begins_between, place_of
from prevenant.kpis.reading import Scope, read_facts

By = Literal["site", "customer", "rule", "severity"]

_UTC = ZoneInfo("UTC")
_NOWHERE = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which figures are wanted, of what and of which time; what is not named may be anything."""

    since: datetime
    until: datetime
    names: Sequence[str] = ()
    """Of which figures; none means all."""
    every: Every | None = None
    """By which periods, beside the whole."""
    by: By | None = None
    zone: ZoneInfo = _UTC
    """By whose clocks days begin."""
    sites: Collection[str] | None = None
    """The sites that whoever asks may see; None is everywhere."""
    site: str | None = None
    customer: str | None = None
    rule: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A figure of one group: as a whole, and of each period by when it begins."""

    group: str
    """The id of a site or customer, a rule, or the word of a severity; empty where all are together."""
    label: str
    whole: Figure
    trend: tuple[tuple[datetime, Figure], ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """A KPI as it was asked for: one part for each group."""

    kpi: Kpi
    parts: tuple[Part, ...]


def measure(session: Session, asked: Asked) -> list[Measured]:
    """Return the figures that are asked for. Raises ConfigurationError where that cannot be answered."""
    kpis = [kpi_called(name) for name in asked.names] or list(KPIS)
    begins = _check_time(asked)
    sites = asked.sites
    if asked.site is not None:
        sites = {asked.site} if sites is None or asked.site in sites else set()
    scope = Scope(asked.since, asked.until, sites, asked.customer, asked.rule, asked.severity)
    facts = read_facts(session, scope)
    names = _Names(session, asked.by)
    return [Measured(kpi, _parts_of(kpi, facts, asked, begins, names)) for kpi in kpis]


def view_measured(measured: Measured, language: str = "en") -> dict[str, Any]:
    """Return a KPI as plain values, with its definition."""
    kpi = measured.kpi
    return {
        "name": kpi.name,
        "unit": kpi.unit,
        "dated_by": kpi.dated_by,
        "better": kpi.better,
        **asdict(kpi.said_in(language)),
        "parts": [
            {
                "group": part.group,
                "label": part.label,
                **asdict(part.whole),
                "trend": [{"from": at, **asdict(figure)} for at, figure in part.trend],
            }
            for part in measured.parts
        ],
    }


def _check_time(asked: Asked) -> list[datetime]:
    """Return when each period begins that is asked for."""
    if asked.until <= asked.since:
        raise ConfigurationError("it ends before it begins: name a later end")
    if asked.every is None:
        return []
    begins = begins_between(asked.since, asked.until, asked.every, asked.zone)
    if len(begins) >= MOST:
        message = f"that is more than {MOST} periods: name a shorter time, or weeks or months"
        raise ConfigurationError(message)
    return begins


def _parts_of(
    kpi: Kpi, facts: Facts, asked: Asked, begins: Sequence[datetime], names: "_Names"
) -> tuple[Part, ...]:
    groups: dict[str, list[tuple[datetime, Fact]]] = defaultdict(list)
    if asked.by is None:
        groups[_NOWHERE] = []
    for at, fact in facts.dated_by(kpi.dated_by):
        # A case that was closed in time may have been opened before it.
        if asked.since <= at < asked.until:
            groups[names.group_of(fact.origin)].append((at, fact))
    parts = [
        Part(
            group,
            names.label_of(group),
            reckon(kpi.name, [fact for _, fact in dated]),
            _trend_of(kpi, dated, begins),
        )
        for group, dated in groups.items()
    ]
    shown = [one for one in parts if asked.by is None or one.whole.count or one.whole.missing]
    return tuple(sorted(shown, key=lambda part: order_of(asked.by, part)))


def _trend_of(
    kpi: Kpi, dated: Sequence[tuple[datetime, Fact]], begins: Sequence[datetime]
) -> tuple[tuple[datetime, Figure], ...]:
    in_period: list[list[Fact]] = [[] for _ in begins]
    if begins:
        for at, fact in dated:
            in_period[place_of(begins, at)].append(fact)
    pairs = zip(begins, in_period, strict=True)
    return tuple((begin.astimezone(UTC), reckon(kpi.name, facts)) for begin, facts in pairs)


class _Names:
    """In which group something is, and what groups are called."""

    def __init__(self, session: Session, by: By | None) -> None:
        self._by = by
        self._labels: dict[str, str] = {}
        self._customers: dict[str, str] = {}
        if by == "site":
            self._labels = dict(session.exec(select(Site.id, Site.name)).all())
        elif by == "customer":
            self._customers = dict(session.exec(select(Site.id, Site.customer_id)).all())
            self._labels = dict(session.exec(select(Customer.id, Customer.name)).all())

    def group_of(self, origin: Origin) -> str:
        match self._by:
            case "site":
                return origin.site_id
            case "customer":
                return self._customers.get(origin.site_id, _NOWHERE)
            case "rule":
                return origin.rule
            case "severity":
                return Severity(origin.severity).word
            case None:
                return _NOWHERE

    def label_of(self, group: str) -> str:
        return self._labels.get(group, group)


def order_of(by: By | None, part: Part) -> tuple[int, str]:
    """Return by what groups are ordered: severities from the worst on, all else by name."""
    if by == "severity":
        return -Severity[part.group.upper()], ""
    return 0, part.label.casefold()
