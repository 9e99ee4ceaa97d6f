"""Lines of the story as plain values, with the times of the zone that most sites are in."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, func, select

from notify.links import hide_all
from prevenant.crm.tables import Site
from prevenant.tables import TimelineEntry


def main_zone(session: Session) -> ZoneInfo:
    """Return the time zone that most sites are in; the console's times are in it."""
    query = (
        select(Site.timezone)
        .group_by(Site.timezone)
        .order_by(func.count().desc(), Site.timezone)
        .limit(1)
    )
    return ZoneInfo(session.exec(query).first() or "UTC")


def local_time(at: datetime, zone: ZoneInfo) -> str:
    """Return 14:30:05."""
    return at.astimezone(zone).strftime("%H:%M:%S")


def view_entry(entry: TimelineEntry, zone: ZoneInfo) -> dict[str, Any]:
    """Return a line of the story as plain values."""
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "time": local_time(entry.at, zone),
        "kind": entry.kind,
        "case": entry.case_id,
        "alarm": entry.alarm_id,
        "summary": entry.summary,
        "detail": hide_all(entry.detail),
    }
