"""What each kind of step does when it begins, when something is heard, when its time is over."""

from datetime import timedelta

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.durations import format_duration
from prevenant.tables import CaseEvent
from workflows import errands, escalation, offers, questions, surveys
from workflows.conditions import decide
from workflows.definition import (
    Call,
    Close,
    Command,
    Deadline,
    Dispatch,
    Escalate,
    HandOff,
    If,
    Parallel,
    Question,
    Step,
    Survey,
    Tell,
    Wait,
    blocks_of,
)
from workflows.recipients import nearest_of, people_of
from workflows.running import Into, Left, Outcome, RunningCase, Track, patience_of
from workflows.saying import condition_values
from workflows.tables import CLOSED


def begin(  # noqa: C901, PLR0911  a line for each kind
    run: RunningCase, track: Track, step: Step
) -> Left:
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
        case Question():
            return questions.begin(run, track, step, _due(run, step.within))
        case Survey():
            return surveys.send(run, step)
        case Command() | Call():
            return errands.begin(run, track, step)
        case If():
            return _decide(run, step)
        case Parallel():
            return _split(run, track, step)
        case Close():
            run.finish(track, CLOSED, step.outcome)
            return Outcome.ENDED


def hear(run: RunningCase, track: Track, step: Step, event: CaseEvent) -> Left:
    """Let a waiting step hear an event; it goes on waiting where the event means nothing to it."""
    match step:
        case Dispatch():
            return offers.hear(run, track, step, event)
        case Escalate() | HandOff():
            return escalation.hear(run, track, step, event, why_of(run, track))
        case Question():
            return questions.hear(run, track, step, event)
        case Command() | Call():
            return errands.hear(run, track, step, event)
        case _:
            return Outcome.WAITING


def expire(run: RunningCase, track: Track, step: Step) -> Left:
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
        case Question():
            return questions.expire(run, step)
        case Command() | Call():
            return errands.expire(run, step)
        case _:
            return Outcome.WAITING


def has_come(run: RunningCase, step: Step) -> bool:
    """Return whether what a step waits for has come about, whoever brought it about."""
    return isinstance(step, Wait) and any(fact in run.progress.facts for fact in step.facts)


def why_of(run: RunningCase, track: Track) -> str:
    """Return why a case comes to a person, as the code of a phrase in the templates."""
    owner_path, inside, _ = track.path.rpartition(".otherwise.")
    if not inside:
        return "in_time"
    owner = run.step_at(owner_path)
    match owner:
        case Wait():
            fact = owner.facts[0]
            return "not_answered" if fact.startswith("answer.") else f"not_{fact.replace('.', '_')}"
        case Question():
            return "not_answered"
        case Command() | Call():
            return "machine_failed"
        case Dispatch() if "customer.cancelled" in run.progress.facts:
            return "visit_cancelled"
        case _:
            return "nobody_accepted" if run.progress.excluded else "nobody_qualified"


def _tell(run: RunningCase, step: Tell) -> Outcome:
    until = run.now + timedelta(seconds=step.ask_for_s) if step.ask_for_s else None
    ask = Ask(step.ask, until) if step.ask else None
    is_survey = step.ask == surveys.KINDS["csat"]
    if is_survey and run.case.survey:
        run.note("survey.skipped", f"the customer has the {run.case.survey} already")
    people = nearest_of(run, step.whom, step.nearest) if step.nearest else people_of(run, step.whom)
    if not people:
        run.note("tell.nobody", f"nobody to tell as {step.whom}", {"template": step.template})
    had, patience = run.case.survey, patience_of(step)
    if not is_survey:
        run.tell_all(people, step.whom, step.template, step.turns, ask, patience=patience)
        return Outcome.DONE
    for person in people:
        if not had and surveys.may_ask(run, person, "csat"):
            surveys.ask(run, person, "csat", step.whom, step.template, step.turns, until, patience)
        else:
            run.tell(person, step.whom, step.template, step.turns, None, {"survey": False})
    return Outcome.DONE


def _begin_wait(run: RunningCase, track: Track, step: Wait) -> Outcome:
    if has_come(run, step):
        return Outcome.DONE
    track.due_at = _due(run, step.within)
    waited = format_duration(max(0.0, track.due_at - epoch_seconds(run.now)))
    run.note("wait", f"waits for {' or '.join(step.facts)}, at most {waited}")
    return Outcome.WAITING


def _decide(run: RunningCase, step: If) -> Into:
    """Choose a way; what is not known is not false, and the story says which way was taken and why."""
    decision = decide(step.condition, condition_values(run))
    way = {True: "then", False: "else", None: "unknown"}[decision.truth]
    if way not in blocks_of(step):
        way = "else"
    run.note("decided", f"{decision.reason}; goes on with `{way}`", {"way": way})
    return Into(way)


def _split(run: RunningCase, track: Track, step: Parallel) -> Outcome:
    for branch, name in enumerate(step.names):
        run.note("track.begun", f"{name} begins", {"track": name, "number": branch})
    for branch in range(len(step.branches)):
        run.progress.tracks.append(Track(f"{track.path}.branches.{branch}.0"))
    return Outcome.WAITING


def _due(run: RunningCase, deadline: Deadline) -> float:
    base = run.now
    order = run.last_order() if deadline.visit else None
    if order is not None:
        base = order.visit_start if deadline.visit == "start" else order.visit_end
    return epoch_seconds(base) + deadline.seconds
