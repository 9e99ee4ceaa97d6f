"""Escalation and hand-off: one role after the other is told, until somebody takes the case."""

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import find_role_holders
from prevenant.tables import CaseEvent
from workflows.definition import Escalate, HandOff
from workflows.running import Outcome, RunningCase, Track
from workflows.tables import HANDED_OVER

_ASKED_OFTEN = 3
"""How many rounds a hand-off asks at its own pace, before it asks once a day."""
_DAY_S, _HOUR_S = 86_400.0, 3_600.0


def begin(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    """Tell the first role. Whoever took the case before has not ended it: it is free again."""
    run.progress.facts.pop("acknowledged", None)
    track.data = {"asked": 0}
    return _ask_next(run, track, step, why)


def hear(run: RunningCase, step: Escalate | HandOff, event: CaseEvent) -> Outcome:
    """End the step when somebody has taken the case."""
    del event
    if "acknowledged" not in run.progress.facts:
        return Outcome.WAITING
    if isinstance(step, HandOff):
        run.end(HANDED_OVER, f"handed over to {run.case.owner}")
        return Outcome.ENDED
    return Outcome.DONE


def expire(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    """Tell the next role because nobody has taken the case."""
    return _ask_next(run, track, step, why)


def _ask_next(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    for _ in step.to:
        asked = track.data["asked"]
        role = step.to[asked % len(step.to)]
        rounds = asked // len(step.to)
        if isinstance(step, Escalate) and rounds >= step.repeat:
            run.note("escalation.unanswered", f"nobody took the case after {rounds} rounds")
            return Outcome.DONE
        track.data["asked"] = asked + 1
        people = find_role_holders(run.session, role, run.place.site_id)
        if not people:
            run.note("escalation.nobody", f"nobody is {role} here", {"role": role})
            continue
        run.note("escalated", f"to {role}: {', '.join(p.name for p in people)}", {"why": why})
        for person in people:
            run.tell(person, role, step.template, step.turns, Ask("acknowledge"), {"why": why})
        pause = step.within_s if rounds < _ASKED_OFTEN else _DAY_S
        track.due_at = epoch_seconds(run.now) + pause
        return Outcome.WAITING
    if isinstance(step, Escalate):
        return Outcome.DONE
    # A case must not end unseen: somebody may be given the role meanwhile.
    track.due_at = epoch_seconds(run.now) + _HOUR_S
    return Outcome.WAITING
