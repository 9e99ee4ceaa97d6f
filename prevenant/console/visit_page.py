"""The customer's page of a visit, by link: what we saw, who comes when; confirm, move, rate, a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from jinja2 import Environment
from pydantic import BaseModel, Field
from sqlmodel import col, select

from notify.links import VISIT
from notify.message import Message
from prevenant.clock import from_epoch
from prevenant.console.link_pages import Visitor, Wish, press, show_visitor, stream_news
from prevenant.console.link_words import Times
from prevenant.crm.tables import Technician
from prevenant.domain import first_name_of
from prevenant.errors import ConfigurationError
from prevenant.globe import distance_km
from workflows.arrival import POSITION, expect_arrival
from workflows.dispatch import travel_seconds
from workflows.slots import Span
from workflows.surveys import KINDS, LARGEST
from workflows.tables import ACTIVE_JOBS, CLOSED, OPEN, SentSurvey, WorkOrder
from workflows.visits import SLOT, can_move, find_slots

router = APIRouter(include_in_schema=False)

_SCALES = {"rating": range(1, 6), "nps": range(11), "ces": range(1, 8)}
_FIRST_DAYS = 3


class Sent(BaseModel):
    """What a form of the page sends; what it does not know is not taken."""

    do: str = Field(max_length=20)
    key: str = Field(max_length=40)
    slot: str = Field(default="", max_length=80)
    """`START/END` in ISO 8601."""
    note: str = Field(default="", max_length=500)
    number: int | None = Field(default=None, ge=0, le=10)
    choice: str = Field(default="", max_length=100)


@router.get("/v/{token}")
def show_visit(request: Request, token: str) -> Response:
    """Show a customer how things stand."""
    return show_visitor(request, token, VISIT, "visit.html", _collect, _settle)


@router.get("/v/{token}/news")
def tell_news(request: Request, token: str) -> Response:
    """Tell the page when something has changed."""
    return stream_news(request, token, VISIT)


@router.post("/v/{token}")
def change_visit(request: Request, token: str, sent: Annotated[Sent, Form()]) -> Response:
    """Do what the customer has pressed."""
    return press(request, token, VISIT, sent.key, lambda visitor: _judge(visitor, sent), _settle)


def _judge(visitor: Visitor, sent: Sent) -> Wish:
    """Return what was meant. Raises ConfigurationError with the code of why it cannot be."""
    note = sent.note.strip()
    run = visitor.run
    order = run.work_order()
    is_planned = order is not None and order.state in ACTIVE_JOBS
    match sent.do:
        case "confirm" if can_move(run, order):
            return Wish("confirm", "accept", "visit confirmed")
        case "move" if can_move(run, order):
            slot = _read_slot(sent.slot)
            return Wish("confirm", "decline", "another time chosen", text=note, details=slot)
        case "no-time" if can_move(run, order):
            return Wish("confirm", "decline", "another time asked for", text=note)
        case "fixed" if run.case.state == OPEN:
            details = {"fixed": True}
            said = "said to be fixed already"
            return Wish("confirm", "cancel", said, text=note, details=details)
        case "cancel" if is_planned and run.case.state == OPEN:
            return Wish("confirm", "cancel", "visit cancelled", text=note)
        case "talk":
            return Wish("", "talk", "a person asked for", text=note)
        case "rate":
            return _rate(visitor, sent.number, note)
        case "answer":
            return _answer(visitor, sent.choice)
    raise ConfigurationError("over")


def _settle(visitor: Visitor, wish: Wish) -> str:
    """Return the code of what came of it: another may have had the time that was chosen."""
    slot = wish.details.get(SLOT)
    if slot is None:
        return "talk" if wish.intent == "decline" else wish.intent.partition(":")[0]
    order = visitor.run.work_order()
    start = datetime.fromisoformat(slot["start"])
    return "decline" if order is not None and order.visit_start == start else "taken"


def _read_slot(text: str) -> dict[str, Any]:
    start, _, end = text.partition("/")
    try:
        times = datetime.fromisoformat(start), datetime.fromisoformat(end)
    except ValueError:
        raise ConfigurationError("choose") from None
    if any(one.tzinfo is None for one in times):
        raise ConfigurationError("choose")
    return {SLOT: {"start": times[0].isoformat(), "end": times[1].isoformat()}}


def _rate(visitor: Visitor, number: int | None, note: str) -> Wish:
    survey = _open_survey(visitor)
    if survey is None:
        raise ConfigurationError("over")
    kind = KINDS[survey.kind]
    if number is None or number not in _SCALES[kind]:
        raise ConfigurationError("number")
    return Wish(kind, "rate", "rated", number, f"{number} {note}".strip())


def _answer(visitor: Visitor, choice: str) -> Wish:
    question = _open_question(visitor)
    names = [one["name"] for one in question.ask_choices] if question else []
    if question is None or choice not in names:
        raise ConfigurationError("over")
    number = names.index(choice) + 1
    words = next(iter(question.ask_choices[number - 1]["words"]), choice)
    return Wish(question.ask or "", f"answer:{choice}", "answered", number, str(words))


def _collect(visitor: Visitor, words: Environment) -> Mapping[str, Any]:
    del words
    run, times = visitor.run, visitor.times
    order = run.work_order()
    facts = run.progress.facts
    zone = run.place.timezone
    stage = _stage(visitor, order)
    callbacks = [one for one in run.progress.callbacks if one.contact == visitor.contact_id]
    waiting = [one for one in callbacks if not one.taken_by]
    survey = _open_survey(visitor)
    slots = find_slots(run, order) if order is not None else []
    return {
        "stage": stage,
        "state": _fingerprint(visitor, stage, order, len(waiting)),
        "saw": run.variables(visitor.language, zone)["alarm"]["message"],
        "label": run.place.label,
        "place": run.place,
        "order": order,
        "technician": first_name_of(order.technician_name) if order else "",
        "arrival": _arrival(visitor, order) if stage == "en_route" and order else None,
        "confirmed": "customer.confirmed" in facts,
        "movable": can_move(run, order),
        "days": _days(slots, times),
        "first_days": _FIRST_DAYS,
        "steps": _steps(visitor, order),
        "waiting": bool(waiting),
        "taken_by": first_name_of(callbacks[-1].taken_by)
        if callbacks and callbacks[-1].taken_by
        else "",
        "question": _open_question(visitor),
        "survey": survey,
        "scale": list(_SCALES[KINDS[survey.kind]]) if survey else [],
        "largest": LARGEST[KINDS[survey.kind]] if survey else 0,
        "rated": _rated(visitor),
        "open": run.case.state != CLOSED,
    }


def _stage(visitor: Visitor, order: WorkOrder | None) -> str:
    """Return how far things are: `looking`, `planned`, `en_route`, `arrived`, `done`, `person`, `over`."""
    case = visitor.run.case
    if order is not None:
        return "planned" if order.state == "accepted" else order.state
    if "customer.cancelled" in visitor.run.progress.facts:
        return "cancelled"
    if case.state == OPEN:
        return "looking"
    return "over" if case.state == CLOSED else "person"


def _fingerprint(visitor: Visitor, stage: str, order: WorkOrder | None, waiting: int) -> str:
    """Return what changes with anything that changes what can be pressed."""
    run = visitor.run
    visit = f"{order.id}-{order.visit_start:%d%H%M}" if order else ""
    confirmed = "customer.confirmed" in run.progress.facts
    return f"{stage}-{visit}-{confirmed}-{waiting}-{run.case.state}-{run.case.rating}"


def _arrival(visitor: Visitor, order: WorkOrder) -> dict[str, Any]:
    """Return when the technician is expected, and how that is known."""
    run = visitor.run
    promised = order.visit_start, order.visit_end
    technician = run.session.get(Technician, order.technician_id)
    there = run.place.position
    seen_at = technician.position_at if technician else None
    km = None
    if technician and there and technician.position_latitude is not None and seen_at:
        here = technician.position_latitude, technician.position_longitude or 0.0
        km = distance_km(here, there)
    travel_s = None if km is None else travel_seconds(km, on_foot=False)
    found = expect_arrival(promised, travel_s, seen_at, run.now)
    return {
        "by": found.by,
        "start": found.start,
        "end": found.end,
        "away": visitor.times.km(km) if km is not None and found.by == POSITION else "",
        "seen_at": seen_at,
    }


def _days(slots: Sequence[Span], times: Times) -> list[dict[str, Any]]:
    """Return slots by the day of the reader."""
    days: dict[str, list[dict[str, str]]] = {}
    for start, end in slots:
        value = f"{start.isoformat()}/{end.isoformat()}"
        days.setdefault(times.day(start), []).append(
            {"value": value, "hours": times.hours(start, end)}
        )
    return [{"day": day, "slots": some} for day, some in days.items()]


def _steps(visitor: Visitor, order: WorkOrder | None) -> list[dict[str, Any]]:
    """Return the way from what was noticed to what is done: each with its time, where it has come."""
    run, facts = visitor.run, visitor.run.progress.facts
    moments: list[tuple[str, datetime | None]] = [("noticed", run.alarm.raised_at)]
    moments.append(("found", order.accepted_at if order else None))
    for name in ("en_route", "arrived", "done"):
        at = facts.get(f"technician.{name}") if order else None
        moments.append((name, from_epoch(at) if at else None))
    return [{"name": name, "at": at} for name, at in moments]


def _open_survey(visitor: Visitor) -> SentSurvey | None:
    """Return the survey that the customer can still answer."""
    run = visitor.run
    query = (
        select(SentSurvey, Message)
        .join(Message, col(Message.key) == col(SentSurvey.message_key))
        .where(SentSurvey.case_id == run.case.id, SentSurvey.contact_id == visitor.contact_id)
        .where(col(SentSurvey.rating).is_(None), col(Message.ask_open))
    )
    found = run.session.exec(query.order_by(col(SentSurvey.id).desc())).first()
    if found is None:
        return None
    survey, message = found
    is_over = message.ask_until is not None and message.ask_until <= run.now
    return None if is_over else survey


def _rated(visitor: Visitor) -> int | None:
    query = select(SentSurvey.rating).where(
        SentSurvey.case_id == visitor.run.case.id, SentSurvey.contact_id == visitor.contact_id
    )
    return visitor.run.session.exec(query.order_by(col(SentSurvey.id).desc())).first()


def _open_question(visitor: Visitor) -> Message | None:
    """Return the question of the workflow that waits for the customer's answer."""
    run = visitor.run
    query = select(Message).where(
        Message.case_id == run.case.id,
        Message.contact_id == visitor.contact_id,
        col(Message.ask_open),
        col(Message.ask).startswith("question:"),
    )
    found = run.session.exec(query.order_by(col(Message.id).desc())).first()
    if found is None or (found.ask_until is not None and found.ask_until <= run.now):
        return None
    return found
