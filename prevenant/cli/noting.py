"""What a command has changed, in the trail: beside what came through the API and the console."""

from datetime import datetime

from sqlmodel import Session

from prevenant.access.trail import What, begin_act, end_act
from prevenant.publishing import user_name

_DONE = 200


def note_command(session: Session, command: str, on: object, now: datetime, by: str = "") -> None:
    """Write a command into the trail, in the transaction that does it.

    Without `by` it stands under the name of the account in which it was given.
    """
    what = What("COMMAND", f"prevenant {command}", f"{command} {on}".rstrip())
    who = by or user_name()
    number = begin_act(session, what, now, actor=who, key="command line", origin="")
    end_act(session, number, _DONE)
