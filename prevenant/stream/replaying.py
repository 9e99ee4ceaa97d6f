"""Reads refused payloads again, once their book was mended, without stopping what comes in live.

A payload that can be read now goes into the journal as if it had just come, with the time of its
first arrival, so that it is decided on in event time: an alarm that it would have raised and that is
over is recorded and pages nobody.

Of several processes on one store each payload is read again by one: it is claimed before anything is done
with it, and stays that process's until it is done, however long that takes, or until the process has gone.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
from sqlmodel import Session

from ingest.decode import Decoder, first_arrival
from ingest.journal_file import Batch, connect_read_only, read_batches
from ingest.mqtt import Frame
from ingest.quarantine import (
    DUE,
    REPLAYED,
    SHOWN_BYTES,
    WAITING,
    Quarantined,
    claim_due,
    find_claimers,
    has_due,
)
from ingest.sparkplug import NAMESPACE
from prevenant.clock import Clock, epoch_seconds, steady_seconds
from prevenant.errors import JournalError, StoreUnavailable
from prevenant.store import Store, has_gone
from prevenant.tables import QUARANTINE
from rules.book import RuleBook

log = structlog.get_logger()

_LOOK_EVERY = timedelta(seconds=2)
_AT_ONCE = 200
_GONE_S = 5.0
"""A process is unseen for so long before others do its work: for longer than it takes to connect again."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    frame: Frame | None
    outcome: str


class QuarantineReplay:
    """Waits for refused payloads that are due, and has those that can be read now accepted."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        book: RuleBook,
        accept: Callable[[Sequence[Frame]], None],
        find: Callable[[int, int], Frame | None],
        gone_s: float = _GONE_S,
    ) -> None:
        """Prepare; `find` gives a frame whole, by its batch and its place there."""
        self._store, self._clock, self._accept, self._find = store, clock, accept, find
        self._types = list(book.devices.values())
        self._gone_s = gone_s
        self._bell = store.listen(QUARANTINE)
        self._gone_since: dict[str, float] = {}
        """Claimers that the store does not see, and since when, in steady seconds."""
        self._untold: list[tuple[Quarantined, _Verdict]] = []
        """What was read again and is not written yet, as the store went away meanwhile."""
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
        self._tell()
        if self._stopping:
            return 0
        with self._store.read() as session:
            if not has_due(session):
                return 0
        with self._store.write() as session:
            rows = claim_due(session, self._store.name, _AT_ONCE, self._find_gone(session))
        if not rows:
            return 0
        verdicts = [self._judge(row) for row in rows]
        frames = [one.frame for one in verdicts if one.frame is not None]
        if frames:
            self._accept(frames)
        self._untold = list(zip(rows, verdicts, strict=True))
        self._tell()
        log.info("refused payloads read again", count=len(rows), readable=len(frames))
        return len(rows)

    def _tell(self) -> None:
        """Write what came of payloads that are still ours."""
        if not self._untold:
            return
        now = self._clock.now()
        with self._store.write() as session:
            for row, verdict in self._untold:
                kept = session.get(Quarantined, row.id)
                if kept is None or (kept.state, kept.claimed_by) != (DUE, self._store.name):
                    continue
                kept.state = REPLAYED if verdict.frame is not None else WAITING
                kept.outcome, kept.tried_at, kept.claimed_by = verdict.outcome, now, ""
                session.add(kept)
        self._untold = []

    def _find_gone(self, session: Session) -> list[str]:
        """Return the processes that left payloads which they had claimed."""
        unseen = [one for one in find_claimers(session, self._store.name) if has_gone(session, one)]
        now = steady_seconds()
        self._gone_since = {one: self._gone_since.get(one, now) for one in unseen}
        return [one for one, since in self._gone_since.items() if now - since >= self._gone_s]

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
        found = self._find(row.batch_seq, row.position)
        # Another process's journal has something else under the same number.
        is_it = found is not None and (found[1][:SHOWN_BYTES], len(found[1])) == (
            row.payload,
            row.size,
        )
        if is_it:
            return found
        return (row.topic.encode(), row.payload, 0) if row.size <= SHOWN_BYTES else None


def find_frame(journal: Path, batch: int, position: int) -> Frame | None:
    """Return a frame of a journal, by its batch and its place there; None where it is gone."""
    with closing(connect_read_only(journal)) as connection:
        found = next(iter(read_batches(connection, batch - 1)), None)
    if isinstance(found, Batch) and found.seq == batch:
        return found.frames[position]
    return None
