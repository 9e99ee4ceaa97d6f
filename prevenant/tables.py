"""Tables that more than one part reads or writes. Each part's own tables stand beside its code."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    LargeBinary,
    UniqueConstraint,
    insert,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from prevenant.clock import epoch_seconds
from prevenant.rows import TableRow
from prevenant.store import Busy, Store, UtcDateTime, before_commit, wake

ACTIVE, CLEARED, LATCHED = "active", "cleared", "latched"
NO_WORKFLOW, GIVEN_UP = "no workflow", "given up"
"""Why no case has heard an event."""
CASE_EVENTS = "case-events"
"""The bell that rings when a case has something to hear."""
QUARANTINE = "quarantine"
"""The bell that rings when refused payloads are to be tried again."""
READINGS = "readings"
"""The bell that rings in the process that listens when readings were decided on."""
TIMELINE = "timeline"
"""The bell that rings when the story goes on."""


NOTHING_DECIDED = -1
"""The offset of a partition of which nothing is decided yet."""


def utc_column(*, nullable: bool = False) -> Any:
    """Declare a column of timezone-aware instants."""
    return Field(sa_type=UtcDateTime, nullable=nullable)


def json_column() -> Any:
    """Declare a column that holds a JSON object."""
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def list_column() -> Any:
    """Declare a column that holds a JSON array."""
    return Field(default_factory=_make_list, sa_column=Column(JSON, nullable=False))


def _make_list() -> list[Any]:
    # For each row pydantic asks what arguments this takes. Of `list` itself Python finds that out by
    # parsing, and leaves 100 KB in a cycle; here it reads it off.
    return []


class Alarm(TableRow, table=True):
    """A rule's state on one device, from its onset to its end."""

    __table_args__ = (
        UniqueConstraint("rule", "device_id", "onset_at"),
        Index("ix_alarm_raised", "raised_at"),
        Index(
            "ix_alarm_told",
            "id",
            sqlite_where=text("state = 'active' AND held_by = ''"),
            postgresql_where=text("state = 'active' AND held_by = ''"),
        ),
        Index(
            "ix_alarm_held",
            "state",
            "held_until",
            sqlite_where=text("state = 'active' AND held_until IS NOT NULL"),
            postgresql_where=text("state = 'active' AND held_until IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    rule: str
    device_type: str
    site_id: str
    device_id: str = Field(index=True)
    severity: int
    state: str = Field(default=ACTIVE, index=True)
    """`active`, `cleared`, or `latched`: over, but kept until a person resets it."""
    onset_at: datetime = utc_column()
    latest_onset_at: datetime | None = utc_column(nullable=True)
    """When it began last, where a latched alarm was raised again."""
    raised_at: datetime = utc_column()
    cleared_at: datetime | None = utc_column(nullable=True)
    acknowledged_at: datetime | None = utc_column(nullable=True)
    acknowledged_by: str = ""
    held_by: str = ""
    """Why nobody is told: the rule whose alarm explains it, `shelved`, `maintenance` or `flapping`."""
    held_until: datetime | None = utc_column(nullable=True)
    values: dict[str, Any] = json_column()
    reason: str
    trace: list[dict[str, Any]] = list_column()
    """Each comparison of the conditions: `condition`, `value`, `truth`."""


class Stream(TableRow, table=True):
    """How the topic of a stream is divided. It stays so, since all that is known stands by it."""

    __tablename__ = "stream"

    topic: str = Field(primary_key=True)
    partitions: int
    keyed_by: str
    """`site` or `device`: what stays together in one partition."""


class PartitionState(TableRow, table=True):
    """What a partition has decided up to an offset, and who goes on with it."""

    __tablename__ = "partition_state"

    topic: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    token: int = Field(default=0, sa_type=BigInteger)
    """Grows whenever somebody takes the partition over."""
    owner: str = ""
    """The name of that process's store."""
    offset: int = Field(default=NOTHING_DECIDED, sa_type=BigInteger)
    """Up to which record the state is true."""
    taken_at: float = 0.0
    """When its newest record arrived, in seconds since 1970."""
    state: bytes = Field(default=b"", sa_type=LargeBinary)


class CaseEvent(TableRow, table=True):
    """Something that a case has to hear, kept until it was heard. Each comes once: `key` is unique."""

    __tablename__ = "case_event"
    __table_args__ = (
        Index(
            "ix_case_event_unheard",
            "urgency",
            "id",
            sqlite_where=text("heard_at IS NULL"),
            postgresql_where=text("heard_at IS NULL"),
        ),
        Index(
            "ix_case_event_unheard_site",
            "site_id",
            "id",
            sqlite_where=text("heard_at IS NULL"),
            postgresql_where=text("heard_at IS NULL"),
        ),
        Index(
            "ix_case_event_unheard_at",
            "at",
            sqlite_where=text("heard_at IS NULL"),
            postgresql_where=text("heard_at IS NULL"),
        ),
        *(
            Index(
                f"ix_case_event_unheard_{about}",
                f"{about}_id",
                sqlite_where=text("heard_at IS NULL"),
                postgresql_where=text("heard_at IS NULL"),
            )
            for about in ("alarm", "case")
        ),
        Index(
            "ix_case_event_retry",
            "retry_at",
            sqlite_where=text("heard_at IS NULL AND retry_at IS NOT NULL"),
            postgresql_where=text("heard_at IS NULL AND retry_at IS NOT NULL"),
        ),
        Index(
            "ix_case_event_given_up",
            "id",
            sqlite_where=text("outcome = 'given up'"),
            postgresql_where=text("outcome = 'given up'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    kind: str
    """`alarm.raised`, `alarm.cleared`, `reply`, `message.delivered`, `message.failed`,
    `case.acknowledged`, `case.taken`, `case.resolved`, `storm.calm`."""
    urgency: int
    """The severity of what it is about; a higher one is heard first."""
    alarm_id: int | None = Field(default=None, index=True)
    case_id: int | None = Field(default=None, index=True)
    site_id: str = ""
    data: dict[str, Any] = json_column()
    at: datetime = utc_column()
    heard_at: datetime | None = utc_column(nullable=True)
    retry_at: datetime | None = utc_column(nullable=True)
    attempts: int = 0
    error: str | None = None
    """Why the last attempt to hear it failed; after too many it waits for a person."""
    outcome: str = ""
    """Where no case has heard it, why not: `no workflow`, or `given up`."""


class TimelineEntry(TableRow, table=True):
    """One line of the story: what happened or was decided, and why."""

    __tablename__ = "timeline"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = utc_column()
    kind: str
    case_id: int | None = Field(default=None, index=True)
    alarm_id: int | None = Field(default=None, index=True)
    summary: str
    """For a person; holds no phone number and no address."""
    detail: dict[str, Any] = json_column()


class ModelState(TableRow, table=True):
    """How a model of the rule book is: which version speaks, and whether it can be believed."""

    __tablename__ = "model_state"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    device_type: str
    version: int = 0
    """0: none speaks."""
    shadow_version: int = 0
    state: str
    """`none`, `speaking`, or why it is not believed: `broken`, `stale`, `drifting`, `slow`."""
    reason: str = ""
    since: datetime = utc_column()
    refused: str = ""
    """Why the version that is to speak cannot be used."""
    findings: list[dict[str, Any]] = list_column()
    """Of a drifting one: each input that is not as in training, with its share."""


class ShadowScore(TableRow, table=True):
    """What a model and its shadow said of one device."""

    __tablename__ = "shadow_score"

    model: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    shadow_version: int = Field(primary_key=True)
    device_id: str = Field(primary_key=True)
    value: float | None = None
    shadow_value: float | None = None
    """What both said last, in the unit of the rule book."""
    at: datetime = utc_column()
    count: int = 0
    """At how many readings both have said something."""
    difference: float = 0.0
    """The sum of the distances between them."""


_INSERT_TIMELINE = insert(SQLModel.metadata.tables["timeline"])


def add_timeline(
    session: Session,
    at: datetime,
    kind: str,
    summary: str,
    *,
    case_id: int | None = None,
    alarm_id: int | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one line of the story in the transaction of `session`, with its other lines when it ends."""
    # Nobody needs the row itself, and most of what is written is written here: a plain insert costs less.
    values = {
        "at": at,
        "kind": kind,
        "case_id": case_id,
        "alarm_id": alarm_id,
        "summary": summary,
        "detail": detail or {},
    }
    unwritten_lines(session).append(values)
    before_commit(session, write_timeline)
    wake(session, TIMELINE)


def unwritten_lines(session: Session) -> list[dict[str, Any]]:
    """Return the lines of the story that a transaction has still to write, in their order."""
    lines: list[dict[str, Any]] = session.info.setdefault("timeline", [])
    return lines


def write_timeline(session: Session) -> None:
    """Write the lines of the story that wait for it, for whoever reads them in the same transaction."""
    lines = unwritten_lines(session)
    if lines:
        session.execute(_INSERT_TIMELINE, lines)
        lines.clear()


def last_told_at(session: Session) -> float:
    """Return when the story went on last, in seconds since 1970; 0 where it has not begun."""
    query = select(TimelineEntry.at).order_by(col(TimelineEntry.id).desc()).limit(1)
    at = session.exec(query).first()
    return epoch_seconds(at) if at else 0.0


def wake_cases(session: Session) -> None:
    """Let the cases look again for what is due."""
    wake(session, CASE_EVENTS)


def add_case_event(session: Session, event: CaseEvent) -> None:
    """Give a case something to hear, in the transaction of `session`."""
    session.add(event)
    written_events(session).append(event)
    wake(session, CASE_EVENTS)


def written_events(session: Session) -> list[CaseEvent]:
    """Return what cases were given to hear in the transaction of `session`, in its order."""
    written: list[CaseEvent] = session.info.setdefault("case events", [])
    return written


class NotHeard(Exception):
    """What cases do within a transaction has failed, and the transaction with it."""

    @property
    def is_busy(self) -> bool:
        """Whether others just have what the cases need."""
        return isinstance(self.__cause__, Busy)


def let_cases_hear(store: Store, session: Session, urgency: int) -> None:
    """Let cases hear of what is written within its transaction. Raises NotHeard, whatever has failed.

    What is written must not be lost by that: whoever writes it writes it again, to be heard later.
    """
    try:
        store.go_on(session, CASE_EVENTS, urgency)
    except Exception as error:
        raise NotHeard from error
