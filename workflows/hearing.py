"""What an event means for the case as a whole, before any of its steps hears it."""

from notify import raise_urgency
from prevenant.domain import Severity
from prevenant.tables import CaseEvent
from workflows import answers, deskwork, members, redispatch
from workflows.running import CUSTOMER_ROLES, RunningCase


def take(run: RunningCase, event: CaseEvent) -> bool:  # noqa: C901  a line for each kind
    """Take an event, and return whether its steps are to hear it, too.

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
            run.case.owner = run.case.owner or run.alarm.acknowledged_by
            run.set_fact("acknowledged")
        case "case.acknowledged" | "case.taken" | "case.resolved":
            deskwork.hear(run, event)
        case "reply":
            answers.take(run, event)
        case "work_order.en_route" | "work_order.arrived" | "work_order.done":
            state = event.kind.partition(".")[2]
            answers.take_progress(run, state, str(event.data.get("cause", "")))
        case "technician.unavailable":
            redispatch.take_unavailable(run, event)
        case "customer.confirmed" | "customer.moved" | "customer.cancelled":
            answers.take_visit_answer(run, event.kind.partition(".")[2], event)
        case "message.delivered" | "message.failed":
            _take_receipt(run, event)
    return True


def _clear(run: RunningCase, event: CaseEvent) -> bool:
    """Take that an alarm is over; the case hears it once all of its alarms are."""
    member = members.end(run.session, run.case, event)
    if member is not None:
        run.note("alarm.over", f"{member.rule} on {member.device_id} is over, others are not")
        return False
    run.set_fact("alarm.cleared")
    return True


def _level(run: RunningCase, event: CaseEvent) -> None:
    """Take another severity: what is said from now on goes by it, and what waits to be sent."""
    before = run.case.severity
    members.level(run.session, run.case, event)
    after = run.case.severity
    run.set_fact("alarm.levelled")
    words = f"from {Severity(before).word} to {Severity(after).word}"
    run.note("alarm.levelled", f"{words}: {event.data['reason']}", {"before": before, "now": after})
    if after > before:
        raise_urgency(run.session, run.case.id or 0, after)


def _take_receipt(run: RunningCase, event: CaseEvent) -> None:
    """Take what became of the latest message to the customer; others are their steps' own business."""
    if event.data["message"] == run.progress.told and event.data.get("role", "") in CUSTOMER_ROLES:
        run.set_fact(event.kind)
