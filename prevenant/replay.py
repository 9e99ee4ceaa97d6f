"""History against a changed book: alarms, technicians and messages that would have been, as a diff.

The journal is read by the code that reads it in earnest, once for each of the two books, from its
beginning: what is compared is what came about between `since` and `until`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import inf
from pathlib import Path

from ingest.decode import Decoder
from ingest.journal_file import Batch, Damage, connect_read_only, read_model_changes
from ingest.journal_walk import walk_batches
from notify.message import DELIVERED
from prevenant.domain import Severity, Transition
from prevenant.durations import format_duration
from prevenant.errors import JournalError
from prevenant.rehearsal import Rehearsal, RehearsedAlarm, RehearsedMessage, RehearsedOffer
from prevenant.stream.predicting import Predictions
from prevenant.stream.voices import Voices
from rules.book import RuleBook
from rules.processor import Processor, in_utc

_Numbers = Mapping[tuple[str, str, float], int]
"""The number of an alarm's pair by rule, device and onset."""
_OfAlarm = RehearsedAlarm | RehearsedOffer | RehearsedMessage

FIRST_CASE = 1_000_001
"""Cases of a replay are numbered from here on, so that their numbers are found in texts."""
SAME_TIME_S = 1.0
"""Moments that differ by less are the same."""


@dataclass(slots=True)
class History:
    """What a book makes of a journal. Times are seconds since 1970."""

    transitions: list[Transition] = field(default_factory=list)
    readings: int = 0
    refused: int = 0
    """Messages that the book's device types cannot read."""
    begins_at: float | None = None
    ends_at: float | None = None
    damages: list[Damage] = field(default_factory=list)


def decide_again(
    rules: RuleBook,
    journal: Path,
    until: float = inf,
    zone_of: Callable[[str], str] = in_utc,
    on_batch: Callable[[Batch], None] = lambda _batch: None,
    voices: Voices | None = None,
) -> History:
    """Decide on everything that a journal holds up to `until`, beside a live engine or without one.

    Models speak in the versions in which they spoke then; one of which the journal knows nothing, in
    that which is to speak now.

    Raises JournalError where there is no journal that can be read.
    """
    decoder, processor = Decoder(rules.devices.values()), Processor(rules, zone_of)
    predictions = Predictions(rules, voices)
    history = History()
    connection = connect_read_only(journal)
    try:
        changes = deque(read_model_changes(connection))
        known = {change.model for change in changes}
        predictions.begin(without=known)
        for one in walk_batches(connection):
            if isinstance(one, Damage):
                history.damages.append(one)
                continue
            if one.received_at > until:
                break
            while changes and changes[0].after_seq < one.seq:
                change = changes.popleft()
                history.transitions += predictions.explain(processor.advance(change.timers_until))
                predictions.change(change, predictions.find(change))
            decoded = decoder.decode_batch(one.frames, one.received_at)
            readings = predictions.join(decoded.readings, one.received_at)
            transitions = processor.process(readings, one.timers_until)
            history.transitions += predictions.explain(transitions)
            history.readings += len(decoded.readings)
            history.refused += len(decoded.rejected)
            if history.begins_at is None:
                history.begins_at = one.received_at
            history.ends_at = one.received_at
            on_batch(one)
    finally:
        connection.close()
    if history.ends_at is None:
        message = f"the journal {journal} holds no readings to replay"
        if until < inf:
            message += " before that time"
        raise JournalError(message)
    if until < inf:
        history.ends_at = until
    history.transitions += predictions.explain(processor.advance(history.ends_at))
    return history


@dataclass(slots=True)
class Outcome:
    """What came of a history under one book."""

    alarms: list[RehearsedAlarm] = field(default_factory=list)
    offers: list[RehearsedOffer] = field(default_factory=list)
    messages: list[RehearsedMessage] = field(default_factory=list)


def follow(rehearsal: Rehearsal, history: History, since: float = 0.0) -> Outcome:
    """Let cases follow from a history; return what came about from `since` on."""
    rehearsal.run(history.transitions, history.ends_at or 0.0)
    return Outcome(
        [one for one in rehearsal.alarms() if one.raised_at >= since],
        [one for one in rehearsal.offers() if one.at >= since],
        [one for one in rehearsal.messages() if one.at >= since],
    )


