"""What subscribers are told: what a live stream would tell them, in the body of a webhook.

    {"type": "case", "kind": "case.opened", "timestamp": "…", "id": 1201, "site": "t2", "data": {…}}

`type` is what a stream says after `event:`, `data` what it says after `data:`; `id` is the line of the
story from which it follows, and `kind` what happened.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fastapi.encoders import jsonable_encoder
from sqlmodel import Session, col, select

from notify.hook import TEST, Reference
from notify.message import Message
from notify.subscription import Subscription
from prevenant.api.cases import view_message, view_row
from prevenant.api.live_topics import (
    ALARMS,
    CASES,
    EVENTS,
    MESSAGES,
    STORY,
    WORK_ORDERS,
    view_alarm,
    view_job,
)
from prevenant.api.story import main_zone, view_entry
from prevenant.store import in_chunks
from prevenant.tables import Alarm, TimelineEntry
from workflows.tables import Case, WorkOrder


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the story, as far as it is looked at to find whom it concerns."""

    id: int
    kind: str
    case: int | None
    alarm: int | None
    message: int | None
    site: str
    """Empty: it is about no site that is known."""


def read_lines(session: Session, after: int, until: int, at_most: int) -> list[Line]:
    """Return lines of the story behind the one numbered `after`, in their order."""
    query = select(TimelineEntry).where(
        col(TimelineEntry.id) > after, col(TimelineEntry.id) <= until
    )
    entries = session.exec(query.order_by(col(TimelineEntry.id)).limit(at_most)).all()
    of_cases = _sites(session, Case, (one.case_id for one in entries))
    of_alarms = _sites(session, Alarm, (one.alarm_id for one in entries))
    return [
        Line(
            one.id or 0,
            one.kind,
            one.case_id,
            one.alarm_id,
            number if isinstance(number := one.detail.get("message"), int) else None,
            of_cases.get(one.case_id) or of_alarms.get(one.alarm_id) or "",
        )
        for one in entries
    ]


def is_told(subscription: Subscription, line: Line) -> bool:
    """Return whether a subscriber is told of a line."""
    at_site = subscription.sites is None or line.site in subscription.sites
    kinds = subscription.kinds
    return at_site and (not kinds or any(fnmatchcase(line.kind, one) for one in kinds))


def find_things(
    session: Session, subscription: Subscription, lines: Sequence[Line]
) -> list[Reference]:
    """Return what a subscriber is told from lines of the story, in their order."""
    wanted = [one for one in lines if is_told(subscription, one)]
    topics = frozenset(subscription.topics)
    jobs = _jobs(session, wanted) if WORK_ORDERS in topics else {}
    # Of several lines about the same thing, the last one is followed by what it has become.
    last = {(one.case, one.alarm): one.id for one in wanted}
    things = []
    for line in wanted:
        found: list[tuple[str, int | None]] = [(STORY, None)]
        if last[line.case, line.alarm] == line.id:
            found += [(ALARMS, line.alarm), (CASES, line.case)]
            found += [(WORK_ORDERS, one) for one in jobs.get(line.case or 0, ())]
            found.append((MESSAGES, line.message if line.case is not None else None))
        things += [
            Reference(line.id, topic, line.kind, number)
            for topic, number in found
            if topic in topics and (number is not None or topic == STORY)
        ]
    return things


def render(session: Session, subscription: Subscription, thing: Reference) -> bytes | None:
    """Word a thing as it is now; None where it is not kept any more, or not the subscriber's."""
    if thing.topic == TEST:
        return _body(TEST, TEST, 0, None, "", {"subscription": subscription.name})
    entry = session.get(TimelineEntry, thing.line)
    if entry is None:
        return None
    [line] = read_lines(session, thing.line - 1, thing.line, 1)
    values = _values(session, thing, entry)
    if values is None or (subscription.sites is not None and line.site not in subscription.sites):
        return None
    return _body(EVENTS[thing.topic], entry.kind, thing.line, entry.at, line.site, values)


def _values(session: Session, thing: Reference, entry: TimelineEntry) -> dict[str, Any] | None:
    match thing.topic:
        case "story":
            return view_entry(entry, main_zone(session))
        case "alarms":
            alarm = session.get(Alarm, thing.id)
            return view_alarm(alarm) if alarm else None
        case "cases":
            case = session.get(Case, thing.id)
            return view_row(case) if case else None
        case "work_orders":
            job = session.get(WorkOrder, thing.id)
            return view_job(job) if job else None
        case "messages":
            message = session.get(Message, thing.id)
            return view_message(session, message) if message else None
    return None


def _body(event: str, kind: str, number: int, at: Any, site: str, values: dict[str, Any]) -> bytes:
    said = {
        "type": event,
        "kind": kind,
        "timestamp": at,
        "id": number,
        "site": site,
        "data": values,
    }
    return json.dumps(jsonable_encoder(said), ensure_ascii=False).encode()


def _sites(session: Session, table: Any, ids: Iterable[int | None]) -> dict[int | None, str]:
    wanted = sorted({one for one in ids if one is not None})
    found: dict[int | None, str] = {}
    for some in in_chunks(wanted):
        found.update(session.exec(select(table.id, table.site_id).where(table.id.in_(some))).all())
    return found


def _jobs(session: Session, lines: Iterable[Line]) -> dict[int, list[int]]:
    """Return the work orders of cases, in the order in which they were made."""
    found: dict[int, list[int]] = {}
    for some in in_chunks(sorted({one.case for one in lines if one.case is not None})):
        query = select(WorkOrder.case_id, WorkOrder.id).where(col(WorkOrder.case_id).in_(some))
        for case, number in session.exec(query.order_by(col(WorkOrder.id))):
            found.setdefault(case, []).append(number or 0)
    return found
