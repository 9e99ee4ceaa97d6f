"""The step `dispatch`: offers to the best candidates, until one has accepted (and arrived)."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import event as sql_events
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import find_present
from prevenant.tables import CaseEvent
from workflows import choosing, gathering, redispatch
from workflows.definition import Dispatch
from workflows.dispatch import (
    SEEN_S,
    Choice,
    Distance,
    Need,
    Ranking,
    plan_visit,
    position_of,
)
from workflows.loads import hold_technicians, open_jobs
from workflows.office import office_of
from workflows.roads import Question
from workflows.running import Outcome, RunningCase, Track, patience_of
from workflows.tables import Offer, WorkOrder


def begin(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """Rank everybody and offer the job to the best; in a rush, wait for the others first."""
    run.forget_facts(*redispatch.FACTS)
    if gathering.begin_waiting(run, track, step):
        return Outcome.WAITING
    return _offer_more(run, track, step)


def hear(run: RunningCase, track: Track, step: Dispatch, event: CaseEvent) -> Outcome:
    """Take what concerns the offers of this step, or the technician who is on the way."""
    if redispatch.cancels_visit(event):
        return _send_nobody(run, track)
    if track.data.get("order") is not None:
        return _hear_on_the_way(run, track, step)
    match event.kind:
        case "message.failed":
            offer = _find_offer(run, track, message_key=event.data["message"])
            return _end_offer(run, track, step, offer, "unreachable", "could not be reached")
        case "technician.unavailable":
            offer = _find_offer(run, track, technician_id=event.data["technician"])
            why = run.progress.excluded.get(event.data["technician"], "is unavailable")
            return _end_offer(run, track, step, offer, "withdrawn", why)
        case "ways.found":
            return _take_ways(run, track, step, event)
        case "reply" if event.data.get("ask") == "offer":
            offer = _find_offer(run, track, contact_id=event.data["contact"])
            if offer is not None and event.data["intent"] == "accept":
                return _accept(run, track, step, offer)
            if event.data["intent"] == "decline":
                return _end_offer(run, track, step, offer, "declined", _why_declined(event))
    return Outcome.WAITING


def _why_declined(event: CaseEvent) -> str:
    """Return that somebody has declined, with the reason where one was given on a page."""
    reason = str(event.data.get("reason", "")).strip()[:120]
    return f"declined: {reason}" if reason else "declined"


def _send_nobody(run: RunningCase, track: Track) -> Outcome:
    """Look for nobody any more, since the customer wants no visit."""
    gathering.give_up_waiting(run, track)
    for offer in _open_offers(run, track):
        redispatch.withdraw(run, offer)
    track.data = {}
    run.note("dispatch.cancelled", "nobody is sent: the customer has cancelled the visit")
    return Outcome.OTHERWISE


def expire(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """End the offers whose time is over, or a job whose technician never arrived; ask the next."""
    if track.data.get("order") is not None:
        return _replace_technician(run, track, step)
    if "waits" in track.data:
        technician_id, plan = gathering.end_waiting(run, track)
        return _offer_more(run, track, step, technician_id, plan)
    for offer in _open_offers(run, track):
        if offer.expires_at <= run.now:
            _mark(run, offer, "expired", "did not answer")
    roads = office_of(run.session).roads
    if track.data.pop("ways_asked_at", None) is not None:
        name = roads.name if roads else "the routing server"
        track.data["ways_note"] = f"great circle: {name} did not answer in time"
    return _offer_more(run, track, step)


def has_open_offer(run: RunningCase, contact_id: str) -> bool:
    """Return whether a contact can still answer an offer of this case."""
    query = select(Offer).where(
        Offer.case_id == run.case.id, Offer.contact_id == contact_id, Offer.state == "open"
    )
    return run.session.exec(query).first() is not None


def _offer_more(
    run: RunningCase, track: Track, step: Dispatch, planned: str = "", plan: str = ""
) -> Outcome:
    """Bring the open offers up to `at_once`; where nobody is left and none is open, give up."""
    running = _open_offers(run, track)
    missing = step.at_once - len(running)
    if missing > 0:
        asked = {one.technician_id: "has the offer already" for one in running}
        excluded = {**run.progress.excluded, **asked}
        need = choosing.need_of(run, step)
        while True:
            ranking = choosing.by_road(choosing.rank(run, need, excluded, missing), track)
            if not planned and _ask_ways(run, track, need, ranking):
                return Outcome.WAITING
            if planned:
                ranking = choosing.with_planned(run, need, ranking, planned, plan)
            choosing.keep(run, track, need, ranking, plan)
            chosen = _with_room(run, step, ranking, missing)
            running += [_offer(run, track, step, choice) for choice in chosen]
            if running or not ranking.best:
                break
            taken = [choice.technician.id for choice in ranking.best]
            excluded |= dict.fromkeys(taken, "was given another job just now")
        if not running:
            run.note("dispatch.nobody", "nobody can be sent: see the candidates")
            return Outcome.OTHERWISE
    track.due_at = min(epoch_seconds(offer.expires_at) for offer in running)
    return Outcome.WAITING


def _with_room(run: RunningCase, step: Dispatch, ranking: Ranking, missing: int) -> list[Choice]:
    """Return the best who still have room, while nobody else can offer them anything."""
    chosen: list[Choice] = []
    left = list(ranking.best)
    while left and len(chosen) < missing:
        some, left = left[: missing - len(chosen)], left[missing - len(chosen) :]
        ids = [choice.technician.id for choice in some]
        hold_technicians(run.session, ids)
        jobs = open_jobs(run.session, ids, without=run.case.id)
        for choice in some:
            one = choice.technician
            limit = one.capacity if step.max_jobs is None else step.max_jobs
            if jobs.get(one.id, 0) < limit:
                chosen.append(choice)
            else:
                run.note("offer.passed", f"{one.person.name} was given another job just now")
    return chosen


def _ask_ways(run: RunningCase, track: Track, need: Need, ranking: Ranking) -> bool:
    """Ask the routing server about the best, once each; return whether its answer is waited for.

    Where life is at stake nobody waits for a server: the great circle has to do.
    """
    roads = office_of(run.session).roads
    tried = set(track.data.get("ways_tried", ()))
    best = [one.technician for one in ranking.best if one.technician.id not in tried]
    if roads is None or need.position is None or not best or best[0] != ranking.best[0].technician:
        return False
    if need.urgent or not roads.serves(on_foot=need.on_foot):
        return False
    asked_at = epoch_seconds(run.now)
    seen_s = SEEN_S if need.fresh_s is None else need.fresh_s
    positions = {one.id: position_of(one, run.now, seen_s) for one in best[: roads.best]}
    question = Question(
        run.case.id or 0, track.path, asked_at, need.position, positions, need.on_foot
    )
    track.data = {
        **track.data,
        "ways_asked_at": asked_at,
        "ways_tried": sorted(tried.union(positions)),
    }
    track.due_at = asked_at + 2 * roads.timeout_s + 1.0
    office = office_of(run.session)
    sql_events.listen(
        run.session, "after_commit", partial(_after_commit, office.ask_ways, question), once=True
    )
    return True


def _after_commit(ask: Any, question: Question, _: Session) -> None:
    ask(question)


def _take_ways(run: RunningCase, track: Track, step: Dispatch, event: CaseEvent) -> Outcome:
    """Take what the routing server says, and go on; an answer that nobody waits for changes nothing."""
    data = event.data
    if data["step"] != track.path or track.data.get("ways_asked_at") != data["asked_at"]:
        return Outcome.WAITING
    del track.data["ways_asked_at"]
    if data["why"]:
        track.data["ways_note"] = f"great circle: {data['why']}"
    else:
        track.data["ways"] = {**track.data.get("ways", {}), **data["ways"]}
        track.data["ways_by"] = data["by"]
        track.data["ways_note"] = f"{data['by']}, {len(data['ways'])} ways"
    return _offer_more(run, track, step)


def _offer(run: RunningCase, track: Track, step: Dispatch, choice: Choice) -> Offer:
    person = choice.technician.person
    until = run.now + timedelta(seconds=step.offer_s)
    redispatch.forget_lost(run, person.contact_id)
    key = run.tell(
        person,
        "technician",
        step.offer_template,
        step.turns,
        Ask("offer", until),
        {"offer": {"distance": Distance(choice.distance_km or 0.0), "until": until}},
        patience_of(step),
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


def _find_offer(run: RunningCase, track: Track, **values: str) -> Offer | None:
    """Return the open offer of this step with these values."""
    for offer in _open_offers(run, track):
        if all(getattr(offer, name) == value for name, value in values.items()):
            return offer
    return None


def _accept(run: RunningCase, track: Track, step: Dispatch, offer: Offer) -> Outcome:
    """Give the job to whoever accepts first; the database lets nobody have it beside."""
    travel_s = float(track.data.get("travel", {}).get(offer.technician_id, 0.0))
    order = _give_job(run, step, offer, travel_s)
    if order is None:
        _close_offer(run, offer, "withdrawn")
        run.note("offer.late", f"{offer.technician_name} accepts too late")
        redispatch.tell_lost(run, offer.contact_id, step.gone_template)
        return Outcome.WAITING
    run.set_fact("technician.accepted")
    run.note(
        "offer.accepted",
        f"{offer.technician_name} accepts",
        {"visit_start": order.visit_start.isoformat(), "visit_end": order.visit_end.isoformat()},
    )
    technician = find_present(run.session, offer.contact_id)
    if technician:
        run.tell(technician, "technician", step.accepted_template, step.turns, Ask("progress"))
    for other in _open_offers(run, track):
        _close_offer(run, other, "withdrawn")
        redispatch.tell_lost(run, other.contact_id, step.gone_template)
    redispatch.tell_of_change(run, order)
    if step.arrive_within_s is None:
        return Outcome.DONE
    track.data = {**track.data, "order": order.id}
    track.due_at = epoch_seconds(run.now) + step.arrive_within_s
    return Outcome.WAITING


def _give_job(run: RunningCase, step: Dispatch, offer: Offer, travel_s: float) -> WorkOrder | None:
    """Turn an offer that stands into a job; None where it stands no more, or somebody has the job."""
    session, place = run.session, run.place
    standing = update(Offer).where(col(Offer.id) == offer.id, col(Offer.state) == "open")
    taken = session.exec(
        standing.values(state="accepted", answered_at=run.now).execution_options(
            synchronize_session=False
        )
    )
    if not taken.rowcount:
        session.refresh(offer)
        return None
    session.refresh(offer)
    start, end = _visit(run.now, travel_s, step)
    order = WorkOrder(
        case_id=run.case.id or 0,
        step=offer.step,
        technician_id=offer.technician_id,
        contact_id=offer.contact_id,
        technician_name=offer.technician_name,
        device_id=place.device_id,
        site_id=place.site_id,
        customer_id=place.customer_id,
        state="accepted",
        visit_start=start,
        visit_end=end,
        accepted_at=run.now,
        updated_at=run.now,
    )
    try:
        with session.begin_nested():
            session.add(order)
            session.flush()
    except IntegrityError:
        return None
    run.stop_asking("offer", contact_id=offer.contact_id)
    return order


def _visit(now: datetime, travel_s: float, step: Dispatch) -> tuple[datetime, datetime]:
    """Someone who has to arrive at once is promised at once; a visit gets a window."""
    if step.arrive_within_s is not None:
        return now, now + timedelta(seconds=step.arrive_within_s)
    return plan_visit(now, travel_s, step.window_s)


def _end_offer(
    run: RunningCase, track: Track, step: Dispatch, offer: Offer | None, state: str, why: str
) -> Outcome:
    """End an offer, where it stands, and ask the next."""
    if offer is None:
        return Outcome.WAITING
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


def _hear_on_the_way(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    """End the step when the technician has arrived; look for another where the job was taken back."""
    order = run.session.get_one(WorkOrder, track.data["order"])
    if order.state == "cancelled":
        track.data = {}
        return _offer_more(run, track, step)
    return Outcome.DONE if order.state in {"arrived", "done"} else Outcome.WAITING


def _replace_technician(run: RunningCase, track: Track, step: Dispatch) -> Outcome:
    order = run.session.get_one(WorkOrder, track.data["order"])
    redispatch.cancel(run, order)
    run.forget_facts(*redispatch.FACTS)
    run.progress.excluded[order.technician_id] = "accepted but did not arrive"
    run.note("technician.missing", f"{order.technician_name} accepted but did not arrive")
    redispatch.tell_lost(run, order.contact_id, "job_over")
    track.data = {}
    return _offer_more(run, track, step)
