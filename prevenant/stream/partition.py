"""One partition of a stream: what is decided on it, and what is kept of that.

    records, in order ─▶ decider ─▶ alarms in the store      state + offset ─▶ the store, every few seconds

A partition is taken up from its snapshot, which says up to which record it is true; records up to there
that come again are passed over. All that is decided follows from the records, so that whoever reads them
again after a crash decides the same; alarms are written under a unique key.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ingest.journal_file import Batch, BookChange, ModelChange
from ingest.partitions import Part, Partitioner
from ingest.records import (
    GONE_AFTER_S,
    BookTaken,
    Heard,
    Marks,
    ModelTaken,
    Record,
    TimePassed,
    decode_record,
)
from ingest.topic import number_batch
from prevenant.clock import Clock
from prevenant.domain import Severity
from prevenant.errors import JournalError, StoreUnavailable
from prevenant.store import Store
from prevenant.stream.changing import Books, Version
from prevenant.stream.deciding import Decider, tell_all
from prevenant.stream.partition_rows import Kept, hold, save_snapshot
from prevenant.stream.voices import Voice, Voices
from prevenant.stream.writing import AlarmWriter
from prevenant.tables import NOTHING_DECIDED, Stream
from rules.book import RuleBook

log = structlog.get_logger()

_SNAPSHOT_EVERY = timedelta(seconds=5)
_POSTPONED_AT_MOST = 12
"""How often a snapshot is put off while alarms wait to be written, before deciding waits for them."""
_COLLISIONS_AT_MOST = 5

FindVoice = Callable[[str, int, str], "Voice | None"]
"""By model, version and fingerprint: one that is at hand already."""


class Surroundings(NamedTuple):
    """What all partitions of a process have in common."""

    store: Store
    clock: Clock
    stream: Stream
    books: Books
    zone_of: Callable[[str], str]
    voices: Voices
    find_voice: FindVoice = lambda _model, _version, _fingerprint: None
    earliest: Callable[[int], int] = lambda _partition: 0
    """The first record that the topic still has of a partition. Raises JournalError."""
    pause: Callable[[], bool] = lambda: True
    """Waits a moment before the store is tried again; returns whether we are to end."""
    gone_after_s: float = GONE_AFTER_S


class Partition:
    """Decides what stands in one partition, record by record."""

    def __init__(self, around: Surroundings, kept: Kept, book: RuleBook, version: Version) -> None:
        """Take up a partition where it was left; where nothing is kept, begin with `book`."""
        self._around = around
        self.lease = kept.lease
        self.offset = kept.offset
        """The last record that was decided on."""
        self.saved = kept.offset
        """The last record that the snapshot knows."""
        self._marks = Marks(around.gone_after_s)
        self._postponed = 0
        self._snapshot_due = around.clock.now() + _SNAPSHOT_EVERY
        self._writer = AlarmWriter(around.store, self._retrying)
        self.decider = Decider(
            self._retrying,
            self._writer,
            book,
            version,
            around.zone_of,
            around.voices,
            self._part_of,
        )
        self.decider.batches_in_order = False
        if kept.state:
            self._restore(kept)
        self._until = self._marks.until
        """Up to when timers have run; what follows is with whoever writes alarms by then."""
        self.decider.tell_health(is_other_book=True)
        self._writer.start()

    @property
    def number(self) -> int:
        """Which partition it is."""
        return self.lease.number

    def _restore(self, kept: Kept) -> None:
        state = msgspec.msgpack.decode(kept.state)
        begin = Version(*state["book"])
        if begin != self.decider.version:
            self.decider.begin_with(self._around.books, begin)
        self._marks.restore(state["marks"])
        self.decider.restore(state, kept.taken_at)
        self.decider.registry.note(self.decider.processor.readings())

    def take(self, offset: int, value: bytes) -> int:
        """Decide on a record; return how many frames it had. What was decided on is passed over.

        Raises JournalError where records before it were not given to us, though they are there.
        """
        if offset <= self.offset:
            if not self._is_new(value):
                return 0
            self._begin_anew(offset)
        if self.offset == NOTHING_DECIDED:
            self.offset = offset - 1
        if offset > self.offset + 1:
            self._miss(offset)
        try:
            record = decode_record(value)
        except msgspec.MsgspecError as error:
            log.error(
                "a record is passed over", partition=self.number, offset=offset, why=str(error)
            )
            self.offset = offset
            return 0
        count = self._decide(offset, record)
        self.offset = offset
        self._until = self._marks.until
        return count

    def _decide(self, offset: int, record: Record) -> int:
        marks = self._marks
        match record:
            case Heard(origin, number, at, until, frames):
                if not marks.take(origin, number, at, until):
                    return 0
                if frames:
                    seq = number_batch(self.number, offset)
                    self.decider.decide(Batch(seq, marks.latest, marks.until, frames))
                else:
                    self.decider.advance(marks.until)
                return len(frames)
            case BookTaken(origin, number, at, until, version, fingerprint):
                if marks.take(origin, number, at, until):
                    change = BookChange(
                        offset, offset, marks.latest, marks.until, version, fingerprint
                    )
                    self._succeed(change)
            case ModelTaken(at, model, version, fingerprint, is_shadow):
                marks.pass_time(at)
                model_change = ModelChange(
                    offset,
                    offset,
                    marks.latest,
                    marks.until,
                    version,
                    fingerprint,
                    model,
                    is_shadow,
                )
                self._change_model(model_change)
            case TimePassed(at):
                marks.pass_time(at)
                self.decider.advance(marks.until)
        return 0

    def _succeed(self, change: BookChange) -> None:
        """Let another version decide; an earlier one comes from somebody who listens and is late."""
        if change.version < self.decider.version.number:
            return
        self.decider.succeed_again(self._around.books, change)

    def _change_model(self, change: ModelChange) -> None:
        voice = self._around.find_voice(change.model, change.version, change.fingerprint)
        if voice is None:
            voice = self.decider.predictions.find(change)
        self.decider.change_model(change, voice)

    def _part_of(self, book: RuleBook) -> Part | None:
        stream = self._around.stream
        types = book.devices.values()
        return Partitioner(types, stream.partitions, stream.keyed_by).part(self.number)

    def _is_new(self, value: bytes) -> bool:
        """Return whether a record cannot be one that was decided on: it arrived after all of these."""
        try:
            return decode_record(value).at > self._marks.latest
        except msgspec.MsgspecError:
            return False

    def _begin_anew(self, offset: int) -> None:
        """Say that the topic is another one than before, and forget how far we were in that.

        Raises JournalError where it has records before this one: they have to be read first.
        """
        line = (
            f"the topic {self.lease.topic} was made anew: what partition {self.number} had after "
            f"record {self.saved} and was not decided on is gone"
        )
        log.error("readings may be lost", what=line)
        self._writer.wait_until_written()
        self.offset = self.saved = NOTHING_DECIDED
        packed, latest, at = self._pack(), self._marks.latest, self._around.clock.now()

        def forget(session: Session) -> None:
            tell_all(session, at, "journal.damaged", [line])
            save_snapshot(session, self.lease, NOTHING_DECIDED, latest, packed)

        self._retrying(forget)
        if self._around.earliest(self.number) < offset:
            message = f"{line}; it is decided on from its beginning after a restart"
            raise JournalError(message)

    def _miss(self, offset: int) -> None:
        """Say that records are missing before `offset`, where the topic has dropped them undecided.

        Raises JournalError where it still has them: they have to be read again.
        """
        count = offset - self.offset - 1
        if self._around.earliest(self.number) < offset:
            message = (
                f"{count} records of partition {self.number} were passed over before record {offset}: "
                "they are read again after a restart"
            )
            raise JournalError(message)
        line = (
            f"the topic {self.lease.topic} has dropped {count} records of partition {self.number} "
            "before they were decided on: keep them for longer (PREVENANT_JOURNAL_KEEP)"
        )
        log.error("readings are lost", what=line)
        at = self._around.clock.now()
        self._retrying(lambda session: tell_all(session, at, "journal.damaged", [line]))

    def keep_house_if_due(self) -> None:
        """Every few seconds: write what is not urgent, and keep a snapshot."""
        if self._around.clock.seconds_until(self._snapshot_due) > 0:
            return
        now = self._around.clock.now()
        self._snapshot_due = now + _SNAPSHOT_EVERY
        self.decider.keep_house(now)
        if not self._writer.is_idle() and self._postponed < _POSTPONED_AT_MOST:
            self._postponed += 1
            return
        self._writer.wait_until_written()
        self._postponed = 0
        self.keep_snapshot()

    def keep_snapshot(self) -> bool:
        """Keep a snapshot, if all that is decided is written; return whether there is one."""
        if not self._writer.is_idle():
            return False
        if self.offset == self.saved:
            return True
        packed, offset, at = self._pack(), self.offset, self._marks.latest
        self._retrying(lambda session: save_snapshot(session, self.lease, offset, at, packed))
        self.saved = offset
        return True

    def _pack(self) -> bytes:
        state = self.decider.state() | {
            "book": list(self.decider.version),
            "marks": self._marks.snapshot(),
        }
        return msgspec.msgpack.encode(state)

    @property
    def decided_until(self) -> float:
        """Up to when timers have run and all that follows is written, in seconds since 1970."""
        until = self._until
        return until if self._writer.is_idle() else 0.0

    def close(self) -> None:
        """Give the partition up; what is not written is decided again by whoever takes it up."""
        self._writer.close()

    def _retrying(
        self,
        work: Callable[[Session], object],
        urgency: Callable[[], int] = lambda: Severity.LIFE_SAFETY,
    ) -> None:
        """Write to the store while the partition is ours. Raises PartitionLost, StoreUnavailable."""
        collisions = 0
        while True:
            try:
                with self._around.store.write(urgency()) as session:
                    hold(session, self.lease)
                    work(session)
            except StoreUnavailable as error:
                log.error("decisions wait", reason=str(error))
                if self._around.pause():
                    raise
            except IntegrityError:
                # Another partition's decider wrote the same row at the same moment: now it is there.
                collisions += 1
                if collisions > _COLLISIONS_AT_MOST:
                    raise
            else:
                return
