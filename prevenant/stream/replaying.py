"""Reads refused payloads again, once their book was mended, without stopping what comes in live.

A payload that can be read now goes into the journal as if it had just come, with the time of its
first arrival, so that it is decided on in event time: an alarm that it would have raised and that is
over is recorded and pages nobody.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlmodel import col, select

from ingest.decode import Decoder, first_arrival
from ingest.journal_file import Batch, connect_read_only, read_batches
from ingest.mqtt import Frame
from ingest.quarantine import DUE, REPLAYED, SHOWN_BYTES, WAITING, Quarantined
from ingest.sparkplug import NAMESPACE
from prevenant.clock import Clock, epoch_seconds
from prevenant.errors import JournalError, StoreUnavailable
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import QUARANTINE
from rules.book import RuleBook

log = structlog.get_logger()

_LOOK_EVERY = timedelta(seconds=2)
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class _Verdict:
    frame: Frame | None
    outcome: str


class QuarantineReplay:
    """Waits for refused payloads that are due, and has those that can be read now accepted."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        book: RuleBook,
        accept: Callable[[Sequence[Frame]], None],
    ) -> None:
        self._journal = settings.journal
        self._store, self._clock, self._accept = store, clock, accept
        self._types = list(book.devices.values())
        self._bell = store.listen(QUARANTINE)
        self._stopping = False

    def change_book(self, book: RuleBook) -> None:
        """Judge by another book from now on."""
        self._types = list(book.devices.values())

    def run(self) -> None:
        """Serve until `stop`. A command of another process rings no bell, so we look now and then."""
        while not self._stopping:
            try:
                while self._replay_some():
                    pass
            except (StoreUnavailable, JournalError) as error:
                log.error("refused payloads wait", reason=str(error))
            self._bell.wait(self._clock, self._clock.now() + _LOOK_EVERY)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._bell.ring()

    def _replay_some(self) -> int:
        query = select(Quarantined).where(Quarantined.state == DUE).order_by(col(Quarantined.id))
        with self._store.read() as session:
            rows = list(session.exec(query.limit(_AT_ONCE)))
        if self._stopping or not rows:
            return 0
        verdicts = [self._judge(row) for row in rows]
        frames = [one.frame for one in verdicts if one.frame is not None]
        if frames:
            self._accept(frames)
        now = self._clock.now()
        with self._store.write() as session:
            for row, verdict in zip(rows, verdicts, strict=True):
                kept = session.get(Quarantined, row.id)
                if kept is None or kept.state != DUE:
                    continue
                kept.state = REPLAYED if verdict.frame is not None else WAITING
                kept.outcome, kept.tried_at = verdict.outcome, now
                session.add(kept)
        log.info("refused payloads read again", count=len(rows), readable=len(frames))
        return len(rows)

    def _judge(self, row: Quarantined) -> _Verdict:
        """Return the frame to accept, or why there is none."""
        found = self._find_frame(row)
        if found is None:
            return _Verdict(None, "its payload is no longer in the journal")
        topic, payload, flags = found
        if topic.startswith(NAMESPACE.encode()):
            return _Verdict(None, "Sparkplug data follow on each other: wait for the next birth")
        again = (topic, payload, first_arrival(flags, epoch_seconds(row.received_at)))
        decoded = Decoder(self._types).decode_batch([again], epoch_seconds(self._clock.now()))
        if decoded.rejected:
            return _Verdict(None, decoded.rejected[0].reason)
        return _Verdict(again, f"read: {len(decoded.readings)} readings")

    def _find_frame(self, row: Quarantined) -> Frame | None:
        with closing(connect_read_only(self._journal)) as connection:
            found = next(iter(read_batches(connection, row.batch_seq - 1)), None)
        if isinstance(found, Batch) and found.seq == row.batch_seq:
            return found.frames[row.position]
        if row.size <= SHOWN_BYTES:
            return row.topic.encode(), row.payload, 0
        return None
