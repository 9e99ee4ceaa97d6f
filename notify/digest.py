"""A digest: what was too much for somebody, gathered into one message.

The deliveries that are gathered stand in the ledger under the message that says them, and what becomes of
that becomes of each. What does not fit is counted, and named by its case.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, or_, select

from notify.message import DIGEST, GATHERED, QUEUED, Delivery, Message, queue_turn
from notify.templating import Templates
from prevenant.tables import add_timeline

TEMPLATE = "digest"
_ROOM = {"sms": 1_200, "voice": 900}
"""How many characters the gathered texts may have together; by other channels ten times as many."""
_BULLET = len("\n- ")
_CASES_NAMED = 20


def find_gathered(
    session: Session, delivery: Delivery, message: Message, now: datetime
) -> list[tuple[Delivery, Message]]:
    """Return what is due for the same contact by the same channel, the given delivery included."""
    query = (
        select(Delivery, Message)
        .join(Message, col(Message.id) == col(Delivery.message_id))
        .where(
            Message.contact_id == message.contact_id,
            Delivery.channel == delivery.channel,
            Delivery.address == delivery.address,
            Delivery.severity == delivery.severity,
            Delivery.state == QUEUED,
            Delivery.deferred == delivery.deferred,
            Delivery.claimed_by == "",
            or_(col(Delivery.next_at).is_(None), col(Delivery.next_at) <= now),
        )
        .order_by(col(Delivery.id))
        .with_for_update(skip_locked=True, of=Delivery)
    )
    return [(one, whole) for one, whole in session.exec(query)]


def gather(
    session: Session,
    templates: Templates,
    parts: Sequence[tuple[Delivery, Message]],
    now: datetime,
) -> Message:
    """Make one message of several, and queue it in the transaction of `session`."""
    first, latest = parts[0][0], parts[-1][1]
    channel = first.channel
    variables = _variables(parts, _ROOM.get(channel, 10 * _ROOM["sms"]))
    text = templates.render(TEMPLATE, latest.language, channel, variables, latest.timezone)
    digest = Message(
        key=f"{DIGEST}{first.id}-{first.claim}",
        contact_id=latest.contact_id,
        name=latest.name,
        role=latest.role,
        template=TEMPLATE,
        language=latest.language,
        severity=first.severity,
        turns=[[channel]],
        texts={channel: text},
        addresses={channel: first.address},
        timezone=latest.timezone,
        created_at=now,
    )
    session.add(digest)
    session.flush()
    for delivery, message in parts:
        delivery.state, delivery.digest_id, delivery.next_at = GATHERED, digest.id, None
        delivery.reason = f"goes with {len(parts) - 1} others in one message"
        delivery.updated_at = now
        session.add(delivery)
        add_timeline(
            session,
            now,
            "message.gathered",
            f"{channel} to {message.name} ({message.role}) {delivery.reason}",
            case_id=message.case_id,
            detail={"message": message.id, "digest": digest.id, "channel": channel},
        )
    queue_turn(session, digest, now)
    return digest


def _variables(parts: Sequence[tuple[Delivery, Message]], room: int) -> dict[str, object]:
    lines: list[str] = []
    for delivery, message in parts:
        text = message.texts[delivery.channel]
        line = " ".join(str(text["text"] if isinstance(text, dict) else text).split())
        if lines and sum(len(one) + _BULLET for one in [*lines, line]) > room:
            break
        lines.append(line[:room])
    left_out = parts[len(lines) :]
    cases = list(dict.fromkeys(str(m.case_id) for _, m in left_out if m.case_id is not None))
    shown = ", ".join(cases[:_CASES_NAMED]) + (", …" if len(cases) > _CASES_NAMED else "")
    worded = {"count": len(parts), "lines": lines, "more": len(left_out), "cases": shown}
    return {"digest": worded}
