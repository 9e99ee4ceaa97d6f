"""The step `dispatch`: offers to the best candidates, until one has accepted (and arrived)."""

from datetime import datetime, timedelta

from sqlmodel import col, func, select

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import find_person, find_technicians
from prevenant.domain import Severity
from prevenant.tables import CaseEvent
from workflows.definition import Dispatch
from workflows.dispatch import Choice, Need, plan_visit, rank_candidates, shown_distance
from workflows.running import Outcome, RunningCase, Track
from workflows.tables import Candidate, Offer, WorkOrder

_ACTIVE_JOBS = ("accepted", "en_route", "arrived")
_FACTS = (
    "technician.accepted",
    "technician.en_route",
    "technician.arrived",
    "technician.done",
)


def begin(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """Rank everybody and offer the job to the best."""
    run.forget_facts(*_FACTS)
    return _offer_more(run, track, step)


def hear(run: RunningCase, track: Track, step: Dispatch, event: CaseEvent) -> Outcome:
    """Take an answer to an offer, an arrival, or word that an offer did not reach its technician."""
    if track.data.get("order") is not None:
        arrived = "technician.arrived" in run.progress.facts
        return Outcome.DONE if arrived else Outcome.WAITING
    if event.kind == "message.failed":
        return _take_failure(run, track, step, event)
    if event.kind != "reply" or event.data.get("ask") != "offer":
        return Outcome.WAITING
    offer = next(
        (one for one in _open_offers(run, track) if one.contact_id == event.data["contact"]), None
    )
    if offer is None:
        return Outcome.WAITING
    if event.data["intent"] == "accept":
        return _accept(run, track, step, offer)
    if event.data["intent"] == "decline":
        return _end_offer(run, track, step, offer, "declined", "declined")
    return Outcome.WAITING


def expire(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """End the offers whose time is over, or a job whose technician never arrived; ask the next."""
    if track.data.get("order") is not None:
        return _replace_technician(run, track, step)
    for offer in _open_offers(run, track):
        if offer.expires_at <= run.now:
            _mark(run, offer, "expired", "did not answer")
    return _offer_more(run, track, step)


def has_open_offer(run: RunningCase, contact_id: str) -> bool:
    """Return whether a contact can still answer an offer of this case."""
    query = select(Offer).where(
        Offer.case_id == run.case.id, Offer.contact_id == contact_id, Offer.state == "open"
    )
    return run.session.exec(query).first() is not None


def open_jobs(run: RunningCase) -> dict[str, int]:
    """Return how many jobs each technician has or is being offered."""
    orders = (
        select(WorkOrder.technician_id, func.count())
        .where(col(WorkOrder.state).in_(_ACTIVE_JOBS))
        .group_by(WorkOrder.technician_id)
    )
    offers = (
        select(Offer.technician_id, func.count())
        .where(Offer.state == "open")
        .group_by(Offer.technician_id)
    )
    counts = dict(run.session.exec(orders).all())
    for technician_id, count in run.session.exec(offers):
        counts[technician_id] = counts.get(technician_id, 0) + count
    return counts


def withdraw(run: RunningCase) -> None:
    """Withdraw the offers that a case has still out when it ends, and tell whom they went to."""
    query = select(Offer).where(Offer.case_id == run.case.id, Offer.state == "open")
    for offer in run.session.exec(query.order_by(col(Offer.id))):
        _close_offer(run, offer, "withdrawn")
        person = find_person(run.session, offer.contact_id)
        if person:
            run.tell(person, "technician", "job_over", [["sms"]])


def cancel_job(run: RunningCase, why: str) -> None:
    """Take the job from the technician who has it, and say so; one who is done keeps it."""
    order = run.work_order()
    if order is None or order.state == "done":
        return
    order.state, order.updated_at = "cancelled", run.now
    run.session.add(order)
    run.session.flush()
    run.stop_asking("progress", contact_id=order.contact_id)
    run.note("work_order.cancelled", f"{order.technician_name}: {why}")
    technician = find_person(run.session, order.contact_id)
    if technician:
        run.tell(technician, "technician", "job_over", [["sms"]])


def _offer_more(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """Bring the open offers up to `at_once`; where nobody is left and none is open, give up."""
    running = _open_offers(run, track)
    missing = step.at_once - len(running)
    if missing > 0:
        asked = {one.technician_id: "has the offer already" for one in running}
        choices = _rank(run, step, {**run.progress.excluded, **asked})
        best = [choice for choice in choices if choice.eligible][:missing]
        for choice in best:
            running.append(_offer(run, track, step, choice))
        if not running:
            run.note("dispatch.nobody", "nobody can be sent: see the candidates")
            return Outcome.OTHERWISE
    track.due_at = min(epoch_seconds(offer.expires_at) for offer in running)
    return Outcome.WAITING


def _rank(run: RunningCase, step: Dispatch, excluded: dict[str, str]) -> list[Choice]:
    """Rank all technicians, and keep what was thought of each."""
    urgent = run.case.severity >= Severity.LIFE_SAFETY
    need = Need(step.skill, step.level, step.within_km, run.place.position, step.on_foot, urgent)
    choices = rank_candidates(
        need, find_technicians(run.session), open_jobs(run), excluded, run.now
    )
    run.progress.rounds += 1
    for rank, choice in enumerate(choices, 1):
        run.session.add(
            Candidate(
                case_id=run.case.id or 0,
                round=run.progress.rounds,
                technician_id=choice.technician.id,
                technician_name=choice.technician.person.name,
                rank=rank if choice.eligible else None,
                distance_km=choice.distance_km,
                travel_s=choice.travel_s,
                score=choice.score,
                reason=choice.reason,
            )
        )
    eligible = [choice for choice in choices if choice.eligible]
    shown = [f"{c.technician.person.name}: {c.reason}" for c in choices]
    run.note(
        "candidates",
        f"{len(eligible)} of {len(choices)} technicians can go"
        + (f"; the best is {shown[0]}" if eligible else ""),
        {"skill": f"{step.skill} >= {step.level}", "candidates": shown[:10]},
    )
    return choices


def _offer(run: RunningCase, track: Track, step: Dispatch, choice: Choice) -> Offer:
    person = choice.technician.person
    until = run.now + timedelta(seconds=step.offer_s)
    distance = shown_distance(choice.distance_km or 0.0)
    key = run.tell(
        person,
        "technician",
        step.offer_template,
        step.turns,
        Ask("offer", until),
        {"offer": {"distance": distance, "until": until}},
    )
    offer = Offer(
        case_id=run.case.id or 0,
        step=track.path,
        technician_id=choice.technician.id,
        contact_id=person.contact_id,
        technician_name=person.name,
        message_key=key,
        offered_at=run.now,
        expires_at=until,
    )
    run.session.add(offer)
    run.session.flush()
    track.data.setdefault("travel", {})[choice.technician.id] = choice.travel_s or 0.0
    run.note("offer.sent", f"offered to {person.name}: {choice.reason}")
    return offer


def _open_offers(run: RunningCase, track: Track) -> list[Offer]:
    query = (
        select(Offer)
        .where(Offer.case_id == run.case.id, Offer.step == track.path, Offer.state == "open")
        .order_by(col(Offer.id))
    )
    return list(run.session.exec(query))


def _accept(run: RunningCase, track: Track, step: Dispatch, offer: Offer) -> Outcome:
    _close_offer(run, offer, "accepted")
    travel_s = float(track.data.get("travel", {}).get(offer.technician_id, 0.0))
    start, end = _visit(run.now, travel_s, step)
    order = WorkOrder(
        case_id=run.case.id or 0,
        technician_id=offer.technician_id,
        contact_id=offer.contact_id,
        technician_name=offer.technician_name,
        state="accepted",
        visit_start=start,
        visit_end=end,
        accepted_at=run.now,
        updated_at=run.now,
    )
    run.session.add(order)
    run.session.flush()
    run.set_fact("technician.accepted")
    run.note(
        "offer.accepted",
        f"{offer.technician_name} accepts",
        {"visit_start": start.isoformat(), "visit_end": end.isoformat()},
    )
    technician = find_person(run.session, offer.contact_id)
    if technician:
        run.tell(technician, "technician", step.accepted_template, step.turns, Ask("progress"))
    for other in _open_offers(run, track):
        _close_offer(run, other, "withdrawn")
        person = find_person(run.session, other.contact_id)
        if person:
            run.tell(person, "technician", step.gone_template, [["sms"]])
    if step.arrive_within_s is None:
        return Outcome.DONE
    track.data = {**track.data, "order": order.id}
    track.due_at = epoch_seconds(run.now) + step.arrive_within_s
    return Outcome.WAITING


def _visit(now: datetime, travel_s: float, step: Dispatch) -> tuple[datetime, datetime]:
    """Someone who has to arrive at once is promised at once; a visit gets a window."""
    if step.arrive_within_s is not None:
        return now, now + timedelta(seconds=step.arrive_within_s)
    return plan_visit(now, travel_s, step.window_s)


def _end_offer(
    run: RunningCase, track: Track, step: Dispatch, offer: Offer, state: str, why: str
) -> Outcome:
    _mark(run, offer, state, why)
    return _offer_more(run, track, step)


def _mark(run: RunningCase, offer: Offer, state: str, why: str) -> None:
    """End an offer without success; its technician is not asked again for this case."""
    _close_offer(run, offer, state)
    run.progress.excluded[offer.technician_id] = why
    run.note(f"offer.{state}", f"{offer.technician_name} {why}")


def _close_offer(run: RunningCase, offer: Offer, state: str) -> None:
    offer.state = state
    offer.answered_at = run.now
    run.session.add(offer)
    run.session.flush()
    run.stop_asking("offer", contact_id=offer.contact_id)


def _take_failure(run: RunningCase, track: Track, step: Dispatch, event: CaseEvent) -> Outcome:
    offer = next(
        (one for one in _open_offers(run, track) if one.message_key == event.data["message"]), None
    )
    if offer is None:
        return Outcome.WAITING
    return _end_offer(run, track, step, offer, "unreachable", "could not be reached")


def _replace_technician(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    order = run.session.get_one(WorkOrder, track.data["order"])
    order.state, order.updated_at = "cancelled", run.now
    run.session.add(order)
    run.session.flush()
    run.progress.excluded[order.technician_id] = "accepted but did not arrive"
    run.stop_asking("progress", contact_id=order.contact_id)
    run.note("technician.missing", f"{order.technician_name} accepted but did not arrive")
    technician = find_person(run.session, order.contact_id)
    if technician:
        run.tell(technician, "technician", "job_over", [["sms"]])
    track.data = {}
    return _offer_more(run, track, step)