def alarms_alone(history: History, since: float = 0.0) -> Outcome:
    """Return the alarms of a history from `since` on, without what would follow from them."""
    alarms: dict[tuple[str, str, float], RehearsedAlarm] = {}
    for one in history.transitions:
        key = (one.rule, one.device_id, one.onset_at)
        word = Severity(one.severity).word
        if one.kind in {"raised", "passed"}:
            over = one.at if one.kind == "passed" else None
            state = "active" if over is None else "cleared"
            alarms[key] = RehearsedAlarm(*key, one.at, over, word, state, one.held_by)
        elif key in alarms and one.kind == "levelled":
            alarms[key] = replace(alarms[key], severity=word)
        elif key in alarms and one.kind in {"cleared", "latched"}:
            alarms[key] = replace(alarms[key], cleared_at=one.at, state=one.kind)
    return Outcome([one for one in alarms.values() if one.raised_at >= since])


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is otherwise under the changed book. Times are seconds since 1970."""

    change: str
    """`new`, `gone` or `changed`."""
    what: str
    """`alarm`, `offer` or `message`."""
    at: float
    rule: str
    device_id: str
    before: str
    after: str


def compare(before: Outcome, after: Outcome) -> list[Difference]:
    """Return everything that differs between two outcomes, in the order of time."""
    pairs = list(_pair_alarms(before.alarms, after.alarms))
    left: _Numbers = {_identity(old): number for number, (old, _) in enumerate(pairs) if old}
    right: _Numbers = {_identity(new): number for number, (_, new) in enumerate(pairs) if new}
    rows_before, rows_after = _rows(before, left), _rows(after, right)
    found: list[Difference] = []
    for key in dict.fromkeys([*rows_before, *rows_after]):
        for old, new in zip_longest(rows_before.get(key, ()), rows_after.get(key, ())):
            found += _differ(old, new)
    return sorted(found, key=lambda one: (one.at, one.what, one.rule, one.device_id))


@dataclass(frozen=True, slots=True)
class _Row:
    """One thing that came about, in words that are equal where nothing differs."""

    what: str
    at: float
    rule: str
    device_id: str
    words: str


def _rows(outcome: Outcome, numbers: _Numbers) -> dict[Hashable, list[_Row]]:
    """Return everything by what makes it comparable: its alarm, and whom it concerns."""
    rows: dict[Hashable, list[_Row]] = defaultdict(list)
    for alarm in outcome.alarms:
        number = numbers[_identity(alarm)]
        rows["alarm", number].append(_row("alarm", alarm, alarm.raised_at, _alarm_words(alarm)))
    for offer in outcome.offers:
        words = f"{offer.technician}: {offer.state}"
        rows["offer", _number(offer, numbers)].append(_row("offer", offer, offer.at, words))
    for message in outcome.messages:
        key = ("message", _number(message, numbers), message.name, message.template)
        # Cases are numbered as they come: a number is no difference.
        text = message.text.replace(str(message.case_id), "…")
        words = f"{message.channel} to {message.name} ({message.role}): {text}"
        if message.state != DELIVERED:
            words += f" [{message.state}]"
        rows[key].append(_row("message", message, message.at, words))
    return rows


def _row(what: str, one: _OfAlarm, at: float, words: str) -> _Row:
    return _Row(what, at, one.rule, one.device_id, words)


def _number(one: _OfAlarm, numbers: _Numbers) -> Hashable:
    """Return the number of the alarm's pair; an alarm from before the time asked for stands for itself."""
    return numbers.get(_identity(one), _identity(one))


def _identity(one: _OfAlarm) -> tuple[str, str, float]:
    return one.rule, one.device_id, one.onset_at


def _alarm_words(alarm: RehearsedAlarm) -> str:
    held = f", nobody is told: {alarm.held_by}" if alarm.held_by else ""
    return f"{alarm.severity}, {_lasted(alarm)}{held}"


def _lasted(alarm: RehearsedAlarm) -> str:
    if alarm.cleared_at is None:
        return "still active"
    return f"over after {format_duration(max(0.0, round(alarm.cleared_at - alarm.onset_at)))}"


def _pair_alarms(
    before: Sequence[RehearsedAlarm], after: Sequence[RehearsedAlarm]
) -> Iterator[tuple[RehearsedAlarm | None, RehearsedAlarm | None]]:
    """Pair the alarms of a rule on a device that have the same onset, else those that overlap."""
    news: dict[tuple[str, str], list[RehearsedAlarm]] = defaultdict(list)
    for one in after:
        news[one.rule, one.device_id].append(one)
    same = {_identity(one) for one in before} & {_identity(one) for one in after}
    for old in before:
        candidates = news[old.rule, old.device_id]
        is_same = _identity(old) in same
        for new in candidates:
            if _identity(new) == _identity(old) if is_same else _may_be(old, new, same):
                candidates.remove(new)
                yield old, new
                break
        else:
            yield old, None
    for left in news.values():
        for new in left:
            yield None, new


def _may_be(old: RehearsedAlarm, new: RehearsedAlarm, same: Collection[Hashable]) -> bool:
    """Return whether a new alarm is the old one, begun earlier or later."""
    if _identity(new) in same:
        return False
    return new.onset_at <= (old.cleared_at or inf) and old.onset_at <= (new.cleared_at or inf)


def _differ(old: _Row | None, new: _Row | None) -> Iterator[Difference]:
    one = new or old
    if one is None:
        return
    if old is None or new is None:
        change = "gone" if new is None else "new"
        before, after = (old.words if old else ""), (new.words if new else "")
    elif old.words == new.words and abs(old.at - new.at) < SAME_TIME_S:
        return
    else:
        change, before, after = "changed", old.words, new.words
        moved = new.at - old.at
        if abs(moved) >= SAME_TIME_S:
            after += (
                f" ({format_duration(abs(round(moved)))} {'later' if moved > 0 else 'earlier'})"
            )
    yield Difference(change, one.what, one.at, one.rule, one.device_id, before, after)
