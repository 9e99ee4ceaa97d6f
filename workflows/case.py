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
from workflows import callbacks, members, redispatch, steps, storms
from workflows.definition import Parallel, blocks_of, enclosing, locate
from workflows.hearing import take
from workflows.running import RESCUE, Into, Left, Outcome, RunningCase, Track
from workflows.tables import CLOSED, COMPLETED, OPEN

_STEP_LIMIT = 10_000
"""No workflow that a person writes has so many steps: a case that takes them has gone wrong."""
_AGAIN_S = 300.0
"""How long a deadline that could not be handled waits to be tried again."""


def gather(run: RunningCase, until: datetime | None) -> None:
    """Let a case that has not begun wait for further alarms until a time; without one begin it now."""
    if not run.has_begun and until is not None:
        run.progress.begins_at = epoch_seconds(until)
        keep(run)
        return
    if not run.has_begun:
        run.progress.begins_at = None
        run.progress.tracks.append(Track("0"))
        if not members.count_active(run.session, run.case):
            run.end(CLOSED, "over before anybody was told")
    _advance(run)


def hear(run: RunningCase, event: CaseEvent) -> None:
    """Take an event: what it means for the case as a whole, then to every track that may wait for it."""
    run.answering = str(event.data.get("contact", "")) if event.kind == "reply" else ""
    if run.case.storm_of:
        storms.hear(run, event)
        return
    if take(run, event):
        for track in list(run.progress.tracks):
            if track.begun and track in run.progress.tracks:
                _apply(run, track, steps.hear(run, track, run.step_at(track.path), event))
    is_worse = event.kind == "alarm.levelled" and run.case.severity >= Severity.CRITICAL
    if is_worse and not run.has_begun:
        gather(run, None)
    _advance(run)


def expire(run: RunningCase) -> None:
    """Take the time to every track whose deadline has come.

    The track that hands a failed case to a person goes alone: what fails beside it must not stop it.
    """
    if run.case.storm_of:
        storms.expire(run)
        return
    now = epoch_seconds(run.now)
    if run.progress.begins_at is not None and run.progress.begins_at <= now:
        gather(run, None)
    due = [one for one in run.progress.tracks if one.due_at is not None and one.due_at <= now]
    rescue = [track for track in due if track.path == RESCUE]
    if not rescue:
        callbacks.expire(run)
    for track in rescue or due:
        if track in run.progress.tracks:
            track.due_at = None
            _apply(run, track, steps.expire(run, track, run.step_at(track.path)))
    if not rescue and (run.progress.failures or run.case.failures):
        _recover(run)
    _advance(run)


def fail(run: RunningCase, why: str, *, instead: bool) -> None:
    """Give a case that cannot go on to a person; with `instead`, nothing else of it goes on."""
    later = epoch_seconds(run.now) + _AGAIN_S
    if callbacks.postpone(run, later):
        keep(run)
    if run.case.state != OPEN:
        return
    run.progress.failures += 1
    run.case.failures = run.progress.failures
    run.case.outcome = f"cannot go on: {why}"
    run.note("case.failed", f"the case cannot go on and needs a person: {why}")
    for track in run.progress.tracks:
        if track.due_at is not None and track.due_at < later and track.path != RESCUE:
            track.due_at = later
    if run.progress.begins_at is not None:
        run.progress.begins_at = None if instead else max(later, run.progress.begins_at)
    if instead:
        run.progress.tracks = [one for one in run.progress.tracks if one.path == RESCUE]
    if not any(track.path == RESCUE for track in run.progress.tracks):
        track = Track(RESCUE, begun=True)
        run.progress.tracks.append(track)
        steps.begin(run, track, run.step_at(RESCUE))
    if instead:
        # No step is left to hear an answer to them.
        redispatch.withdraw_all(run)
    keep(run)


def _recover(run: RunningCase) -> None:
    """Let a case go on by itself whose deadline could be handled after all."""
    run.progress.failures = run.case.failures = 0
    run.progress.tracks = [one for one in run.progress.tracks if one.path != RESCUE]
    if run.case.state == OPEN:
        run.case.outcome = ""
    run.note("case.recovered", "the case goes on by itself")


