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
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlmodel import Session

from ingest.decode import Decoder
from ingest.journal import Journal
from ingest.journal_file import Batch, BookChange, Damage, ModelChange, Snapshot
from ingest.mqtt import Frame
from ingest.quarantine import quarantine
from ingest.registry import Registry
from prevenant.clock import Clock, epoch_seconds, from_epoch
from prevenant.domain import Severity, Transition
from prevenant.errors import ConfigurationError, JournalError, StoreUnavailable
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from prevenant.stream.changing import (
    UNPUBLISHED,
    Books,
    Version,
    end_alarms_of_types_gone,
    hand_over,
)
from prevenant.stream.model_rows import write_compared, write_health
from prevenant.stream.predicting import Predictions
from prevenant.stream.voices import Voice, Voices
from prevenant.stream.waiting import Waiting
from prevenant.stream.writing import AlarmWriter
from prevenant.tables import add_timeline
from rules.book import RuleBook
from rules.processor import Processor, in_utc

log = structlog.get_logger()

_SNAPSHOT_EVERY = timedelta(seconds=5)
_POSTPONED_AT_MOST = 12
"""How often a snapshot is put off while alarms wait to be written, before deciding waits for them."""
_PAUSE_S = 1.0
_BACKLOG_S = 2.0
"""How long after the broker is back the messages that it kept are waited for, in real seconds."""
_FLOODS_NAMED = 20
_DEAF_AT_MOST_S = 60.0
"""After so many real seconds without the broker, timers run all the same."""


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
        self._decoder = Decoder(book.devices.values())
        self._zone_of = zone_of
        self._processor = Processor(book, zone_of)
        self._voices = voices
        self._predictions = Predictions(book, voices)
        self._registry = Registry(book.devices)
        self._book, self._books = book, books
        self.version = version
        """Which version of the rule book decides."""
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
        self._refusals, self._refusal = 0, ""
        """How many payloads were refused since that was said, and why the last one was."""
        self._postponed = 0
        self._writer = AlarmWriter(store, self._retrying)
        self.frames = 0
        """How many frames were decided on since the start."""

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to."""
        return self._decoder.subscriptions

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
        wanted = self.version, self._book
        snapshot = self._journal.load_snapshot()
        state = msgspec.msgpack.decode(snapshot.state) if snapshot else {}
        changes = self._begin_where_left_off(state.get("book"))
        if snapshot is not None:
            self._seq = self._snapshot_seq = snapshot.seq
            self._decoder.restore(state["decoder"])
            self._predictions.restore(state.get("models", {}), snapshot.taken_at)
            self._write(self._processor.restore(state["processor"], snapshot.taken_at))
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
        self._registry.note(self._processor.readings())
        log.info("recovered", snapshot=self._snapshot_seq, batches_read_again=count)
        self._seq = self._journal.last_seq
        self._timers_until = self._journal.latest
        self._name_damages()
        self._tell_health(is_other_book=True)
        is_known = self._change and self._change == self._journal.last_change
        if self._books is not None and not (is_known and self.version == wanted[0]):
            self._succeed(self._record(wanted[0]), wanted[1])

    def _begin_where_left_off(self, kept: Sequence[Any] | None) -> deque[BookChange]:
        """Go by the version of the snapshot, or of the journal's beginning; return what changed since."""
        changes = self._journal.changes()
        if self._books is None:
            changes = [one for one in changes if isinstance(one, ModelChange)]
        of_book = [one for one in changes if not isinstance(one, ModelChange)]
        begin = Version(of_book[0].version, of_book[0].fingerprint) if of_book else self.version
        if kept is not None:
            begin, self._change = Version(kept[0], kept[1]), kept[2]
        if self._books is not None and begin not in {self.version, UNPUBLISHED}:
            try:
                self._install(begin, self._books.find_rules(begin))
            except ConfigurationError as error:
                log.error("decided again by another book", version=begin.number, reason=str(error))
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
        return self._predictions.versions

    def _record(self, version: Version) -> BookChange:
        with self._arriving:
            now = epoch_seconds(self._clock.now())
            until = self._timers_until if self._hearing.is_deaf() else now
            return self._journal.change_book(version.number, version.fingerprint, now, until)

    def _change_again(self, change: BookChange) -> None:
        """Make a change that was made before the crash."""
        if isinstance(change, ModelChange):
            self._change_model(change, self._predictions.find(change))
            return
        version = Version(change.version, change.fingerprint)
        rules = None
        if self._books is not None and version != self.version:
            try:
                rules = self._books.find_rules(version)
            except ConfigurationError as error:
                log.error(
                    "decided again by another book", version=version.number, reason=str(error)
                )
                self._change = change.id
                return
        self._succeed(change, rules or self._book)

    def _succeed(self, change: BookChange, rules: RuleBook) -> None:
        """Let another version decide from here on; where it cannot, the one before stays."""
        books, version = self._books, Version(change.version, change.fingerprint)
        if books is None:
            return
        self._write(self._processor.advance(change.timers_until))
        self._writer.wait_until_written()
        if version == self.version:
            self._retrying(lambda session: books.note_taken(session, change))
        else:
            self._name_floods()
            try:
                decoder, processor, transitions = hand_over(
                    self._decoder,
                    self._processor,
                    rules,
                    self._zone_of,
                    change.timers_until,
                )
                predictions = self._predictions.hand_over(rules)
            except Exception as error:
                log.exception("the version before stays in force", refused=version.number)
                reason = repr(error)
                self._retrying(lambda session: books.note_refused(session, change, reason))
            else:
                books.follow(version)
                self._retrying(
                    lambda session: _write_succession(session, books, change, rules, transitions)
                )
                self._install(version, rules, decoder, processor, predictions)
                self._tell_health(is_other_book=True)
        self._change = change.id
        self._snapshot_seq = -1

    def _install(
        self,
        version: Version,
        rules: RuleBook,
        decoder: Decoder | None = None,
        processor: Processor | None = None,
        predictions: Predictions | None = None,
    ) -> None:
        self.version, self._book = version, rules
        self._decoder = decoder or Decoder(rules.devices.values())
        self._processor = processor or Processor(rules, self._zone_of)
        self._predictions = predictions or Predictions(rules, self._voices)
        self._registry.change_types(rules.devices)
        self.subscribe(self.subscriptions)

    def _change_model(self, change: ModelChange, voice: Voice | None) -> None:
        """Let another version of a model score from here on."""
        self._write(self._processor.advance(change.timers_until))
        self._predictions.change(change, voice)
        self._tell_health()
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
        """Return how long to wait for a batch, in real seconds: until the next timer or snapshot."""
        due = self._processor.next_deadline()
        until = self._snapshot_due if due is None else min(self._snapshot_due, from_epoch(due))
        patience = max(0.001, self._clock.seconds_until(until))
        return max(patience, self._hearing.deaf_for_s()) if self._hearing.is_deaf() else patience

    def _decide(self, batch: Batch) -> None:
        decoded = self._decoder.decode_batch(batch.frames, batch.received_at)
        readings = self._predictions.join(decoded.readings, batch.received_at)
        transitions = self._processor.process(readings, batch.timers_until)
        self._registry.note(decoded.readings, decoded.presences)
        rejected = decoded.rejected
        if rejected:
            received_at = from_epoch(batch.received_at)
            self._retrying(lambda session: quarantine(session, batch.seq, received_at, rejected))
            self._refusals += len(rejected)
            self._refusal = rejected[-1].reason
        self._write(transitions)
        self._tell_health()
        for topic, payload in decoded.requests if self._is_live else ():
            self.publish(topic, payload)
        self._seq = batch.seq
        self.frames += len(batch.frames)

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
        self._write(self._processor.advance(now))

    def _write(self, transitions: Sequence[Transition]) -> None:
        self._writer.write(self._predictions.explain(transitions))

    def _tell_health(self, *, is_other_book: bool = False) -> None:
        """Write which models can be believed, where that is otherwise than before."""
        told = self._predictions.take_health()
        if told or is_other_book:
            names = self._predictions.names
            self._retrying(lambda session: write_health(session, told, names))

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

    def _keep_snapshot_if_due(self) -> None:
        if self._clock.seconds_until(self._snapshot_due) == 0:
            self._name_floods()
            self._name_damages()
            self._name_refusals()
            self._register()
            self._keep_compared()
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

    def _register(self) -> None:
        """Write who was heard."""
        self._retrying(lambda session: self._registry.write(session, self._processor.newest))
        self._registry.written()

    def _keep_compared(self) -> None:
        """Write what models and their shadows said of the same devices."""
        compared = self._predictions.take_compared()
        if compared:
            self._retrying(lambda session: write_compared(session, compared))

    def _name_damages(self) -> None:
        """Say what the journal has lost, in the log and where people look."""
        damages = [str(damage) for damage in self._journal.take_damages()]
        for line in damages:
            log.error("readings are lost", what=line)
        if damages:
            at = self._clock.now()
            self._retrying(lambda session: _tell_all(session, at, "journal.damaged", damages))

    def _name_refusals(self) -> None:
        """Say in one line how many payloads were quarantined, however many devices send rubbish."""
        if self._refusals:
            log.warning("quarantined", count=self._refusals, latest_reason=self._refusal)
        self._refusals = 0

    def _drop_old(self) -> None:
        try:
            with self._arriving:
                self._journal.drop_old(epoch_seconds(self._clock.now()))
        except JournalError as error:
            log.error("nothing dropped from the journal", reason=str(error))

    def _name_floods(self) -> None:
        """Say which devices changed too often, and how many of their readings were not weighed."""
        floods = self._processor.take_floods()
        if not floods:
            return
        at = self._clock.now()
        worst = sorted(floods, key=lambda name: floods[name], reverse=True)
        lines = [
            f"{name} changes too often: {floods[name]} of its readings were not weighed"
            for name in worst[:_FLOODS_NAMED]
        ]
        if worst[_FLOODS_NAMED:]:
            rest = sum(floods[name] for name in worst[_FLOODS_NAMED:])
            lines.append(f"{len(worst) - len(lines)} more devices do: {rest} readings")
        log.warning("devices change too often", devices=len(floods), worst=worst[0])
        self._retrying(lambda session: _tell_all(session, at, "device.flood", lines))

    def _keep_snapshot(self) -> None:
        now = epoch_seconds(self._clock.now())
        try:
            if self._seq == self._snapshot_seq:
                self._journal.keep_time(now)
                return
            state = {
                "processor": self._processor.snapshot(),
                "decoder": self._decoder.snapshot(),
                "models": self._predictions.snapshot(),
                "book": (*self.version, self._change),
            }
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


class Hearing:
    """Whether the silence of devices proves anything: not without the broker, nor just after."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._connected = False
        self._until = monotonic() + _DEAF_AT_MOST_S

    def change(self, *, connected: bool) -> None:
        """Take note of a connection made or lost."""
        if connected != self._connected:
            self._connected = connected
            self._until = self._monotonic() + (_BACKLOG_S if connected else _DEAF_AT_MOST_S)

    def is_deaf(self) -> bool:
        """Return whether messages may be on their way that tell of the past."""
        return self._monotonic() < self._until

    def deaf_for_s(self) -> float:
        """Return for how many more real seconds."""
        return max(0.001, self._until - self._monotonic())


def _write_succession(
    session: Session,
    books: Books,
    change: BookChange,
    rules: RuleBook,
    transitions: Sequence[Transition],
) -> None:
    books.note_taken(session, change)
    write_transitions(session, end_alarms_of_types_gone(session, rules, change))
    write_transitions(session, transitions)


def _tell_all(session: Session, at: datetime, kind: str, lines: Sequence[str]) -> None:
    for line in lines:
        add_timeline(session, at, kind, line)
