"""The embedded host: journal, decoder and processor in one process.

    broker ─▶ journal (durable) ─▶ acknowledged ─▶ decoded ─▶ processor ─▶ alarms in the store

Every few seconds it keeps a snapshot of the processor with the last batch that it has seen, once all that
followed from it is written. After a crash it restores the snapshot and reads the journal from there;
alarms are written under a unique key, so that what is read again changes nothing.

Another version of the rule book takes over between two batches (`prevenant.stream.changing`).

While the broker cannot be heard, the silence of devices proves nothing: timers wait until what it kept
for us has come, but not for ever.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from sqlmodel import Session

from ingest.journal import Journal
from ingest.journal_file import Batch, BookChange, Damage, ModelChange, Snapshot
from ingest.mqtt import Frame
from prevenant.clock import Clock, epoch_seconds, from_epoch, steady_seconds
from prevenant.domain import Severity
from prevenant.errors import JournalError, StoreUnavailable
from prevenant.store import Store
from prevenant.stream.changing import UNPUBLISHED, Books, Version
from prevenant.stream.deciding import Decider, tell_all
from prevenant.stream.hearing import Hearing
from prevenant.stream.voices import Voice, Voices
from prevenant.stream.waiting import Waiting
from prevenant.stream.writing import AlarmWriter
from prevenant.tables import READINGS
from rules.book import RuleBook
from rules.processor import in_utc

log = structlog.get_logger()

_SNAPSHOT_EVERY = timedelta(seconds=5)
_REGISTER_EVERY_S, _REGISTER_AT_LATEST_S, _REGISTERED_AT_ONCE = 0.1, 1.0, 50
_POSTPONED_AT_MOST = 12
"""How often a snapshot is put off while alarms wait to be written, before deciding waits for them."""
_PAUSE_S = 1.0


class EmbeddedHost:
    """Takes batches from the listener in one thread, and decides on them in another."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        journal: Journal,
        book: RuleBook,
        version: Version = UNPUBLISHED,
        books: Books | None = None,
        zone_of: Callable[[str], str] = in_utc,
        voices: Voices | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._journal = journal
        self._books = books
        self._writer = AlarmWriter(store, self._retrying)
        self.decider = Decider(self._retrying, self._writer, book, version, zone_of, voices)
        self.decider.installed = lambda: self.subscribe(self.subscriptions)
        self._change = 0
        """The last change of the book or of a model that was made, as the journal numbers it."""
        self.subscribe: Callable[[Sequence[str]], None] = lambda _topics: None
        """How other topics are listened to; the listener's, once there is one."""
        self.publish: Callable[[str, bytes], None] = lambda _topic, _payload: None
        """How devices are sent something; the listener's, once there is one."""
        self._batches: Waiting[Batch | _Successor | _NewVoice | None] = Waiting()
        self._stopping = threading.Event()
        self._arriving = threading.Lock()
        """Held from a batch's time of arrival until it is in the journal."""
        self._in_order = threading.Lock()
        """Held until a batch is queued: several accept, and batches are decided in the journal's order."""
        self._refused = threading.Event()
        self._hearing = Hearing()
        self._timers_until = 0.0
        self._is_live = False
        """Whether what is decided is new, and not read again."""
        self._seq = 0
        self._snapshot_seq = 0
        self._snapshot_due = clock.now()
        self._register_due = 0.0
        self._postponed = 0
        self.frames = 0
        """How many frames were decided on since the start."""

    @property
    def version(self) -> Version:
        """Which version of the rule book decides."""
        return self.decider.version

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to."""
        return self.decider.decoder.subscriptions

    def accept(self, frames: Sequence[Frame]) -> None:
        """Make a batch durable and queue it; when this returns, the batch may be acknowledged.

        While the disk refuses or too much waits, this blocks, and the broker holds back.
        """
        with self._in_order:
            self._batches.put(self._append(frames))

    def _append(self, frames: Sequence[Frame]) -> Batch:
        while True:
            try:
                with self._arriving:
                    now = epoch_seconds(self._clock.now())
                    until = self._timers_until if self._hearing.is_deaf() else now
                    batch = self._journal.append(frames, now, until)
            except JournalError as error:
                if not self._refused.is_set():
                    log.error("journal refuses, so the broker has to keep", reason=str(error))
                self._refused.set()
                if self._stopping.wait(_PAUSE_S):
                    raise
            else:
                self._refused.clear()
                return batch

    @property
    def behind(self) -> int:
        """How many frames are durable and wait to be decided on."""
        return self._batches.qsize()

    @property
    def unwritten(self) -> int:
        """How many changes of alarms wait to be written."""
        return self._writer.unwritten

    def is_refused(self) -> bool:
        """Return whether the journal cannot be written at present."""
        return self._refused.is_set()

    def hear(self, *, connected: bool) -> None:
        """Take note that the broker can be heard from now on, or no more."""
        with self._arriving:
            if not connected and not self._hearing.is_deaf():
                self._timers_until = epoch_seconds(self._clock.now())
            self._hearing.change(connected=connected)
        self._nudge()

    def recover(self) -> None:
        """Restore the latest snapshot and decide again on what the journal holds after it."""
        wanted = self.decider.version, self.decider.book
        snapshot = self._journal.load_snapshot()
        state = msgspec.msgpack.decode(snapshot.state) if snapshot else {}
        changes = self._begin_where_left_off(state.get("book"))
        if snapshot is not None:
            self._seq = self._snapshot_seq = snapshot.seq
            self.decider.restore(state, snapshot.taken_at)
        count = 0
        for one in self._journal.read(self._seq):
            if isinstance(one, Damage):
                self._journal.damages.append(one)
                self._journal.keep_damage(one)
            else:
                while changes and changes[0].after_seq < one.seq:
                    self._change_again(changes.popleft())
                self._decide(one)
                count += 1
        while changes:
            self._change_again(changes.popleft())
        self.decider.registry.note(self.decider.processor.readings())
        log.info("recovered", snapshot=self._snapshot_seq, batches_read_again=count)
        self._seq = self._journal.last_seq
        self._timers_until = self._journal.latest
        self._name_damages()
        self.decider.tell_health(is_other_book=True)
        is_known = self._change and self._change == self._journal.last_change
        if self._books is not None and not (is_known and self.decider.version == wanted[0]):
            self._succeed(self._record(wanted[0]), wanted[1])

    def _begin_where_left_off(self, kept: Sequence[Any] | None) -> deque[BookChange]:
        """Go by the version of the snapshot, or of the journal's beginning; return what changed since."""
        changes = self._journal.changes()
        if self._books is None:
            changes = [one for one in changes if isinstance(one, ModelChange)]
        of_book = [one for one in changes if not isinstance(one, ModelChange)]
        begin = self.decider.version
        if of_book:
            begin = Version(of_book[0].version, of_book[0].fingerprint)
        if kept is not None:
            begin, self._change = Version(kept[0], kept[1]), kept[2]
        if self._books is not None and begin not in {self.decider.version, UNPUBLISHED}:
            self.decider.begin_with(self._books, begin)
        return deque(change for change in changes if change.id > self._change)

    def run(self) -> None:
        """Decide until `stop`. `recover` has to come first."""
        self._is_live = True
        self._writer.start()
        try:
            while not self._stopping.is_set():
                try:
                    batch = self._batches.get(timeout=self._patience())
                except queue.Empty:
                    batch = None
                if batch is None:
                    self._let_time_pass()
                elif isinstance(batch, Batch):
                    self._decide(batch)
                elif isinstance(batch, _NewVoice):
                    self._change_model(batch.change, batch.voice)
                else:
                    self._succeed(batch.change, batch.rules)
                self._register_if_due()
                self._keep_snapshot_if_due()
        except StoreUnavailable:
            # Only while stopping: what was not written is decided again from the journal.
            self._writer.close()
        else:
            if self._writer.close():
                self._keep_snapshot()

    def change_book(self, version: Version, rules: RuleBook) -> None:
        """Let another version decide on all that is accepted from now on. Raises JournalError."""
        with self._in_order:
            self._batches.put(_Successor(self._record(version), rules))

    def change_model(self, model: str, voice: Voice | None, *, is_shadow: bool = False) -> None:
        """Let another version of a model, or none, score what is accepted from now on.

        Raises JournalError.
        """
        number, fingerprint = (voice.version, voice.fingerprint) if voice else (0, "")
        with self._in_order:
            with self._arriving:
                now = epoch_seconds(self._clock.now())
                until = self._timers_until if self._hearing.is_deaf() else now
                change = self._journal.change_model(
                    model, number, fingerprint, now, until, is_shadow=is_shadow
                )
            self._batches.put(_NewVoice(change, voice))

    @property
    def voices_in_force(self) -> dict[tuple[str, bool], tuple[int, str]]:
        """By model, and whether it is its shadow: which version scores. For while nothing runs."""
        return self.decider.predictions.versions

    def _record(self, version: Version) -> BookChange:
        with self._arriving:
            now = epoch_seconds(self._clock.now())
            until = self._timers_until if self._hearing.is_deaf() else now
            return self._journal.change_book(version.number, version.fingerprint, now, until)

    def _change_again(self, change: BookChange) -> None:
        """Make a change that was made before the crash."""
        if isinstance(change, ModelChange):
            self._change_model(change, self.decider.predictions.find(change))
        elif self._books is not None:
            self.decider.succeed_again(self._books, change)
            self._changed(change)

    def _succeed(self, change: BookChange, rules: RuleBook) -> None:
        """Let another version decide from here on; where it cannot, the one before stays."""
        if self._books is not None:
            self.decider.succeed(self._books, change, rules)
            self._changed(change)

    def _change_model(self, change: ModelChange, voice: Voice | None) -> None:
        """Let another version of a model score from here on."""
        self.decider.change_model(change, voice)
        self._changed(change)

    def _changed(self, change: BookChange) -> None:
        """Take note of a change that was made: the snapshot does not know it."""
        self._change = change.id
        self._snapshot_seq = -1

    def stop(self) -> None:
        """End `run` after the batch under way; what waits is in the journal."""
        self._stopping.set()
        self._nudge()

    def _nudge(self) -> None:
        """Have `run` look at the time again; where batches wait it does so anyway."""
        with suppress(queue.Full):
            self._batches.put_nowait(None)

    def _patience(self) -> float:
        """Return how long to wait for a batch, in real seconds: until something else is due."""
        due = self.decider.processor.next_deadline()
        until = self._snapshot_due if due is None else min(self._snapshot_due, from_epoch(due))
        patience = max(0.001, self._clock.seconds_until(until))
        if self._hearing.is_deaf():
            patience = max(patience, self._hearing.deaf_for_s())
        if self.decider.registry.count:
            patience = min(patience, max(0.01, self._register_due - steady_seconds()))
        return patience

    def _decide(self, batch: Batch) -> None:
        decoded = self.decider.decide(batch)
        for topic, payload in decoded.requests if self._is_live else ():
            self.publish(topic, payload)
        self._seq = batch.seq
        self.frames += len(batch.frames)
        self._store.ring(READINGS)

    def _let_time_pass(self) -> None:
        # A batch that is on its way arrived earlier than now, and has to be taken first: replay, which
        # knows only the journal, would otherwise decide differently.
        with self._arriving:
            is_whole = (self._journal.last_seq, self._journal.last_change) == (
                self._seq,
                self._change,
            )
            if not is_whole or self._hearing.is_deaf():
                return
            now = epoch_seconds(self._clock.now())
        self.decider.advance(now)

    def _retrying(
        self,
        work: Callable[[Session], object],
        urgency: Callable[[], int] = lambda: Severity.LIFE_SAFETY,
    ) -> None:
        """Write to the store, however long it is away; meanwhile the queue fills and the broker waits."""
        while True:
            try:
                with self._store.write(urgency()) as session:
                    work(session)
            except StoreUnavailable as error:
                log.error("decisions wait", reason=str(error))
                if self._stopping.wait(_PAUSE_S):
                    raise
            else:
                return

    def _register_if_due(self) -> None:
        """Write some of those who were heard: few and often, and rather while no alarm is written."""
        now = steady_seconds()
        if now < self._register_due or not self.decider.registry.count:
            return
        if self._writer.is_idle() or now >= self._register_due + _REGISTER_AT_LATEST_S:
            self.decider.register(_REGISTERED_AT_ONCE)
            self._register_due = now + _REGISTER_EVERY_S

    def _keep_snapshot_if_due(self) -> None:
        if self._clock.seconds_until(self._snapshot_due) == 0:
            self._name_damages()
            self.decider.keep_house(self._clock.now())
            self._keep_snapshot_once_written()
            self._drop_old()
            self._snapshot_due = self._clock.now() + _SNAPSHOT_EVERY

    def _keep_snapshot_once_written(self) -> None:
        """Keep a snapshot, or put it off while alarms wait: it would forget them."""
        if not self._writer.is_idle() and self._postponed < _POSTPONED_AT_MOST:
            self._postponed += 1
            return
        self._writer.wait_until_written()
        self._postponed = 0
        self._keep_snapshot()

    def _name_damages(self) -> None:
        """Say what the journal has lost, in the log and where people look."""
        damages = [str(damage) for damage in self._journal.take_damages()]
        for line in damages:
            log.error("readings are lost", what=line)
        if damages:
            at = self._clock.now()
            self._retrying(lambda session: tell_all(session, at, "journal.damaged", damages))

    def _drop_old(self) -> None:
        try:
            with self._arriving:
                self._journal.drop_old(epoch_seconds(self._clock.now()))
        except JournalError as error:
            log.error("nothing dropped from the journal", reason=str(error))

    def _keep_snapshot(self) -> None:
        now = epoch_seconds(self._clock.now())
        try:
            if self._seq == self._snapshot_seq:
                self._journal.keep_time(now)
                return
            state = self.decider.state() | {"book": (*self.decider.version, self._change)}
            self._journal.save_snapshot(Snapshot(self._seq, now, msgspec.msgpack.encode(state)))
        except JournalError as error:
            log.error("no snapshot kept", reason=str(error))
        else:
            self._snapshot_seq = self._seq


@dataclass(frozen=True, slots=True)
class _Successor:
    """Stands among the batches where another version of the book takes over."""

    change: BookChange
    rules: RuleBook


@dataclass(frozen=True, slots=True)
class _NewVoice:
    """Stands among the batches where another version of a model takes over."""

    change: ModelChange
    voice: Voice | None
