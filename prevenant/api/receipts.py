"""What providers say of deliveries: taken in one transaction, in which their cases hear of it."""

from collections.abc import Callable

import structlog
from sqlmodel import Session

from notify.delivery import RECEIPT_URGENCY
from prevenant.store import Store
from prevenant.tables import NotHeard, let_cases_hear, written_events

log = structlog.get_logger()


def take_receipt_by(store: Store, take: Callable[[Session], object]) -> None:
    """Let `take` write a receipt, and its case hear of it within the transaction: one more costs as much.

    No receipt is lost by a case that fails: it is written again then, and heard later.
    """
    try:
        with store.write(RECEIPT_URGENCY) as session:
            take(session)
            for event in written_events(session)[:1]:
                let_cases_hear(store, session, event.urgency)
    except NotHeard as error:
        if not error.is_busy:
            log.error(
                "a case hears of a receipt later", error=repr(error.__cause__), exc_info=error
            )
        with store.write(RECEIPT_URGENCY) as session:
            take(session)
