"""Turns: what one worker decides alone, though several share one PostgreSQL."""

from sqlmodel import Session

from prevenant.store import Busy, claim_name
from workflows.claims import held_names


def hold(session: Session, what: str) -> None:
    """Let no other worker pass here for the same thing until this transaction has ended.

    Raises Busy where another is there already: whoever hears of it comes back in a moment.
    """
    if what not in held_names(session) and not claim_name(session, what):
        raise Busy
