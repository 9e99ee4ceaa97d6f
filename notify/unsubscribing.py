"""The end of e-mail to somebody, by a link in it: one click, no login, kept with its proof (RFC 8058)."""

import itertools
from datetime import datetime, timedelta

from sqlmodel import Session

from notify.consent import record_stop
from notify.invitation import EMAIL
from notify.links import UNSUBSCRIBE, Found, LinkFor, forget_links, issue_link, link_url, use_link
from notify.message import Delivery, Message
from prevenant.clock import Clock
from prevenant.consent import WITHDRAWN, Consent, record_consent
from prevenant.store import Store

LIVES = timedelta(days=180)
"""Mail is found again long after it came; the law wants a link in it to work for a while."""
OFFERED_TO = frozenset({"customer", "site-contact"})
"""Staff are told what their work needs; they change that with whoever runs the service."""
_FORGET_EVERY = 1_000


class StopLinks:
    """Makes the links that go out with e-mails."""

    def __init__(self, store: Store, clock: Clock, public_url: str) -> None:
        self._store = store
        self._clock = clock
        self._public_url = public_url
        self._count = itertools.count()

    def url_for(self, delivery: Delivery, message: Message) -> str:
        """Return an address by which the receiver of an e-mail ends such mail; nothing where none is due.

        Raises StoreUnavailable.
        """
        if not self._public_url or message.role not in OFFERED_TO:
            return ""
        now = self._clock.now()
        wanted = LinkFor(
            UNSUBSCRIBE, message.contact_id, LIVES, message.case_id, delivery.message_id
        )
        with self._store.write(delivery.severity) as session:
            if next(self._count) % _FORGET_EVERY == 0:
                forget_links(session, now)
            token = issue_link(session, wanted, now)
        return link_url(self._public_url, token)


def unsubscribe(session: Session, token: str, how: str, now: datetime) -> Found:
    """Send no more e-mail to whoever got this link; `how` it was asked for is kept as the proof."""
    found = use_link(session, token, UNSUBSCRIBE, "e-mail ended", now)
    if found.link is None:
        return found
    link = found.link
    proof = f"{how}, by the link of message {link.message_id}"
    message = session.get(Message, link.message_id) if link.message_id else None
    address = message.addresses.get(EMAIL) if message is not None else None
    if isinstance(address, str) and "@" in address:
        record_stop(session, EMAIL, address, proof, now)
    word = Consent(
        contact_id=link.contact_id,
        channel=EMAIL,
        state=WITHDRAWN,
        at=now,
        source="link",
        proof=proof,
    )
    record_consent(session, word)
    return found
