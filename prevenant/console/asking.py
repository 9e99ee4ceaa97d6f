"""What the board asks before it acts: how long to shelve, and to whom a case is handed over.

Each question is a page of its own; where scripts run, the board shows its form in a dialog.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from sqlmodel import Session

from prevenant.api.access import Operator, Role, check_site
from prevenant.api.alarms import NewShelf, put_shelf
from prevenant.console.shell import act, show
from prevenant.crm.directory import find_place
from prevenant.crm.tables import Device
from prevenant.shelving import Shelf
from workflows.colleagues import find_colleagues, post_hand_over
from workflows.deskwork import find_case
from workflows.tables import Case

router = APIRouter(include_in_schema=False)

_LENGTHS = ("30m", "1h", "2h", "8h", "1d", "7d")


@router.get("/board/shelve")
def ask_to_shelve(request: Request, rule: str, device: str, actor: Operator) -> Response:
    """Ask for how long and why an alarm is not to be told."""

    def collect(session: Session) -> dict[str, Any]:
        check_site(actor, Role.OPERATOR, _site_of(session, device))
        place = find_place(session, "", _site_of(session, device), device)
        return {"rule": rule, "device": device, "place": place, "lengths": _LENGTHS}

    return show(request, "shelve.html", collect, actor)


@router.post("/board/shelve")
def shelve(
    request: Request,
    actor: Operator,
    rule: Annotated[str, Form()],
    device: Annotated[str, Form()],
    lasts: Annotated[str, Form()],
    reason: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Keep the alarm of a rule on a device from being told for a while."""

    def change(session: Session) -> Shelf:
        check_site(actor, Role.OPERATOR, _site_of(session, device))
        wanted = NewShelf(rule=rule, device=device, lasts=lasts, by=actor.name, reason=reason)
        return put_shelf(session, wanted, request.app.state.clock.now())

    return act(request, change, "/")


@router.get("/board/cases/{case_id}/hand-over")
def ask_to_hand_over(request: Request, case_id: int, actor: Operator) -> Response:
    """Ask to whom a case is handed over."""

    def collect(session: Session) -> dict[str, Any] | None:
        case = session.get(Case, case_id)
        if case is None:
            return None
        check_site(actor, Role.OPERATOR, case.site_id)
        place = find_place(session, case.device_type, case.site_id, case.device_id)
        return {"case": case, "place": place, "staff": find_colleagues(session, case)}

    return show(request, "hand_over.html", collect, actor)


@router.post("/board/cases/{case_id}/hand-over")
def hand_over(
    request: Request,
    case_id: int,
    actor: Operator,
    to: Annotated[str, Form()],
    note: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """Give a case to somebody of the staff, who is told."""

    def change(session: Session) -> None:
        check_site(actor, Role.OPERATOR, find_case(session, case_id).site_id)
        post_hand_over(session, case_id, request.app.state.clock.now(), actor.name, to, note)

    return act(request, change, "/")


def _site_of(session: Session, device: str) -> str:
    """Return the site of a device: as the CRM has it, else as its name says."""
    known = session.get(Device, device)
    return known.site_id if known else device.partition("/")[0]
