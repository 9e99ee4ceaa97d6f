"""What a stream of events may tell: lines of the story, and what they are about, as it is now."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fastapi.encoders import jsonable_encoder
from sqlmodel import Session, col, select

from notify.message import Message
from prevenant.api.cases import view_message, view_row
from prevenant.api.story import view_entry
from prevenant.errors import ConfigurationError
from prevenant.tables import Alarm, TimelineEntry
from workflows.tables import Case, WorkOrder

STORY, ALARMS, CASES, WORK_ORDERS, MESSAGES = "story", "alarms", "cases", "work_orders", "messages"
TOPICS = (STORY, ALARMS, CASES, WORK_ORDERS, MESSAGES)
EVENTS = {
    STORY: "story",
    ALARMS: "alarm",
    CASES: "case",
    WORK_ORDERS: "work_order",
    MESSAGES: "message",
}
"""What an event of each topic is called."""

Topics = frozenset[str]


@dataclass(frozen=True, slots=True)
class Told:
    """One event, ready to be sent, and what it is about."""

    id: int
    """That of the line of the story from which it follows."""
    topic: str
    site: str
    """Empty: it is about no site that is known, and for those alone who may see every site."""
    case: int | None
    alarm: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events somebody asks for."""

    topics: Topics = frozenset({STORY})
    site: str = ""
    case: int | None = None
    alarm: int | None = None

    def has(self, told: Told, sites: frozenset[str] | None) -> bool:
        """Return whether an event is asked for, by somebody who may see these sites; None: all."""
        return (
            told.topic in self.topics
            and (sites is None or told.site in sites)
            and (not self.site or told.site == self.site)
            and (self.case is None or told.case == self.case)
            and (self.alarm is None or told.alarm == self.alarm)
        )


def read_topics(text: str) -> Topics:
    """Return topics from their names, with commas between. Raises ConfigurationError."""
    found = frozenset(one.strip() for one in text.split(",") if one.strip())
    for one in sorted(found - set(TOPICS)):
        message = f"there is no topic {one!r}: write some of {', '.join(TOPICS)}"
        raise ConfigurationError(message)
    return found or frozenset({STORY})


def tell(
    session: Session, entries: Sequence[TimelineEntry], zone: ZoneInfo, topics: Topics
) -> list[Told]:
    """Return the events that follow from lines of the story, in their order."""
    cases = _rows(session, Case, (one.case_id for one in entries))
    alarms = _rows(session, Alarm, (one.alarm_id for one in entries))
    about = _About(session, cases, alarms, topics)
    told: list[Told] = []
    last = {(one.case_id, one.alarm_id): one.id for one in entries}
    for entry in entries:
        site = about.site_of(entry)
        told.append(_told(entry, STORY, site, view_entry(entry, zone)))
        # Of several lines about the same thing, the last one is followed by what it has become.
        if last[entry.case_id, entry.alarm_id] == entry.id:
            told += about.things(entry, site)
    return told


class _About:
    """What lines of the story are about."""

    def __init__(
        self,
        session: Session,
        cases: dict[int, Case],
        alarms: dict[int, Alarm],
        topics: Topics,
    ) -> None:
        self._session, self._topics = session, topics
        self._cases, self._alarms = cases, alarms

    def site_of(self, entry: TimelineEntry) -> str:
        """Return the site of a line's case, else of its alarm; empty where it has neither."""
        case = self._cases.get(entry.case_id or 0)
        alarm = self._alarms.get(entry.alarm_id or 0)
        return case.site_id if case else alarm.site_id if alarm else ""

    def things(self, entry: TimelineEntry, site: str) -> Iterable[Told]:
        """Yield what a line is about as it is now, of the topics that anybody asks for."""
        alarm = self._alarms.get(entry.alarm_id or 0)
        if alarm is not None and ALARMS in self._topics:
            yield _told(entry, ALARMS, site, view_alarm(alarm))
        case = self._cases.get(entry.case_id or 0)
        if case is None:
            return
        if CASES in self._topics:
            yield _told(entry, CASES, site, view_row(case))
        if WORK_ORDERS in self._topics:
            query = select(WorkOrder).where(WorkOrder.case_id == case.id)
            for job in self._session.exec(query.order_by(col(WorkOrder.id))):
                yield _told(entry, WORK_ORDERS, site, view_job(job))
        number = entry.detail.get("message")
        if MESSAGES in self._topics and isinstance(number, int):
            message = self._session.get(Message, number)
            if message is not None:
                yield _told(entry, MESSAGES, site, view_message(self._session, message))


def view_alarm(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as plain values, as a stream tells it."""
    return alarm.model_dump(exclude={"trace"})


def view_job(job: WorkOrder) -> dict[str, Any]:
    """Return a work order as plain values, as a stream tells it."""
    return job.model_dump(exclude={"contact_id"})


def _rows(session: Session, table: Any, ids: Iterable[int | None]) -> dict[int, Any]:
    wanted: Collection[int] = {one for one in ids if one is not None}
    if not wanted:
        return {}
    return {one.id: one for one in session.exec(select(table).where(table.id.in_(wanted)))}


def _told(entry: TimelineEntry, topic: str, site: str, values: Any) -> Told:
    data = json.dumps(jsonable_encoder(values))
    text = f"id: {entry.id}\nevent: {EVENTS[topic]}\ndata: {data}\n\n"
    return Told(entry.id or 0, topic, site, entry.case_id, entry.alarm_id, text)
