"""What an event means for the case as a whole, before any of its steps hears it."""

from collections.abc import Callable, Mapping

from notify import raise_urgency
from prevenant.domain import Severity
from prevenant.tables import Alarm, CaseEvent
from workflows import answers, callbacks, colleagues, members, redispatch
from workflows.links import CUSTOMER_ROLES
from workflows.running import RunningCase
from workflows.tables import CLOSED, HANDED_OVER, OPEN


def take(run: RunningCase, event: CaseEvent) -> bool:  # noqa: C901  a line for each kind
    """Take an event, and return whether the steps are to hear it, too.

    One that means nothing to the case as a whole is left to them.
    """
    match event.kind:
        case "alarm.raised":
            run.forget_facts("alarm.cleared")
            run.set_fact("alarm.raised")
            run.note("alarm.raised", f"raised again: {event.data['reason']}")
        case "alarm.levelled":
            _level(run, event)
        case "alarm.cleared":
            return _clear(run, event)
        case "alarm.acknowledged":
            alarm = run.session.get(Alarm, event.alarm_id)
            run.case.owner = run.case.owner or (alarm.acknowledged_by if alarm else "")
            run.set_fact("acknowledged")
        case kind if kind in _AT_DESK:
            _AT_DESK[kind](run, event)
        case "reply":
            answers.take(run, event)
        case "work_order.en_route" | "work_order.arrived" | "work_order.done":
            state, data = event.kind.partition(".")[2], event.data
            cause, code = str(data.get("cause", "")), str(data.get("code", ""))
            answers.take_progress(run, run.work_order(), state, cause, code)
        case "technician.unavailable":
            redispatch.take_unavailable(run, event)
        case "customer.confirmed" | "customer.moved" | "customer.cancelled":
            answers.take_visit_answer(run, event.kind.partition(".")[2], event)
        case "message.delivered" | "message.failed":
            _take_receipt(run, event)
    return True


def _level(run: RunningCase, event: CaseEvent) -> None:
    """Take another severity: what is said from now on goes by it, and what waits to be sent."""
    before = run.case.severity
    if not members.level(run.session, run.case, event):
        run.case.severity = event.data["severity"]
    after = run.case.severity
    run.set_fact("alarm.levelled")
    words = f"from {Severity(before).word} to {Severity(after).word}"
    run.note("alarm.levelled", f"{words}: {event.data['reason']}", {"before": before, "now": after})
    if after > before:
        raise_urgency(run.session, run.case.id or 0, after)


def _clear(run: RunningCase, event: CaseEvent) -> bool:
    """Take the end of an alarm; the case hears `alarm.cleared` with the last of its alarms."""
    member = members.end(run.session, run.case, event)
    if member is None:
        run.set_fact("alarm.cleared")
        return True
    run.note("alarm.over", f"{member.rule} on {member.device_id} is over, others are not")
    return False


def _acknowledge(run: RunningCase, event: CaseEvent) -> None:
    by = str(event.data.get("by", ""))
    callbacks.settle(run, by)
    if "acknowledged" in run.progress.facts or run.case.state != OPEN:
        return
    run.case.owner = run.case.owner or by
    run.set_fact("acknowledged")
    run.stop_asking("acknowledge")
    run.note("acknowledged", f"{by or 'somebody'} acknowledges it{_said(event)}")


def _take_over(run: RunningCase, event: CaseEvent) -> None:
    by = str(event.data.get("by", ""))
    callbacks.settle(run, by)
    if run.case.state == HANDED_OVER and by and by != run.case.owner:
        before, run.case.owner = run.case.owner or "somebody", by
        run.note("taken_over", f"{by} takes it over from {before}{_said(event)}")
    if run.case.state != OPEN:
        return
    run.case.owner = by or run.case.owner
    run.set_fact("acknowledged")
    run.set_fact("taken_over")
    run.stop_asking("acknowledge")
    run.note("taken_over", f"{by or 'somebody'} takes it over{_said(event)}")
    if not run.waits_for("taken_over"):
        # Where the workflow does not say what follows, the machine's part is over.
        run.end(HANDED_OVER, f"handed over to {run.case.owner or 'somebody'}")


def _resolve(run: RunningCase, event: CaseEvent) -> None:
    by = str(event.data.get("by", "")) or "somebody"
    callbacks.settle(run, by)
    if run.case.state in {OPEN, HANDED_OVER}:
        run.case.owner = run.case.owner or by
        run.end(CLOSED, f"resolved by {by}{_said(event)}")


def _take_receipt(run: RunningCase, event: CaseEvent) -> None:
    """Take what became of the latest message to the customer; others are their steps' own business.

    The last word counts: a call that was taken for delivered may have reached a voicemail.
    """
    if event.data["message"] == run.progress.told and event.data.get("role", "") in CUSTOMER_ROLES:
        run.forget_facts("message.delivered", "message.failed")
        run.set_fact(event.kind)


def _said(event: CaseEvent) -> str:
    note = str(event.data.get("note", "")).strip()[:300]
    return f": {note}" if note else ""


_AT_DESK: Mapping[str, Callable[[RunningCase, CaseEvent], None]] = {
    "case.acknowledged": _acknowledge,
    "case.taken": _take_over,
    "case.resolved": _resolve,
    colleagues.SAID: colleagues.say,
    colleagues.HANDED: colleagues.hand_over,
}
"""What people do with a case at a desk."""
