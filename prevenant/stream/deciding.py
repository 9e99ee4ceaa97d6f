"""From frames to changes of alarms: decoder, models and processor together, the same in every host.

    frames ─▶ decoder ─▶ readings ─▶ models ─▶ processor ─▶ changes of alarms ─▶ writer

A host says which frames come next, and up to when timers run before them: what is decided is a function of
these alone. It also says when to keep what is known (`state`), once all that followed is written.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog
from sqlmodel import Session

from ingest.decode import Decoded, Decoder
from ingest.journal_file import Batch, BookChange, ModelChange
from ingest.partitions import Part
from ingest.quarantine import quarantine
from ingest.registry import Registry
from prevenant.clock import from_epoch
from prevenant.domain import Severity, Transition
from prevenant.errors import ConfigurationError
from prevenant.stream.alarms import write_transitions
from prevenant.stream.changing import Books, Version, end_alarms_of_types_gone, hand_over
from prevenant.stream.model_rows import write_compared, write_health
from prevenant.stream.predicting import Predictions
from prevenant.stream.voices import Voice, Voices
from prevenant.stream.writing import AlarmWriter
from prevenant.tables import add_timeline
from rules.book import RuleBook
from rules.processor import Processor

log = structlog.get_logger()

_FLOODS_NAMED = 20


class Retrying(Protocol):
    """Writes to the store, however long it is away; a higher urgency goes first."""

    def __call__(
        self,
        work: Callable[[Session], object],
        urgency: Callable[[], int] = lambda: Severity.LIFE_SAFETY,
    ) -> None:
        """Do `work` in one transaction, again where the store was away."""


def everything(_book: RuleBook) -> None:
    """Return that all that is given is ours to decide on, whatever the book."""


class Decider:
    """Decides on all that it is given, by one version of the rule book after another."""

    def __init__(
        self,
        retrying: Retrying,
        writer: AlarmWriter,
        book: RuleBook,
        version: Version,
        zone_of: Callable[[str], str],
        voices: Voices | None,
        part_of: Callable[[RuleBook], Part | None] = everything,
    ) -> None:
        self._retrying, self._writer = retrying, writer
        self._zone_of, self._voices, self._part_of = zone_of, voices, part_of
        self._part = part_of(book)
        self.decoder = Decoder(book.devices.values())
        self.processor = Processor(book, zone_of)
        self.predictions = Predictions(book, voices)
        self.registry = Registry(book.devices)
        self.book, self.version = book, version
        """What decides, and which version of the rule book that is."""
        self.installed: Callable[[], None] = lambda: None
        """Called when another version has come into force."""
        self.batches_in_order = True
        """Whether all batches that are decided anywhere come here in the order of their numbers."""
        self._refusals, self._refusal = 0, ""
        """How many payloads were refused since that was said, and why the last one was."""

    def decide(self, batch: Batch) -> Decoded:
        """Decide on a batch; return what its frames said."""
        decoded = self.decoder.decode_batch(batch.frames, batch.received_at)
        if self._part is not None:
            self._part.keep(decoded)
        readings = self.predictions.join(decoded.readings, batch.received_at)
        transitions = self.processor.process(readings, batch.timers_until)
        self.registry.note(decoded.readings, decoded.presences)
        rejected = decoded.rejected
        if rejected:
            received_at = from_epoch(batch.received_at)
            in_order = self.batches_in_order
            self._retrying(
                lambda session: quarantine(
                    session, batch.seq, received_at, rejected, in_order=in_order
                )
            )
            self._refusals += len(rejected)
            self._refusal = rejected[-1].reason
        self.write(transitions)
        self.tell_health()
        return decoded

    def advance(self, until: float) -> None:
        """Let every timer end that is due."""
        self.write(self.processor.advance(until))

    def write(self, transitions: Sequence[Transition]) -> None:
        """Have changes of alarms written, with why models said what they said."""
        self._writer.write(self.predictions.explain(transitions))

    def succeed(self, books: Books, change: BookChange, rules: RuleBook) -> None:
        """Let another version decide from here on; where it cannot, the one before stays."""
        version = Version(change.version, change.fingerprint)
        self.advance(change.timers_until)
        self._writer.wait_until_written()
        if version == self.version:
            self._retrying(lambda session: books.note_taken(session, change))
            return
        self.name_floods(from_epoch(change.at))
        try:
            decoder, processor, transitions = hand_over(
                self.decoder, self.processor, rules, self._zone_of, change.timers_until
            )
            predictions = self.predictions.hand_over(rules, change.at)
        except Exception as error:
            log.exception("the version before stays in force", refused=version.number)
            reason = repr(error)
            self._retrying(lambda session: books.note_refused(session, change, reason))
        else:
            books.follow(version)
            self._retrying(
                lambda session: _write_succession(session, books, change, rules, transitions)
            )
            self.install(version, rules, decoder, processor, predictions)
            self.tell_health(is_other_book=True)

    def succeed_again(self, books: Books, change: BookChange) -> None:
        """Let another version decide of which only the number is known."""
        version = Version(change.version, change.fingerprint)
        rules = self.book
        if version != self.version:
            try:
                rules = books.find_rules(version)
            except ConfigurationError as error:
                log.error(
                    "decided again by another book", version=version.number, reason=str(error)
                )
                return
        self.succeed(books, change, rules)

    def begin_with(self, books: Books, version: Version) -> None:
        """Go by an earlier version, as whoever decided before; where it cannot be had, go on."""
        try:
            self.install(version, books.find_rules(version))
        except ConfigurationError as error:
            log.error("decided again by another book", version=version.number, reason=str(error))

    def install(
        self,
        version: Version,
        rules: RuleBook,
        decoder: Decoder | None = None,
        processor: Processor | None = None,
        predictions: Predictions | None = None,
    ) -> None:
        """Go by a version, with what is known so far or with nothing."""
        self.version, self.book = version, rules
        self._part = self._part_of(rules)
        self.decoder = decoder or Decoder(rules.devices.values())
        self.processor = processor or Processor(rules, self._zone_of)
        self.predictions = predictions or Predictions(rules, self._voices)
        self.registry.change_types(rules.devices)
        self.installed()

    def change_model(self, change: ModelChange, voice: Voice | None) -> None:
        """Let another version of a model score from here on."""
        self.advance(change.timers_until)
        self.predictions.change(change, voice)
        self.tell_health()

    def state(self) -> dict[str, Any]:
        """Return all that is known, as plain values."""
        return {
            "processor": self.processor.snapshot(),
            "decoder": self.decoder.snapshot(),
            "models": self.predictions.snapshot(),
        }

    def restore(self, state: Mapping[str, Any], at: float) -> None:
        """Take over what was known at a time, by the same version of the book or an earlier one."""
        self.decoder.restore(state["decoder"])
        self.predictions.restore(state.get("models", {}), at)
        self.write(self.processor.restore(state["processor"], at))

    def tell_health(self, *, is_other_book: bool = False) -> None:
        """Write which models can be believed, where that is otherwise than before."""
        told = self.predictions.take_health()
        if told or is_other_book:
            names = self.predictions.names
            self._retrying(lambda session: write_health(session, told, names))

    def keep_house(self, at: datetime) -> None:
        """Say and write what is not urgent: floods, refusals, what models said."""
        self.name_floods(at)
        self._name_refusals()
        compared = self.predictions.take_compared()
        if compared:
            self._retrying(lambda session: write_compared(session, compared))

    def register(self, most: int) -> None:
        """Write some of those who were heard: few, since whoever decides waits meanwhile."""
        self._retrying(lambda session: self.registry.write(session, self.processor.newest, most))
        self.registry.written()

    def name_floods(self, at: datetime) -> None:
        """Say which devices changed too often, and how many of their readings were not weighed."""
        floods = self.processor.take_floods()
        if not floods:
            return
        worst = sorted(floods, key=lambda name: floods[name], reverse=True)
        lines = [
            f"{name} changes too often: {floods[name]} of its readings were not weighed"
            for name in worst[:_FLOODS_NAMED]
        ]
        if worst[_FLOODS_NAMED:]:
            rest = sum(floods[name] for name in worst[_FLOODS_NAMED:])
            lines.append(f"{len(worst) - len(lines)} more devices do: {rest} readings")
        log.warning("devices change too often", devices=len(floods), worst=worst[0])
        self._retrying(lambda session: tell_all(session, at, "device.flood", lines))

    def _name_refusals(self) -> None:
        """Say in one line how many payloads were quarantined, however many devices send rubbish."""
        if self._refusals:
            log.warning("quarantined", count=self._refusals, latest_reason=self._refusal)
        self._refusals = 0


def tell_all(session: Session, at: datetime, kind: str, lines: Sequence[str]) -> None:
    """Write lines of the story."""
    for line in lines:
        add_timeline(session, at, kind, line)


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
