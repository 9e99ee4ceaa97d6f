"""Another version of the rule book takes over between two batches, and nothing that waits is lost.

The journal knows after which batch that was, so that what is read again after a crash is decided by
the same version as the first time.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from sqlmodel import Session, col, select

from ingest.decode import Decoder
from ingest.journal_file import BookChange
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.domain import Transition
from prevenant.tables import Alarm
from rules.book import RuleBook
from rules.processor import Processor


class Version(NamedTuple):
    """Which version of the rule book: its number in the store, and the fingerprint of its texts."""

    number: int
    fingerprint: str


UNPUBLISHED = Version(0, "")
"""A book that is in no store: it decides from beginning to end."""


class Books(Protocol):
    """The published versions of the rule book, and who else goes by the one in force."""

    def find_rules(self, version: Version) -> RuleBook:
        """Return what a version says. Raises ConfigurationError where it cannot be used any more."""

    def follow(self, version: Version) -> None:
        """Have everybody else go by `version`; what it decides is written after that."""

    def note_taken(self, session: Session, change: BookChange) -> None:
        """Write that a version is in force, once."""

    def note_refused(self, session: Session, change: BookChange, reason: str) -> None:
        """Write that a version could not be taken, so that the one before is still in force."""


def hand_over(
    decoder: Decoder,
    processor: Processor,
    rules: RuleBook,
    zone_of: Callable[[str], str],
    now: float,
) -> tuple[Decoder, Processor, list[Transition]]:
    """Return others that go by `rules` and know all that these know, and what that changes at `now`.

    These stay as they are.
    """
    next_decoder, next_processor = Decoder(rules.devices.values()), Processor(rules, zone_of)
    # As from the journal, so that a crash makes no difference.
    known = msgspec.msgpack.encode(decoder.snapshot())
    next_decoder.restore(msgspec.msgpack.decode(known))
    return next_decoder, next_processor, next_processor.restore(processor.snapshot(), now)


def end_alarms_of_types_gone(
    session: Session, rules: RuleBook, change: BookChange
) -> Sequence[Transition]:
    """Return the end of every alarm on a device whose type is no longer in the book."""
    query = (
        select(Alarm)
        .where(Alarm.state == "active", col(Alarm.raised_at) <= from_epoch(change.at))
        .where(col(Alarm.device_type).not_in(list(rules.devices)))
        .order_by(col(Alarm.id))
    )
    return [
        Transition(
            kind="cleared",
            rule=alarm.rule,
            type=alarm.device_type,
            site_id=alarm.site_id,
            device_id=alarm.device_id,
            severity=alarm.severity,
            onset_at=epoch_seconds(alarm.onset_at),
            at=change.at,
            values={},
            reason="its device type is no longer in the book",
        )
        for alarm in session.exec(query)
    ]
