"""Whose turn it is: which deliveries can be attempted, and which wait for others of their subscriber."""

from datetime import datetime

from sqlalchemy import ColumnElement, exists, text
from sqlalchemy.orm import aliased
from sqlmodel import and_, col, or_

from notify.message import QUEUED, Delivery
from notify.subscription import ENABLED, Subscription


def is_its_turn() -> ColumnElement[bool]:
    """Select deliveries that wait for no other: all but those of a subscriber who is told in order.

    Of these the first one, while the subscription is enabled.
    """
    earlier = aliased(Delivery, name="earlier")
    # As literals, for SQLite to see that the index of turns will do.
    before = exists().where(
        col(earlier.subscription_id) == Delivery.subscription_id,
        col(earlier.id) < Delivery.id,
        text("earlier.subscription_id IS NOT NULL"),
        text("earlier.state IN ('queued', 'sending', 'uncertain')"),
        col(earlier.in_turn),
    )
    enabled = exists().where(
        col(Subscription.id) == Delivery.subscription_id, col(Subscription.state) == ENABLED
    )
    return or_(~col(Delivery.in_turn), and_(enabled, ~before))


def is_stuck(before: datetime) -> ColumnElement[bool]:
    """Select deliveries that should have moved on before a time: sent, looked up or given up."""
    # As literals, for SQLite to see that the index of what is open will do.
    is_open = text("delivery.state IN ('queued', 'sending', 'uncertain')")
    waits = and_(Delivery.state == QUEUED, col(Delivery.next_at) < before)
    hangs = and_(Delivery.state != QUEUED, col(Delivery.started_at) < before)
    return and_(is_open, or_(waits, hangs), is_its_turn())
