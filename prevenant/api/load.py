"""What alarms ask of the people who watch: the load of the last day, what is stale, what is shelved."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from sqlmodel import Session, col, func, select

from prevenant.alarm_load import PERIOD, STALE_AFTER, Load, Told, measure_load
from prevenant.api.access import Role, Viewer
from prevenant.tables import ACTIVE, Alarm

router = APIRouter(prefix="/api/v1")

_LOOKED_AT = 20_000
"""So many of the latest alarms are counted: of a day that has more, those are the last."""
_SHOWN_STALE = 50

Sites = frozenset[str] | None
"""None: everywhere."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What there is to watch now, and what the last day was like."""

    load: Load
    active: int
    """Alarms that people were told of and that go on."""
    held: dict[str, int]
    """Alarms that go on and nobody is told of, by `shelved`, `maintenance`, `flapping` or `explained`."""
    stale: tuple[Alarm, ...]
    """Those that have been there for a day, the oldest first."""


@router.get("/alarm-load")
def show_load(request: Request, actor: Viewer) -> dict[str, Any]:
    """Return alarms an operator in ten minutes, floods, what chatters, what is stale and what is held."""
    operators = request.app.state.settings.operators
    with request.app.state.store.read() as session:
        now = request.app.state.clock.now()
        return view_watch(find_watch(session, now, operators, actor.sites(Role.VIEWER)))


def find_watch(session: Session, now: datetime, operators: int, sites: Sites) -> Watch:
    """Return what there is to watch at some sites, for so many operators."""
    active = select(Alarm.held_by, func.count()).where(Alarm.state == ACTIVE)
    stale = select(Alarm).where(Alarm.state == ACTIVE, Alarm.held_by == "")
    stale = stale.where(Alarm.raised_at <= now - STALE_AFTER)
    if sites is not None:
        active = active.where(col(Alarm.site_id).in_(sites))
        stale = stale.where(col(Alarm.site_id).in_(sites))
    held: dict[str, int] = {}
    told = 0
    for held_by, count in session.exec(active.group_by(Alarm.held_by)):
        if not held_by:
            told = count
        else:
            # Any other word is the rule whose alarm explains it.
            why = held_by if held_by in _BY_SHELF else "explained"
            held[why] = held.get(why, 0) + count
    return Watch(
        load=measure_load(_find_told(session, now, sites), now, operators),
        active=told,
        held=held,
        stale=tuple(session.exec(stale.order_by(col(Alarm.raised_at)).limit(_SHOWN_STALE))),
    )


def view_watch(watch: Watch) -> dict[str, Any]:
    """Return it as plain values."""
    load = watch.load
    stale = [{"alarm": one.id, "rule": one.rule, "device": one.device_id} for one in watch.stale]
    return {
        **asdict(load),
        "per_operator": load.per_operator,
        "average": load.average,
        "burden": load.burden.value,
        "active": watch.active,
        "held": watch.held,
        "stale": stale,
    }


def _find_told(session: Session, now: datetime, sites: Sites) -> list[Told]:
    newest = session.exec(select(func.max(Alarm.id))).one() or 0
    query = select(Alarm.rule, Alarm.device_id, Alarm.raised_at).where(
        col(Alarm.id) > newest - _LOOKED_AT, Alarm.raised_at > now - PERIOD, Alarm.held_by == ""
    )
    if sites is not None:
        query = query.where(col(Alarm.site_id).in_(sites))
    return [Told(*row) for row in session.exec(query)]


_BY_SHELF = frozenset({"shelved", "maintenance", "flapping"})
