"""A digest: what was too much for somebody, gathered into one message.

The deliveries that are gathered stand in the ledger under the message that says them, and what becomes of
that becomes of each. What does not fit is counted, and named by its case.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlmodel import Session, col, or_, select

from notify.message import (
    DIGEST,
    GATHERED,
    OUTBOX,
    QUEUED,
    SMS,
    SUPPRESSED,
    Delivery,
    Message,
    queue_turn,
    shorten,
)
from notify.permission import why_outdated
from notify.segments import UCS2, measure
from notify.templating import WORDING_ERRORS, Said, Templates
from prevenant.domain import first_name_of
from prevenant.store import wake
from prevenant.tables import add_timeline

log = structlog.get_logger()

TEMPLATE = "digest"
_ROOM = {"sms": 1_200, "voice": 900, "whatsapp": 1_200, "chat": 3_000, "email": 12_000}
"""How many characters the gathered texts may have together."""
_ROOM_UCS2 = 450
"""As many in an SMS with characters that are not in carriers' own alphabet."""
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
    variables = _variables(parts)
    texts = {channel: _word(templates, latest, channel, variables)}
    left_out = shorten(texts)
    digest = Message(
        key=f"{DIGEST}{first.id}-{first.claim}",
        contact_id=latest.contact_id,
        name=latest.name,
        role=latest.role,
        template=TEMPLATE,
        language=latest.language,
        severity=first.severity,
        turns=[[channel]],
        texts=texts,
        left_out=left_out,
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


def take_apart(session: Session, delivery: Delivery, digest: Message, now: datetime) -> bool:
    """Let each go by itself again of what a digest says, where some of it is not true any more.

    Returns whether the digest is not to be sent now: what is still true is gathered anew.
    """
    query = (
        select(Delivery, Message)
        .join(Message, col(Message.id) == col(Delivery.message_id))
        .where(Delivery.digest_id == digest.id, Delivery.state == GATHERED)
        .order_by(col(Delivery.id))
    )
    parts = session.exec(query).all()
    if not any(why_outdated(part, message, now) for part, message in parts):
        return False
    ours = session.exec(query.with_for_update(skip_locked=True, of=Delivery)).all()
    if len(ours) < len(parts):
        # Somebody else is just writing one: at the next turn.
        return True
    for part, _ in ours:
        part.state, part.digest_id, part.next_at, part.updated_at = QUEUED, None, now, now
        part.claim += 1
        session.add(part)
    reason = "not all of it is true any more: what still is goes in another"
    for one in (delivery, digest):
        one.state, one.reason = SUPPRESSED, reason
        session.add(one)
    delivery.claimed_by, delivery.next_at, delivery.updated_at = "", None, now
    wake(session, OUTBOX)
    return True


def _word(
    templates: Templates, latest: Message, channel: str, variables: Mapping[str, object]
) -> str | dict[str, str]:
    """Return the words; those that are shipped where a rule book's own cannot be worded."""
    options = latest.language, channel, variables, latest.timezone
    try:
        return templates.render(TEMPLATE, *options)
    except WORDING_ERRORS as error:
        log.warning("a digest cannot be worded as the rule book has it", reason=str(error))
        return Templates().render(TEMPLATE, *options)


def _variables(parts: Sequence[tuple[Delivery, Message]]) -> dict[str, object]:
    texts = [_text_of(delivery, message) for delivery, message in parts]
    room = _room_for(parts[0][0].channel, texts)
    lines: list[str] = []
    for text in texts:
        if lines and sum(len(one) + _BULLET for one in [*lines, text]) > room:
            break
        lines.append(Said(text[:room]))
    left_out = parts[len(lines) :]
    cases = list(dict.fromkeys(str(m.case_id) for _, m in left_out if m.case_id is not None))
    shown = ", ".join(cases[:_CASES_NAMED]) + (", …" if len(cases) > _CASES_NAMED else "")
    worded = {"count": len(parts), "lines": lines, "more": len(left_out), "cases": shown}
    name = parts[-1][1].name
    return {"digest": worded, "contact": {"name": name, "first_name": first_name_of(name)}}


def _text_of(delivery: Delivery, message: Message) -> str:
    """Return what a message says by a channel, in one line."""
    text = message.texts[delivery.channel]
    return " ".join(str(text["text"] if isinstance(text, dict) else text).split())


def _room_for(channel: str, texts: Sequence[str]) -> int:
    if channel == SMS and measure("".join(texts)).encoding == UCS2:
        return _ROOM_UCS2
    return _ROOM[channel]
