"""Cases, their work orders, offers and candidates, and the workflow versions that they run."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from prevenant.tables import json_column, utc_column

OPEN, HANDED_OVER, CLOSED = "open", "handed_over", "closed"


class WorkflowVersion(SQLModel, table=True):
    """The steps that cases started with, kept for as long as there are cases."""

    __tablename__ = "workflow_version"

    version: str = Field(primary_key=True)
    name: str
    steps: str
    """As JSON."""


class Case(SQLModel, table=True):
    """Everything done about one alarm."""

    __tablename__ = "case_file"
    __table_args__ = (
        Index(
            "ix_case_file_due",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("ix_case_file_rule_device", "rule", "device_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    alarm_id: int = Field(index=True)
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
    opened_at: datetime = utc_column()
    closed_at: datetime | None = utc_column(nullable=True)


class WorkOrder(SQLModel, table=True):
    """A technician's job on a case."""

    __tablename__ = "work_order"

    id: int | None = Field(default=None, primary_key=True)
    case_id: int = Field(foreign_key="case_file.id", index=True)
    technician_id: str = Field(index=True)
    contact_id: str
    technician_name: str
    state: str
    """`accepted`, `en_route`, `arrived`, `done`, `cancelled`."""
    visit_start: datetime = utc_column()
    visit_end: datetime = utc_column()
    cause: str = ""
    """What the technician said the cause was."""
    accepted_at: datetime = utc_column()
    updated_at: datetime = utc_column()


class Offer(SQLModel, table=True):
    """A job offered to one technician."""

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


class Candidate(SQLModel, table=True):
    """What dispatch thought of one technician, and why."""

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
    reason: str
