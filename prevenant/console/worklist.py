"""What needs somebody: open cases, and alarms that no case is about, the most urgent first."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlmodel import Session, col, func, or_, select

from prevenant.crm.tables import Device, Site
from prevenant.domain import Severity
from prevenant.tables import ACTIVE, LATCHED, Alarm, TimelineEntry
from workflows.tables import HANDED_OVER, OPEN, Case, CaseAlarm

NOBODY = "nobody"
_SHOWN, _SHOWN_SITES = 60, 500

Sites = frozenset[str] | None


class Filters(BaseModel):
    """Which of it is asked for, and in which order; what is empty may be anything."""

    severity: Literal["", "info", "minor", "major", "critical", "life_safety"] = ""
    """At least so severe."""
    owner: str = ""
    """A name; `nobody`: what nobody has taken."""
    site: str = ""
    order: Literal["severity", "age", "owner"] = "severity"

    def words(self, **changes: str) -> dict[str, str]:
        """Return what stands in the address for them, with some of them changed."""
        values = {**self.model_dump(), **changes}
        return {key: value for key, value in values.items() if value and value != "severity"}

    @property
    def are_set(self) -> bool:
        """Whether something may be left out."""
        return bool(self.severity or self.owner or self.site)


@dataclass(frozen=True, slots=True)
class Item:
    """A case, or an alarm that no case is about."""

    kind: Literal["case", "alarm"]
    id: int
    severity: Severity
    state: str
    rule: str
    device_id: str
    site_id: str
    since: datetime
    owner: str
    reason: str
    """Why it was raised."""
    label: str = ""
    site: str = ""
    last: str = ""
    """What happened last, in words."""
    cases: int = 0
    """Of a storm: how many open cases it has."""
    is_storm: bool = False

    @property
    def is_unseen(self) -> bool:
        """Whether nobody has acknowledged or taken it."""
        return not self.owner


@dataclass(frozen=True, slots=True)
class Worklist:
    """What is shown of what needs somebody, and how much there is in all."""

    items: tuple[Item, ...]
    total: int
    unseen: int
    """How many of all nobody has taken."""
    by_severity: dict[str, int]
    """Open cases and loose alarms by severity, those that the filters leave out too."""
    urgent: tuple[Item, ...]
    """Life-safety that nobody has acknowledged; no filter leaves any out."""


def find_worklist(session: Session, filters: Filters, sites: Sites) -> Worklist:
    """Return what needs somebody at some sites."""
    chosen = _order([*_cases(session, filters, sites), *_alarms(session, filters, sites)], filters)
    urgent = Filters(severity="life_safety", owner=NOBODY)
    unseen = _order([*_cases(session, urgent, sites), *_alarms(session, urgent, sites)], urgent)
    counts = _count(session, Filters(), sites)
    return Worklist(
        items=tuple(_name(session, chosen[:_SHOWN])),
        total=sum(_count(session, filters, sites).values())
        if filters.are_set
        else sum(counts.values()),
        unseen=sum(_count(session, Filters(owner=NOBODY), sites).values()),
        by_severity={one.word: counts.get(one, 0) for one in reversed(Severity)},
        urgent=tuple(_name(session, unseen[:_SHOWN])),
    )


def _cases(session: Session, filters: Filters, sites: Sites) -> list[Item]:
    query = _wanted_cases(select(Case, Alarm.reason), filters, sites).join(
        Alarm, col(Alarm.id) == Case.alarm_id
    )
    order = col(Case.opened_at).desc()
    if filters.order == "severity":
        query = query.order_by(col(Case.severity).desc(), col(Case.owner) != "", order)
    elif filters.order == "owner":
        query = query.order_by(col(Case.owner), col(Case.severity).desc(), order)
    return [
        Item(
            kind="case",
            id=case.id or 0,
            severity=Severity(case.severity),
            state=case.state,
            rule=case.storm_of or case.rule,
            device_id=case.device_id,
            site_id=case.site_id,
            since=case.opened_at,
            owner=case.owner,
            reason="" if case.storm_of else reason,
            is_storm=bool(case.storm_of),
        )
        for case, reason in session.exec(query.order_by(order).limit(_SHOWN))
    ]


def _alarms(session: Session, filters: Filters, sites: Sites) -> list[Item]:
    query = _wanted_alarms(select(Alarm), filters, sites)
    if filters.order == "severity":
        query = query.order_by(col(Alarm.severity).desc())
    return [
        Item(
            kind="alarm",
            id=alarm.id or 0,
            severity=Severity(alarm.severity),
            state=alarm.state,
            rule=alarm.rule,
            device_id=alarm.device_id,
            site_id=alarm.site_id,
            since=alarm.raised_at,
            owner=alarm.acknowledged_by,
            reason=alarm.reason,
        )
        for alarm in session.exec(query.order_by(col(Alarm.id).desc()).limit(_SHOWN))
    ]


def _wanted_cases(query: Any, filters: Filters, sites: Sites) -> Any:
    """Leave out what is over, and the cases of a storm, for which it stands, but for life-safety.

    A storm is at no site: who may not see everything sees its cases.
    """
    query = query.where(col(Case.state).in_((OPEN, HANDED_OVER)))
    if sites is None:
        alone = col(Case.parent_id).is_(None)
        query = query.where(or_(alone, Case.severity == Severity.LIFE_SAFETY))
    if filters.owner:
        query = query.where(Case.owner == ("" if filters.owner == NOBODY else filters.owner))
    return _anywhere(query, Case, filters, sites)


def _wanted_alarms(query: Any, filters: Filters, sites: Sites) -> Any:
    """Leave out what is over or held back, and what a case is about."""
    in_cases = select(CaseAlarm.alarm_id).where(CaseAlarm.alarm_id == Alarm.id).exists()
    query = query.where(col(Alarm.state).in_((ACTIVE, LATCHED)), Alarm.held_by == "", ~in_cases)
    if filters.owner:
        owner = "" if filters.owner == NOBODY else filters.owner
        query = query.where(Alarm.acknowledged_by == owner)
    return _anywhere(query, Alarm, filters, sites)


def _anywhere(query: Any, table: Any, filters: Filters, sites: Sites) -> Any:
    if filters.severity:
        query = query.where(table.severity >= Severity[filters.severity.upper()])
    if filters.site:
        query = query.where(table.site_id == filters.site)
    return query if sites is None else query.where(table.site_id.in_(sites))


def _order(items: Iterable[Item], filters: Filters) -> list[Item]:
    newest = sorted(items, key=lambda one: one.since, reverse=True)
    match filters.order:
        case "severity":
            return sorted(newest, key=lambda one: (-one.severity, not one.is_unseen))
        case "owner":
            return sorted(newest, key=lambda one: (one.owner, -one.severity))
        case _:
            return newest


def _count(session: Session, filters: Filters, sites: Sites) -> dict[int, int]:
    counts: dict[int, int] = {}
    cases = _wanted_cases(select(Case.severity, func.count()), filters, sites)
    alarms = _wanted_alarms(select(Alarm.severity, func.count()), filters, sites)
    for query, by in ((cases, Case.severity), (alarms, Alarm.severity)):
        for severity, count in session.exec(query.group_by(by)):
            counts[severity] = counts.get(severity, 0) + count
    return counts


def _name(session: Session, items: Sequence[Item]) -> Iterable[Item]:
    """Give items the names of their places, what happened last, and the size of a storm."""
    labels = _names(
        session, select(Device.id, Device.label), Device.id, {i.device_id for i in items}
    )
    sites = _names(session, select(Site.id, Site.name), Site.id, {one.site_id for one in items})
    cases = {one.id for one in items if one.kind == "case"}
    latest = select(func.max(TimelineEntry.id)).where(col(TimelineEntry.case_id).in_(cases))
    lines = select(TimelineEntry.case_id, TimelineEntry.summary).where(
        col(TimelineEntry.id).in_(latest.group_by(col(TimelineEntry.case_id)))
    )
    last = dict(session.exec(lines).all()) if cases else {}
    storms = {one.id for one in items if one.is_storm}
    children = select(Case.parent_id, func.count()).where(
        col(Case.parent_id).in_(storms), Case.state == OPEN
    )
    sizes = dict(session.exec(children.group_by(col(Case.parent_id))).all()) if storms else {}
    for one in items:
        own = one.kind == "case"
        yield replace(
            one,
            label=labels.get(one.device_id) or one.device_id.rpartition("/")[2],
            site=sites.get(one.site_id, one.site_id),
            last=last.get(one.id, "") if own else "",
            cases=sizes.get(one.id, 0) if own else 0,
        )


def _names(session: Session, query: Any, key: Any, wanted: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = dict(session.exec(query.where(col(key).in_(wanted))).all())
    return found


def find_sites(session: Session, sites: Sites) -> list[tuple[str, str]]:
    """Return the sites that can be asked for, with their names, in the order of these."""
    query = select(Site.id, Site.name).order_by(Site.name).limit(_SHOWN_SITES)
    if sites is not None:
        query = query.where(col(Site.id).in_(sites))
    return list(session.exec(query).all())
