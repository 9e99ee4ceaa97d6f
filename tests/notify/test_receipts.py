"""A receipt that says nothing new is told from one that does, in every state of a delivery."""

from itertools import product

import pytest
from sqlmodel import select

from notify import delivery as deliveries
from notify.delivery import is_known, take_receipt
from notify.message import Delivery
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.notify.people import Ledger

_STATES = sorted(deliveries._ORDER)


@pytest.mark.parametrize("before", _STATES)
def test_what_is_known_changes_nothing(store: Store, clock: MovedClock, before: str) -> None:
    ledger = Ledger(store, clock)
    number = ledger.say(case=None)
    ours = f"m{number}-sms"
    for named, heard, is_sent, after in product(
        (None, ours, "SM1"), ("", "SM1"), (True, False), _STATES
    ):
        with store.write() as session:
            row = session.exec(select(Delivery)).one()
            row.state, row.provider_id = before, named
            row.sent_at = clock.now() if is_sent else None
            session.flush()
            clock.advance(seconds=1)
            as_it_was = row.model_dump()
            known = is_known(session, row.key, heard, after)
            with session.begin_nested() as attempt:
                assert take_receipt(session, row.key, heard, after, clock.now())
                session.flush()
                changed = row.model_dump() != as_it_was
                attempt.rollback()
            assert not (known and changed), (named, heard, is_sent, after)
            if before == after == "sent" and named == "SM1" and is_sent:
                assert known


def test_a_receipt_for_nobody_is_not_known(store: Store) -> None:
    with store.read() as session:
        assert not is_known(session, "m1-sms", "SM1", "sent")
