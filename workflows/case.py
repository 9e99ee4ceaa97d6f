"""A case: a durable state machine that runs one workflow.

    gather ┐
    hear ──┼──▶ tracks move from step to step until each waits for a fact, a reply or a deadline
    expire ┘

A *track* is one line of execution; `parallel` splits it. Between two calls everything stands in the
case's row, so that a case costs nothing while it waits and goes on after any crash.
"""

from datetime import datetime

import msgspec

from prevenant.clock import epoch_seconds, from_epoch
from prevenant.domain import Severity
from prevenant.tables import CaseEvent
from workflows import answers, deskwork, members, redispatch, steps, storms
from workflows.running import Outcome, RunningCase, Track, locate
from workflows.tables import CLOSED, OPEN

_STEP_LIMIT = 10_000


def gather(run: RunningCase, until: datetime | None) -> None:
    """Let a case that has not begun wait for further alarms until a time; without one begin it now."""
    if not run.has_begun and until is not None:
        run.progress.begins_at = epoch_seconds(until)
    elif not run.has_begun:
        run.progress.begins_at = None
        run.progress.tracks = [Track("0")]
        if not members.count_active(run.session, run.case):
            run.end(CLOSED, "over before anybody was told")
    _advance(run)


def hear(run: RunningCase, event: CaseEvent) -> None:
    """Take an event: what it means for the case as a whole, then to every track that may wait for it."""
    if run.case.storm_of:
        storms.hear(run, event)
        return
    if _take(run, event):
        for track in list(run.progress.tracks):
            if track.begun and track in run.progress.tracks:
                _apply(run, track, steps.hear(run, track, run.step_at(track.path), event))
    _advance(run)


def _take(run: RunningCase, event: CaseEvent) -> bool:
    """Take what an event means for the whole case; return whether its tracks are to hear it, too."""
    match event.kind:
        case "alarm.cleared":
            member = members.end(run.session, run.case, event)
            if member is not None:
                run.note(
                    "alarm.over", f"{member.rule} on {member.device_id} is over, others are not"
                )
                return False
            run.set_fact("alarm.cleared")
        case "alarm.raised":
            run.progress.facts.pop("alarm.cleared", None)
            run.note("alarm.raised", f"raised again: {event.data['reason']}")
        case "alarm.levelled":
            members.level(run.session, run.case, event)
            run.note("alarm.levelled", event.data["reason"])
            if not run.has_begun and run.case.severity >= Severity.CRITICAL:
                gather(run, None)
        case "alarm.acknowledged":
            run.set_fact("acknowledged")
        case "reply":
            answers.take(run, event)
        case "technician.unavailable":
            redispatch.take_unavailable(run, event)
        case "case.acknowledged" | "case.taken" | "case.resolved":
            deskwork.hear(run, event)
    return True


def expire(run: RunningCase) -> None:
    """Take the time to every track whose deadline has come."""
    if run.case.storm_of:
        storms.expire(run)
        return
    if not run.has_begun:
        gather(run, None)
        return
    now = epoch_seconds(run.now)
    for track in list(run.progress.tracks):
        if track in run.progress.tracks and track.due_at is not None and track.due_at <= now:
            track.due_at = None
            _apply(run, track, steps.expire(run, track, run.step_at(track.path)))
    _advance(run)


def _advance(run: RunningCase) -> None:
    """Begin every step that can begin, until all tracks wait; then keep where they stand."""
    tracks = run.progress.tracks
    for _ in range(_STEP_LIMIT):
        tracks = run.progress.tracks
        track = next((one for one in tracks if not one.begun), None)
        if track is None:
            break
        track.begun = True
        _apply(run, track, steps.begin(run, track, run.step_at(track.path)))
    if not tracks and run.case.state == OPEN and run.has_begun:
        run.end(CLOSED, "completed")
    if run.case.state != OPEN:
        redispatch.withdraw_all(run)
    due = [track.due_at for track in run.progress.tracks if track.due_at is not None]
    if run.case.state == OPEN and run.progress.begins_at is not None:
        due.append(run.progress.begins_at)
    run.case.due_at = from_epoch(min(due)) if due else None
    run.case.progress = msgspec.to_builtins(run.progress)
    run.session.add(run.case)


def _apply(run: RunningCase, track: Track, outcome: Outcome) -> None:
    match outcome:
        case Outcome.DONE:
            _go_on(run, track)
        case Outcome.OTHERWISE:
            _go_to(track, f"{track.path}.otherwise.0")
        case Outcome.WAITING | Outcome.ENDED:
            pass


def _go_to(track: Track, path: str) -> None:
    track.path, track.begun, track.due_at, track.data = path, False, None, {}


def _go_on(run: RunningCase, track: Track) -> None:
    """Move a track behind its step; at the end of a list, behind the step that holds the list."""
    path = track.path
    while True:
        if path == track.ends_after:
            run.progress.tracks.remove(track)
            _join_around(run, path)
            return
        siblings, index = locate(run.workflow.steps, path)
        head, _, _ = path.rpartition(".")
        if index + 1 < len(siblings):
            _go_to(track, f"{head}.{index + 1}" if head else str(index + 1))
            return
        if head.endswith(".otherwise"):
            path = head.removesuffix(".otherwise")
            continue
        run.progress.tracks.remove(track)
        _join_around(run, path)
        return


def _join_around(run: RunningCase, path: str) -> None:
    """Join the branches of the `parallel` around a step, where there is one that still waits for them."""
    parallel, inside, _ = path.rpartition(".branches.")
    if inside and any(other.path == parallel for other in run.progress.tracks):
        _join_branches(run, parallel)


def _join_branches(run: RunningCase, parallel: str) -> None:
    """Where the last branch of a `parallel` has ended, its own track goes on."""
    prefix = f"{parallel}.branches."
    if not any(other.path.startswith(prefix) for other in run.progress.tracks):
        owner = next(one for one in run.progress.tracks if one.path == parallel)
        _go_on(run, owner)
