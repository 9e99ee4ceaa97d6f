"""What a refusal for good leaves behind: its reason, and an opt-out where the provider reports one."""

from datetime import datetime

from sqlmodel import Session, select

from notify.consent import record_stop
from notify.message import FAILED, SUPPRESSED, Delivery, Message
from prevenant.consent import WITHDRAWN, Consent, record_consent
from prevenant.errors import DeliveryError, OptedOut, WrongAddress


def end_of(error: DeliveryError) -> str:
    """Return the state that a delivery ends in after a refusal for good."""
    return SUPPRESSED if isinstance(error, (OptedOut, WrongAddress)) else FAILED


def record_opt_out(
    session: Session, delivery: Delivery, error: DeliveryError, now: datetime
) -> None:
    """Write down that a person has told the provider to stop; any other error changes nothing."""
    if not isinstance(error, OptedOut):
        return
    record_stop(session, delivery.channel, delivery.address, error.reason, now)
    query = select(Message.contact_id).where(Message.id == delivery.message_id)
    word = Consent(
        contact_id=session.exec(query).one(),
        channel=delivery.channel,
        state=WITHDRAWN,
        at=now,
        source="provider",
        proof=error.reason[:200],
    )
    record_consent(session, word)
