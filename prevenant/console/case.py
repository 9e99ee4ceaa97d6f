"""The page of a case: its story, the readings around its alarm, whom dispatch chose, what to do."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response, status
from sqlmodel import Session, col, func, select

from prevenant.api.access import Actor, Operator, Role, Viewer, check_site
from prevenant.api.case_links import revoke_links_of, view_links
from prevenant.api.cases import view_case
from prevenant.api.dispatch import explain_dispatch
from prevenant.api.history import Histories
from prevenant.api.live import main_zone
from prevenant.console.charts import Around, Mark, Picture, show_charts
from prevenant.console.shell import act, show
from prevenant.console.story import VIEWS, tell_story
from prevenant.crm.directory import find_place
from prevenant.domain import Severity
from prevenant.tables import Alarm, TimelineEntry
from rules.rule import Rule, RuleBook
from workflows import colleagues, deskwork
from workflows.closing import CODES
from workflows.members import find_members
from workflows.photos import list_photos
from workflows.saying import predictions_in
from workflows.tables import ACTIVE_JOBS, Case

router = APIRouter(include_in_schema=False)

_LEAD, _TAIL, _LONGEST = timedelta(minutes=30), timedelta(minutes=15), timedelta(hours=12)
_DONE = {
    "acknowledge": deskwork.ACKNOWLEDGED,
    "take": deskwork.TAKEN,
    "resolve": deskwork.RESOLVED,
}

Note = Annotated[str, Form(max_length=500)]


@router.get("/cases/{case_id}")
def show_case(
    request: Request, case_id: int, actor: Viewer, view: Annotated[str, Query(alias="show")] = "all"
) -> Response:
    """Show everything about one case."""
    chosen = view if view in VIEWS else VIEWS[0]
    now: datetime = request.app.state.clock.now()

    def collect(session: Session) -> dict[str, Any] | None:
        found = _case(session, actor, case_id, chosen)
        if found is not None and found["may_act"]:
            found["links"] = view_links(session, case_id, now)
        return found

    return show(request, "case.html", collect, actor)


@router.get("/cases/{case_id}/readings")
def show_readings(
    request: Request, case_id: int, actor: Viewer, alarm: int | None = None
) -> Response:
    """Show what the device has sent around an alarm of a case, with what the rule compares it with."""
    now: datetime = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        case = _known(session, actor, Role.VIEWER, case_id)
        found = _alarm_of(session, case, alarm)
        place = find_place(session, case.device_type, found.site_id, found.device_id)
        rules = _rules_at(request, session, found.raised_at)
        zone = main_zone(session)
    picture = _picture_of(found, rules, now)
    if picture is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "the book has no such device type any more")
    live = f"/device-live/{quote(found.device_id)}" if found.cleared_at is None else ""
    around = Around(f"{place.label}, {place.site_name}", f"/cases/{case_id}", live)
    return show_charts(request, picture, around, zone, actor)


@router.post("/cases/{case_id}/do/{what}")
def act_on_case(
    request: Request,
    case_id: int,
    what: Literal["acknowledge", "take", "resolve"],
    actor: Operator,
    note: Note = "",
) -> Response:
    """Acknowledge a case, take it over, or resolve it."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        _known(session, actor, Role.OPERATOR, case_id)
        deskwork.post(session, _DONE[what], case_id, now, actor.name, note)

    return act(request, change, f"/cases/{case_id}")


