"""The steps `command` and `call`: something is handed to a device or to another system."""

import json
from typing import Any
from urllib.parse import urlsplit

from notify import COMMAND, WEBHOOK, WORDING_ERRORS
from prevenant.clock import epoch_seconds
from prevenant.domain import Severity
from prevenant.tables import CaseEvent
from workflows.definition import Call, Command
from workflows.running import Outcome, RunningCase, Track


def begin(run: RunningCase, track: Track, step: Command | Call) -> Outcome:
    """Queue it; where the step has time to wait, it waits until the other side has taken it."""
    try:
        key = _command(run, step) if isinstance(step, Command) else _call(run, step)
    except WORDING_ERRORS as error:
        run.note(f"{_kind(step)}.failed", f"cannot be worded: {error}")
        return Outcome.OTHERWISE
    if step.within_s is None:
        return Outcome.DONE
    track.data = {"key": key}
    track.due_at = epoch_seconds(run.now) + step.within_s
    return Outcome.WAITING


def hear(run: RunningCase, track: Track, step: Command | Call, event: CaseEvent) -> Outcome:
    """Go on once it was taken, or not taken."""
    if event.data.get("message") != track.data["key"]:
        return Outcome.WAITING
    if event.kind == "message.failed":
        run.note(f"{_kind(step)}.failed", f"{_target(step)}: {event.data['reason']}")
        return Outcome.OTHERWISE
    if event.kind != "message.delivered":
        return Outcome.WAITING
    if isinstance(step, Call) and step.name:
        answer = event.data.get("answer") or {}
        run.progress.answers[step.name] = answer
        run.set_fact(f"answer.{step.name}")
        run.note("call.answered", f"{_target(step)} has answered", {"answer": answer})
    return Outcome.DONE


def expire(run: RunningCase, step: Command | Call) -> Outcome:
    """Go on without the other side; what is queued is still tried."""
    run.note(f"{_kind(step)}.expired", f"{_target(step)} did not take it in time")
    return Outcome.OTHERWISE


def fill(run: RunningCase, value: Any) -> Any:
    """Return a structure with its templates filled in."""
    match value:
        case str():
            return run.render(value) if "{" in value else value
        case dict():
            return {name: fill(run, one) for name, one in value.items()}
        case list():
            return [fill(run, one) for one in value]
        case _:
            return value


def _command(run: RunningCase, step: Command) -> str:
    topic = run.render(step.topic)
    if not topic or any(character in topic for character in "+#\0"):
        message = f"{topic!r} is no topic that can be published to"
        raise ValueError(message)
    filled = fill(run, step.payload)
    payload = filled if isinstance(filled, str) else json.dumps(filled, ensure_ascii=False)
    key = run.send(COMMAND, topic, payload, topic)
    run.note("command", f"publishes to {topic}", {"topic": topic, "payload": payload})
    return key


def _call(run: RunningCase, step: Call) -> str:
    body = _about(run) if step.body is None else fill(run, step.body)
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    key = run.send(WEBHOOK, step.url, text, _target(step))
    run.note("call", f"calls {_target(step)}", {"message": key})
    return key


def _about(run: RunningCase) -> dict[str, Any]:
    """Return what a case is about, for a webhook that is not told what else to take."""
    case, alarm, place = run.case, run.alarm, run.place
    return {
        "case": case.id,
        "rule": case.rule,
        "severity": Severity(case.severity).word,
        "reason": alarm.reason,
        "values": alarm.values,
        "device": place.device_id,
        "site": place.site_id,
        "customer": place.customer_id,
        "opened_at": case.opened_at.isoformat(),
        "at": run.now.isoformat(),
    }


def _target(step: Command | Call) -> str:
    """Return what the story calls the other side: of a URL only the host, for it may hold secrets."""
    if isinstance(step, Command):
        return "the device"
    return urlsplit(step.url).hostname or "the webhook"


def _kind(step: Command | Call) -> str:
    return "command" if isinstance(step, Command) else "call"
