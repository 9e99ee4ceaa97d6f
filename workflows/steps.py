"""What each kind of step does when it begins, when something is heard, when its time is over."""

from datetime import timedelta

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import Person, find_role_holders
from prevenant.durations import format_duration
from prevenant.tables import CaseEvent
from workflows import escalation, offers
from workflows.definition import (
    Close,
    Deadline,
    Dispatch,
    Escalate,
    HandOff,
    Parallel,
    Step,
    Tell,
    Wait,
)
from workflows.running import Outcome, RunningCase, Track
from workflows.tables import CLOSED


def begin(run: RunningCase, track: Track, step: Step) -> Outcome:
    """Begin a step."""
    match step:
        case Tell():
            return _tell(run, step)
        case Wait():
            return _begin_wait(run, track, step)
        case Dispatch():
            return offers.begin(run, track, step)
        case Escalate() | HandOff():
            return escalation.begin(run, track, step, why_of(run, track))
        case Parallel():
            for branch in range(len(step.branches)):
                run.progress.tracks.append(Track(f"{track.path}.branches.{branch}.0"))
            return Outcome.WAITING
        case Close():
            run.end(CLOSED, step.outcome)
            return Outcome.ENDED


def hear(run: RunningCase, track: Track, step: Step, event: CaseEvent) -> Outcome:
    """Let a waiting step hear an event; it goes on waiting where the event means nothing to it."""
    match step:
        case Wait() if _known_fact(run, step):
            return Outcome.DONE
        case Dispatch():
            return offers.hear(run, track, step, event)
        case Escalate() | HandOff():
            return escalation.hear(run, step, event)
        case _:
            return Outcome.WAITING


def expire(run: RunningCase, track: Track, step: Step) -> Outcome:
    """End a step's wait because its time is over."""
    match step:
        case Wait():
            waited = " or ".join(step.facts)
            run.note("wait.expired", f"no {waited} in time", {"facts": step.facts})
            return Outcome.OTHERWISE
        case Dispatch():
            return offers.expire(run, track, step)
        case Escalate() | HandOff():
            return escalation.expire(run, track, step, why_of(run, track))
        case _:
            return Outcome.WAITING


def why_of(run: RunningCase, track: Track) -> str:
    """Return why a case comes to a person, as the code of a phrase in the templates."""
    owner_path, inside, _ = track.path.rpartition(".otherwise.")
    if not inside:
        return "in_time"
    owner = run.step_at(owner_path)
    if isinstance(owner, Wait):
        return f"not_{owner.facts[0].replace('.', '_')}"
    return "nobody_accepted" if run.progress.excluded else "nobody_qualified"


def _tell(run: RunningCase, step: Tell) -> Outcome:
    until = run.now + timedelta(seconds=step.ask_for_s) if step.ask_for_s else None
    ask = Ask(step.ask, until) if step.ask else None
    people = _people(run, step.whom)
    if not people:
        run.note("tell.nobody", f"nobody to tell as {step.whom}", {"template": step.template})
    for person in people:
        run.tell(person, step.whom, step.template, step.turns, ask)
    return Outcome.DONE


def _people(run: RunningCase, whom: str) -> list[Person]:
    if whom == "customer":
        return [run.place.customer] if run.place.customer else []
    if whom == "technician":
        technician = run.technician()
        return [technician] if technician else []
    return find_role_holders(run.session, whom, run.place.site_id)


def _begin_wait(run: RunningCase, track: Track, step: Wait) -> Outcome:
    if _known_fact(run, step):
        return Outcome.DONE
    track.due_at = _due(run, step.within)
    waited = format_duration(track.due_at - epoch_seconds(run.now))
    run.note("wait", f"waits for {' or '.join(step.facts)}, at most {waited}")
    return Outcome.WAITING


def _known_fact(run: RunningCase, step: Wait) -> bool:
    return any(fact in run.progress.facts for fact in step.facts)


def _due(run: RunningCase, deadline: Deadline) -> float:
    base = run.now
    order = run.work_order() if deadline.visit else None
    if order is not None:
        base = order.visit_start if deadline.visit == "start" else order.visit_end
    return epoch_seconds(base) + deadline.seconds