@router.post("/cases/{case_id}/done")
def finish_job(
    request: Request,
    case_id: int,
    actor: Operator,
    cause: Note = "",
    code: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Say that the technician has done the job, and what was found."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        _known(session, actor, Role.OPERATOR, case_id)
        deskwork.post(session, deskwork.DONE, case_id, now, actor.name, cause, code)

    return act(request, change, f"/cases/{case_id}")


@router.post("/cases/{case_id}/hand-over")
def hand_over(
    request: Request,
    case_id: int,
    actor: Operator,
    contact: Annotated[str, Form(max_length=200)] = "",
    note: Note = "",
) -> Response:
    """Give a case to a colleague."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        _known(session, actor, Role.OPERATOR, case_id)
        colleagues.post_hand_over(session, case_id, now, actor.name, contact, note)

    return act(request, change, f"/cases/{case_id}")


@router.post("/cases/{case_id}/say")
def say_something(
    request: Request,
    case_id: int,
    actor: Operator,
    to: Annotated[str, Form(max_length=250)] = "",
    text: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Write to somebody whom a case concerns; `to` is a channel and a contact, as `sms:ada`."""
    now = request.app.state.clock.now()
    channel, _, contact = to.partition(":")

    def change(session: Session) -> None:
        _known(session, actor, Role.OPERATOR, case_id)
        colleagues.post_words(session, case_id, now, actor.name, contact, channel, text)

    return act(request, change, f"/cases/{case_id}")


@router.post("/cases/{case_id}/links/revoke")
def revoke_links(request: Request, case_id: int, actor: Operator) -> Response:
    """Let the links that people were given to a case lead nowhere from now on."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        _known(session, actor, Role.OPERATOR, case_id)
        revoke_links_of(session, case_id, actor.name, now)

    return act(request, change, f"/cases/{case_id}")


def _case(session: Session, actor: Actor, case_id: int, view: str) -> dict[str, Any] | None:
    found = view_case(session, case_id)
    if found is None:
        return None
    case = _known(session, actor, Role.VIEWER, case_id)
    zone = main_zone(session)
    place = find_place(session, case.device_type, case.site_id, case.device_id)
    thought = explain_dispatch(session, case_id)
    newest = session.exec(select(func.max(col(TimelineEntry.id)))).one()
    may_act = actor.may(Role.OPERATOR, case.site_id)
    return {
        **found,
        "place": place,
        "severity": Severity(case.severity).word,
        "prediction": predictions_in(found["alarm"]["values"]),
        "rounds": list(reversed(thought["rounds"])) if thought else [],
        "under_way": [one for one in found["work_orders"] if one["state"] in ACTIVE_JOBS],
        "days": tell_story(found["timeline"], found["messages"], zone, view),
        "view": view,
        "waiting": [one for one in found["callbacks"] if not one["taken_by"]],
        "partners": colleagues.find_partners(session, case) if may_act else [],
        "colleagues": colleagues.find_colleagues(session, case) if may_act else [],
        "may_act": may_act,
        "codes": CODES,
        "photos": list_photos(session, case_id),
        "links": [],
        "newest": newest or 0,
    }


def _known(session: Session, actor: Actor, role: Role, case_id: int) -> Case:
    """Return a case at whose site the actor has a role. Raises HTTPException."""
    case = session.get(Case, case_id)
    if case is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
    check_site(actor, role, case.site_id)
    return case


def _alarm_of(session: Session, case: Case, number: int | None) -> Alarm:
    """Return one of a case's alarms; the first where none is named."""
    known = {case.alarm_id, *(one.alarm_id for one in find_members(session, case.id or 0))}
    if number is not None and number not in known:
        message = f"case {case.id} is not about an alarm {number}"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    return session.get_one(Alarm, case.alarm_id if number is None else number)


def _rules_at(request: Request, session: Session, at: datetime) -> RuleBook:
    histories: Histories = request.app.state.histories
    return histories.rules_at(session, at, request.app.state.rules)


def _picture_of(alarm: Alarm, rules: RuleBook, now: datetime) -> Picture | None:
    """Return what is drawn of an alarm: from well before it began until it is over, or now."""
    device_type = rules.devices.get(alarm.device_type)
    if device_type is None:
        return None
    rule = rules.rules.get(alarm.rule)
    ends = min((alarm.cleared_at or now) + _TAIL, now, alarm.raised_at + _LONGEST)
    begins = alarm.onset_at - max(_LEAD, _hold_of(rule))
    severity = Severity(alarm.severity).word
    marks = [Mark(alarm.raised_at, "raised", severity)]
    if alarm.onset_at < alarm.raised_at:
        marks.insert(0, Mark(alarm.onset_at, "begun"))
    if alarm.cleared_at is not None:
        marks.append(Mark(alarm.cleared_at, "over"))
    ends = max(ends, alarm.raised_at)
    return Picture(device_type, alarm.device_id, begins, ends, alarm.raised_at, rule, tuple(marks))


def _hold_of(rule: Rule | None) -> timedelta:
    return timedelta(seconds=2 * rule.for_s if rule else 0)
