"""Cases, their work orders, offers and candidates, and the workflow versions that they run."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from prevenant.rows import TableRow
from prevenant.tables import json_column, utc_column

OPEN, HANDED_OVER, CLOSED = "open", "handed_over", "closed"
COMPLETED = "completed"
"""The outcome of a case whose workflow came to its end without a word on how."""
PICTURE = "picture"
"""What marks a column of bytes that hold no words."""
ACTIVE_JOBS = ("accepted", "en_route", "arrived")
_ACTIVE = "state IN ('accepted', 'en_route', 'arrived')"
# As literals, for SQLite to see that the index of just these rows will do.
IS_UNDER_WAY = text(f"work_order.{_ACTIVE}")
IS_STANDING = text("offer.state = 'open'")
IS_WAITING = text("waiting_job.state = 'waiting'")
IS_KEPT = text("waiting_job.state = 'assigned'")


class WorkflowVersion(TableRow, table=True):
    """The steps that cases started with, kept for as long as there are cases."""

    __tablename__ = "workflow_version"

    version: str = Field(primary_key=True)
    name: str
    steps: str
    """As JSON."""


class Case(TableRow, table=True):
    """Everything done about one alarm or a group of them; or a storm, which has cases as children."""

    __tablename__ = "case_file"
    __table_args__ = (
        Index(
            "ix_case_file_due",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index(
            "ix_case_file_severity_due",
            "severity",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("ix_case_file_rule_device", "rule", "device_id"),
        Index(
            "ix_case_file_gathers",
            "site_id",
            "workflow",
            "id",
            sqlite_where=text("gathers_until IS NOT NULL"),
            postgresql_where=text("gathers_until IS NOT NULL"),
        ),
        Index("ix_case_file_opened", "workflow", "opened_at"),
        Index("ix_case_file_opened_at", "opened_at"),
        Index(
            "ix_case_file_closed_at",
            "closed_at",
            sqlite_where=text("closed_at IS NOT NULL"),
            postgresql_where=text("closed_at IS NOT NULL"),
        ),
        Index("ix_case_file_parent", "parent_id", "state"),
        Index(
            "ix_case_file_failing",
            "id",
            sqlite_where=text("failures > 0"),
            postgresql_where=text("failures > 0"),
        ),
        # What must not be: the self-audit looks for it all the time, and nearly always in vain.
        Index(
            "ix_case_file_without_end",
            "state",
            "due_at",
            sqlite_where=text("state = 'open' AND due_at IS NULL"),
            postgresql_where=text("state = 'open' AND due_at IS NULL"),
        ),
        Index(
            "ix_case_file_without_owner",
            "state",
            "owner",
            sqlite_where=text("state = 'handed_over' AND owner = ''"),
            postgresql_where=text("state = 'handed_over' AND owner = ''"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    alarm_id: int = Field(index=True)
    """Its first alarm; every one of its alarms has a `CaseAlarm`."""
    parent_id: int | None = None
    """The storm that it is part of."""
    storm_of: str = ""
    """Of a storm: the workflow of its children. Empty for every other case."""
    gathers_until: datetime | None = utc_column(nullable=True)
    """Until when an alarm of the same site and workflow may be raised to join it; None: none may."""
    rule: str
    device_type: str
    site_id: str
    device_id: str
    severity: int
    workflow: str
    workflow_version: str = Field(foreign_key="workflow_version.version")
    state: str = Field(default=OPEN, index=True)
    outcome: str = ""
    owner: str = ""
    """Who has taken it, by name."""
    rating: int | None = None
    """What the customer answered to the survey."""
    survey: str = ""
    """Which survey the customer was sent: `csat`, `nps` or `ces`; at most one."""
    progress: dict[str, Any] = json_column()
    """Where its tracks stand: a `workflows.case.Progress`."""
    due_at: datetime | None = utc_column(nullable=True)
    """The earliest deadline of its tracks: its durable timer."""
    failures: int = 0
    """How often in a row its deadline could not be handled."""
    opened_at: datetime = utc_column()
    closed_at: datetime | None = utc_column(nullable=True)


class CaseAlarm(TableRow, table=True):
    """An alarm that a case is about. It may be about several, and hears what becomes of each."""

    __tablename__ = "case_alarm"
    __table_args__ = (Index("ix_case_alarm_rule_device", "rule", "device_id", "case_id"),)

    case_id: int = Field(primary_key=True, foreign_key="case_file.id")
    alarm_id: int = Field(primary_key=True, index=True)
    rule: str
    device_id: str
    severity: int
    """As the case heard last."""
    joined_at: datetime = utc_column()
    """When the alarm was raised, or raised again, or came out from under a shelf."""
    ended_at: datetime | None = utc_column(nullable=True)
    """When it was over, or left for a case of its own."""


class WorkOrder(TableRow, table=True):
    """A technician's job on a case. A step of a case has one that is under way at most."""

    __tablename__ = "work_order"
    __table_args__ = (
        Index(
            "uq_work_order_active",
            "case_id",
            "step",
            unique=True,
            sqlite_where=text(f"{_ACTIVE} AND step <> ''"),
            postgresql_where=text(f"{_ACTIVE} AND step <> ''"),
        ),
        Index(
            "ix_work_order_busy",
            "technician_id",
            sqlite_where=text(_ACTIVE),
            postgresql_where=text(_ACTIVE),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    step: str = ""
    """The path of the step that sent the technician."""
    technician_id: str = Field(index=True)
    contact_id: str
    technician_name: str
    device_id: str = ""
    site_id: str = Field(default="", index=True)
    customer_id: str = Field(default="", index=True)
    state: str
    """`accepted`, `en_route`, `arrived`, `done`, `cancelled`."""
    visit_start: datetime = utc_column()
    visit_end: datetime = utc_column()
    cause: str = ""
    """What the technician said the cause was."""
    parts: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Which parts the technician said were used."""
    code: str = ""
    """What of the prediction was found: `confirmed`, `no_fault_found`, `other_cause`; empty: not said."""
    accepted_at: datetime = utc_column()
    updated_at: datetime = utc_column()


class Offer(TableRow, table=True):
    """A job offered to one technician."""

    __table_args__ = (
        Index(
            "ix_offer_standing",
            "technician_id",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_offer_latest", "offered_at"),
        Index(
            "ix_offer_open",
            "expires_at",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    step: str
    technician_id: str = Field(index=True)
    contact_id: str
    technician_name: str
    state: str = "open"
    """`open`, `accepted`, `declined`, `expired`, `unreachable`, `withdrawn`."""
    message_key: str
    offered_at: datetime = utc_column()
    expires_at: datetime = utc_column()
    answered_at: datetime | None = utc_column(nullable=True)


class Candidate(TableRow, table=True):
    """What dispatch thought of one technician, and why: of the best, and of the nearest excluded."""

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    round: int
    technician_id: str
    technician_name: str
    rank: int | None = None
    """From 1; None where a hard filter excluded the technician."""
    distance_km: float | None = None
    travel_s: float | None = None
    score: float | None = None
    scores: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    """What the score is made of, in minutes: `way`, `load`, `overqualified`, `known`."""
    reason: str


class DispatchRound(TableRow, table=True):
    """One time that dispatch looked at everybody: how many could go, and whom each filter excluded."""

    __tablename__ = "dispatch_round"
    __table_args__ = (UniqueConstraint("case_id", "round"),)

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    round: int
    step: str
    at: datetime = utc_column()
    need: str
    """What was asked for, in words."""
    eligible: int
    total: int
    counts: dict[str, Any] = json_column()
    """How many technicians each filter excluded; whoever fails several counts under the first."""
    summary: str
    """The counts in words."""
    ways: str = ""
    """Where the ways come from, or why not from the routing server."""
    plan: str = ""
    """What a rush's plan says of this job, in words."""


class WaitingJob(TableRow, table=True):
    """A job that waits for a moment in a rush, to be assigned together with others."""

    __tablename__ = "waiting_job"
    __table_args__ = (
        Index(
            "ix_waiting_job_open",
            "until",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_waiting_job_reserved",
            "technician_id",
            sqlite_where=text("state = 'assigned'"),
            postgresql_where=text("state = 'assigned'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    step: str
    severity: int
    need: dict[str, Any] = json_column()
    """What the job asks of a technician: a `workflows.dispatch.Need` without those who know the place."""
    excluded: dict[str, Any] = json_column()
    state: str = "waiting"
    """`waiting`, `assigned` (its technician is kept for it), `over`."""
    since: datetime = utc_column()
    until: datetime = utc_column()
    technician_id: str = ""
    """Whom the plan proposes; empty: nobody is left."""
    plan: str = ""
    """Why, in words."""


class SentSurvey(TableRow, table=True):
    """A survey that a contact was sent about a case, and the answer."""

    __tablename__ = "survey"
    __table_args__ = (Index("ix_survey_contact_sent", "contact_id", "sent_at"),)

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    contact_id: str
    kind: str
    """`csat`, `nps` or `ces`."""
    message_key: str
    sent_at: datetime = utc_column()
    rating: int | None = None
    comment: str = ""
    """What was said beside the number."""
    answered_at: datetime | None = utc_column(nullable=True)


class Photo(TableRow, table=True):
    """What a technician has photographed at a job, as a JPEG that we have written ourselves."""

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    work_order_id: int = Field(foreign_key="work_order.id", index=True)
    contact_id: str
    """The technician's."""
    at: datetime = utc_column()
    width: int
    height: int
    picture: bytes = Field(sa_column=Column(LargeBinary, nullable=False, info={PICTURE: True}))
