"""Escalation and hand-off: one role after the other is told, until somebody takes the case."""

from notify import Ask
from prevenant.clock import epoch_seconds
from prevenant.tables import CaseEvent
from workflows.definition import Escalate, HandOff
from workflows.recipients import people_of
from workflows.running import Outcome, RunningCase, Track, patience_of
from workflows.tables import HANDED_OVER

TAKEN = ("acknowledged", "taken_over")
_ASKED_OFTEN = 3
"""How many rounds a hand-off asks at its own pace, before it asks once a day."""
_DAY_S, _HOUR_S = 86_400.0, 3_600.0


def begin(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    """Tell the first role. Whoever took the case before has not ended it: it is free again."""
    run.forget_facts(*TAKEN)
    track.data = {"asked": 0}
    return _ask_next(run, track, step, why)


def hear(
    run: RunningCase, track: Track, step: Escalate | HandOff, event: CaseEvent, why: str
) -> Outcome:
    """End the step when somebody has taken the case; ask the next role when nobody was reached."""
    if any(fact in run.progress.facts for fact in TAKEN):
        if isinstance(step, HandOff):
            run.finish(track, HANDED_OVER, f"handed over to {run.case.owner or 'somebody'}")
            return Outcome.ENDED
        return Outcome.DONE
    reached = track.data.get("reached", [])
    if event.kind != "message.failed" or event.data["message"] not in reached:
        return Outcome.WAITING
    reached.remove(event.data["message"])
    left = -track.data["asked"] % len(step.to)
    if reached or not left:
        return Outcome.WAITING
    run.note("escalation.unreached", "nobody who was asked could be reached: the next are asked")
    # Of this round alone: where nobody of it can be reached, the next one comes at its own pace.
    return _ask_one(run, track, step, why, left) or Outcome.WAITING


def expire(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    """Tell the next role because nobody has taken the case."""
    return _ask_next(run, track, step, why)


def _ask_next(run: RunningCase, track: Track, step: Escalate | HandOff, why: str) -> Outcome:
    outcome = _ask_one(run, track, step, why, len(step.to))
    if outcome is not None:
        return outcome
    if isinstance(step, Escalate):
        return Outcome.DONE
    # A case must not end unseen: somebody may be given the role meanwhile.
    track.due_at = epoch_seconds(run.now) + _HOUR_S
    return Outcome.WAITING


def _ask_one(
    run: RunningCase, track: Track, step: Escalate | HandOff, why: str, at_most: int
) -> Outcome | None:
    """Tell the first of so many next roles that somebody has; return None where nobody has any."""
    for _ in range(at_most):
        asked = track.data["asked"]
        role = step.to[asked % len(step.to)]
        rounds = asked // len(step.to)
        if isinstance(step, Escalate) and rounds >= step.repeat:
            run.note("escalation.unanswered", f"nobody took the case after {rounds} rounds")
            return Outcome.DONE
        track.data["asked"] = asked + 1
        people = people_of(run, role)
        if not people:
            run.note("escalation.nobody", f"nobody is {role} here", {"role": role})
            continue
        run.note("escalated", f"to {role}: {', '.join(p.name for p in people)}", {"why": why})
        ask, patience = Ask("acknowledge"), patience_of(step)
        track.data["reached"] = run.tell_all(
            people, role, step.template, step.turns, ask, {"why": why}, patience
        )
        pause = step.within_s if rounds < _ASKED_OFTEN else _DAY_S
        track.due_at = epoch_seconds(run.now) + pause
        return Outcome.WAITING
    return None
