"""The page of the alarm load: what alarms ask of people, and what keeps them from being told."""

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from prevenant.alarm_load import FLOOD_BEGINS, PERIOD, WINDOW, Load
from prevenant.api.access import Actor, Operator, Role, Viewer, check_site
from prevenant.api.alarms import find_shelves
from prevenant.api.load import find_watch
from prevenant.console.shell import act, show
from prevenant.crm.tables import Device
from prevenant.shelving import Shelf, end_shelf

router = APIRouter(include_in_schema=False)

_HEIGHT, _WIDTH, _GAP = 120.0, 6, 2


@router.get("/board/load")
def show_load(request: Request, actor: Viewer) -> Response:
    """Show the load of the last day, what chatters, what is stale and what is shelved."""
    now: datetime = request.app.state.clock.now()

    def collect(session: Session) -> dict[str, Any]:
        operators, sites = request.app.state.settings.operators, actor.sites(Role.VIEWER)
        watch = find_watch(session, now, operators, sites)
        return {
            "watch": watch,
            "bars": draw_bars(watch.load, now),
            "shelves": [
                one
                for one in find_shelves(session, now, past=False)
                if sites is None or site_of(session, one) in sites
            ],
        }

    return show(request, "load.html", collect, actor)


@router.post("/board/shelves/{shelf_id}/end")
def unshelve(request: Request, shelf_id: int, actor: Operator) -> Response:
    """End a shelf before its time."""

    def change(session: Session) -> Shelf:
        shelf = session.get(Shelf, shelf_id)
        if shelf is not None:
            check_shelf(session, actor, shelf)
        return end_shelf(session, shelf_id, request.app.state.clock.now(), actor.name)

    return act(request, change, "/board/load#shelved")


def draw_bars(load: Load, now: datetime) -> dict[str, Any]:
    """Return the day as bars, in the units of a drawing, with the line above which it is a flood."""
    flood = FLOOD_BEGINS * load.operators
    top = max(flood * 1.2, *load.slots)
    begins = now - PERIOD
    return {
        "width": len(load.slots) * _WIDTH,
        "height": _HEIGHT,
        "line": _HEIGHT - flood / top * _HEIGHT,
        "bars": [
            {
                "x": number * _WIDTH,
                "y": _HEIGHT - count / top * _HEIGHT,
                "width": _WIDTH - _GAP,
                "height": count / top * _HEIGHT,
                "count": count,
                "at": begins + WINDOW * number,
                "is_flood": count > flood,
            }
            for number, count in enumerate(load.slots)
            if count
        ],
        "hours": [
            {"x": hours * 6 * _WIDTH, "at": begins + timedelta(hours=hours)}
            for hours in range(0, 25, 6)
        ],
    }


def check_shelf(session: Session, actor: Actor, shelf: Shelf) -> None:
    """Refuse a shelf that is not of the actor's own sites alone."""
    check_site(actor, Role.OPERATOR, site_of(session, shelf))


def site_of(session: Session, shelf: Shelf) -> str:
    """Return the site that a shelf is about; one of a rule alone is about all of them, and of none."""
    if shelf.site_id or not shelf.device_id:
        return shelf.site_id
    device = session.get(Device, shelf.device_id)
    return device.site_id if device else shelf.device_id.partition("/")[0]