def keep(run: RunningCase) -> None:
    """Write where the case stands into its row, with the earliest deadline."""
    due = [track.due_at for track in run.progress.tracks if track.due_at is not None]
    due += [one.due_at for one in run.progress.callbacks if one.due_at is not None]
    if run.case.state == OPEN and run.progress.begins_at is not None:
        due.append(run.progress.begins_at)
    run.case.due_at = from_epoch(min(due)) if due else None
    run.case.progress = msgspec.to_builtins(run.progress)
    run.session.add(run.case)


def _advance(run: RunningCase) -> None:
    """Begin every step that can begin, until all tracks wait; then keep where they stand."""
    for _ in range(_STEP_LIMIT):
        if not _move_one(run):
            break
    else:
        message = f"the case has taken {_STEP_LIMIT} steps at once"
        raise RuntimeError(message)
    if not run.progress.tracks and run.case.state == OPEN and run.has_begun:
        run.end_completed()
    if run.case.state != OPEN and run.progress.rounds:
        redispatch.withdraw_all(run)
    keep(run)


def _move_one(run: RunningCase) -> bool:
    """Begin a step, or end a wait whose fact another track has brought about."""
    for track in run.progress.tracks:
        if not track.begun:
            track.begun = True
            _apply(run, track, steps.begin(run, track, run.step_at(track.path)))
            return True
    for track in run.progress.tracks:
        if track.path != RESCUE and steps.has_come(run, run.step_at(track.path)):
            _go_on(run, track)
            return True
    return False


def _apply(run: RunningCase, track: Track, left: Left) -> None:
    match left:
        case Outcome.DONE:
            _go_on(run, track)
        case Outcome.OTHERWISE:
            _enter(run, track, "otherwise")
        case Into():
            _enter(run, track, left.block)
        case Outcome.ENDED:
            _join_tracks(run)
        case Outcome.WAITING:
            pass


def _enter(run: RunningCase, track: Track, block: str) -> None:
    """Move a track to the beginning of one of its step's own lists; past the step where it is empty."""
    if blocks_of(run.step_at(track.path)).get(block):
        _go_to(track, f"{track.path}.{block}.0")
    else:
        _go_on(run, track)


def _go_to(track: Track, path: str) -> None:
    track.path, track.begun, track.due_at, track.data = path, False, None, {}


def _go_on(run: RunningCase, track: Track) -> None:
    """Move a track behind its step; at the end of a list, behind the step that holds the list."""
    path = track.path
    while True:
        if path == track.ends_after:
            _end_repeated(run, track)
            return
        siblings, index = locate(run.workflow.steps, path)
        head, _, _ = path.rpartition(".")
        if index + 1 < len(siblings):
            _go_to(track, f"{head}.{index + 1}" if head else str(index + 1))
            return
        path = enclosing(path)
        if not path:
            run.progress.tracks.remove(track)
            return
        if isinstance(run.step_at(path), Parallel):
            _end_branch(run, track, path)
            return


def _end_branch(run: RunningCase, track: Track, parallel: str) -> None:
    """End a branch; where it was the last of a `parallel`, its own track goes on."""
    run.progress.tracks.remove(track)
    prefix = f"{parallel}.branches."
    name = run.track_name(track.path) if parallel == "0" else ""
    if name:
        run.end_track(name, CLOSED, COMPLETED)
    if not any(other.path.startswith(prefix) for other in run.progress.tracks):
        owner = next(one for one in run.progress.tracks if one.path == parallel)
        _go_on(run, owner)


def _end_repeated(run: RunningCase, track: Track) -> None:
    """End a track that did a step once more; a `parallel` around it may have waited for this alone."""
    path = enclosing(track.ends_after)
    while path and not isinstance(run.step_at(path), Parallel):
        path = enclosing(path)
    run.progress.tracks.remove(track)
    tracks = run.progress.tracks
    owner = next((one for one in tracks if path and one.path == path), None)
    if owner is not None and not any(one.path.startswith(f"{path}.branches.") for one in tracks):
        _go_on(run, owner)


def _join_tracks(run: RunningCase) -> None:
    """Go on behind named tracks once the last of them is over."""
    tracks = run.progress.tracks
    owner = next((one for one in tracks if one.path == "0"), None)
    if owner is None or any(one.path.startswith("0.branches.") for one in tracks):
        return
    if run.progress.endings:
        _go_on(run, owner)
