"""One model on the devices of one type: what it says of a batch, and whether it can be believed.

A model that raises, says no number, is older than the book allows or hears what it was not trained on says
nothing, from that very batch on: its fields are unknown, and the rules go by the others. All of that
follows from the readings and their times of arrival, so that what is read again is found again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import structlog

from models.drift import SCORE, Drift, Finding
from prevenant.domain import DeviceType, Reading
from prevenant.durations import format_duration
from prevenant.stream.pace import Pace
from prevenant.stream.voices import Because, Scored, Scoring, Voice
from rules.derived import value_lookup
from rules.expression import quantity_value
from rules.models import BookModel
from rules.parsing import parse_input

log = structlog.get_logger()

NONE, SPEAKING = "none", "speaking"
BROKEN, STALE, DRIFTING, SLOW = "broken", "stale", "drifting", "slow"
OUT = (BROKEN, STALE, DRIFTING, SLOW)
"""The states that somebody has to be told of."""

Said = tuple[float | None, float | None, float | None]
_NOTHING: Said = (None, None, None)
_RETRY_S = 60.0
"""After an error a model begins anew so much later."""
_PROBATION_S = 300.0
"""It is broken until nothing has gone wrong for so long."""
_STALE_TIMES = 3
"""A prediction holds for so many times `score_every`."""
_WATCHED_AT_ONCE = 16
"""So many readings of a batch are looked at for drift."""
_GATHERED = 128
"""They are counted so many at a time."""


class Health(NamedTuple):
    """Whether a model can be believed, and why not."""

    state: str
    reason: str = ""
    since: float = 0.0
    """In seconds since 1970."""


class Compared(msgspec.Struct, gc=False):
    """What a model and its shadow say of a device, in the unit of the fields."""

    value: float | None
    shadow: float | None
    at: float
    """When the last reading was observed."""
    count: int = 0
    """At how many readings both have said something."""
    difference: float = 0.0
    """The sum of the distances between them."""


class Speaker:
    """Says what a model predicts; which version does is told from outside."""

    def __init__(self, model: BookModel, on: DeviceType) -> None:
        self.model = model
        self._on = on
        self._voice: Voice | None = None
        self._scorer: Scoring | None = None
        self._shadow: _Shadow | None = None
        self._pace = Pace(0.0, model.score_every_s)
        self._watch: _Watch | None = None
        self._scored: dict[str, tuple[float, float]] = {}
        """By device: which prediction it has, and when the reading was observed that brought it."""
        self._fault = ""
        self._fault_at = 0.0
        self.health = Health(NONE)
        self.compared: dict[str, Compared] = {}
        """By device, what was said since it was taken last, beside what the shadow said."""

    @property
    def version(self) -> tuple[int, str]:
        """Which version speaks: its number, 0 for none, and its fingerprint."""
        return (self._voice.version, self._voice.fingerprint) if self._voice else (0, "")

    @property
    def shadow_version(self) -> tuple[int, str]:
        """Which version is tried in its shadow."""
        voice = self._shadow.voice if self._shadow else None
        return (voice.version, voice.fingerprint) if voice else (0, "")

    def take(self, voice: Voice | None, at: float) -> None:
        """Let another version speak from now on; it has heard of no device yet."""
        self._voice, self._scorer, self._watch = voice, None, None
        self._scored, self._fault, self._fault_at = {}, "", 0.0
        self._pace = Pace(voice.cost_s if voice else 0.0, self.model.score_every_s)
        if voice is not None:
            self._watch = _Watch(voice, self._on)
            self._begin_scorer(at)
        self._judge(at)

    def _begin_scorer(self, at: float) -> None:
        """Have the version begin, with no device heard yet; where it cannot, it is broken."""
        if self._voice is not None:
            with self._broken_by_errors(at):
                self._scorer = self._voice.make_scorer()

    @contextmanager
    def _broken_by_errors(self, at: float) -> Iterator[None]:
        """Be broken from here on, whatever the model raises: the rules go on without it."""
        try:
            yield
        except Exception as error:
            log.exception("a model has failed", model=self.model.name, version=self.version[0])
            self._scorer, self._scored = None, {}
            self._note_fault(f"it has failed: {type(error).__name__}: {error}", at)

    def try_beside(self, voice: Voice | None) -> None:
        """Have another version score the same readings; no rule hears what it says."""
        self._shadow = _Shadow(voice) if voice else None

    def say(self, readings: Sequence[Reading], received_at: float) -> list[Said]:
        """Return what is predicted at each reading; those of one device are in their order."""
        # What the broker has kept was heard before, or is of no known time.
        heard = [one for one in readings if not one.retained]
        predictions = self._score(heard, received_at)
        said = [self._believe(*pair) for pair in zip(heard, predictions, strict=True)]
        if self._watch is not None and heard:
            self._watch.take(heard, [one.value if one else None for one in predictions])
        if self._shadow is not None and heard:
            self._shadow.compare(heard, said, self.model.shown_scale, self.compared)
        self._judge(received_at)
        if self.health.state in {BROKEN, STALE, DRIFTING} and not self._is_on_probation:
            return [_NOTHING] * len(readings)
        if len(heard) == len(readings):
            return said
        found = iter(said)
        return [_NOTHING if one.retained else next(found) for one in readings]

    def explain(self, device_id: str) -> Sequence[Because]:
        """Return what moved the latest prediction of a device; nothing where that is not known."""
        if self._scorer is None or device_id not in self._scored:
            return ()
        try:
            return self._scorer.explain(device_id)
        except Exception:
            log.exception("a prediction cannot be explained", model=self.model.name)
            return ()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain values."""
        scorer, watch, shadow = self._scorer, self._watch, self._shadow
        return {
            "version": self.version,
            "scorer": scorer.snapshot() if scorer else None,
            "watch": watch.snapshot() if watch else None,
            "pace": self._pace.snapshot(),
            "scored": self._scored,
            "fault": (self._fault, self._fault_at),
            "health": tuple(self.health),
            "shadow": (shadow.version, shadow.snapshot()) if shadow else None,
        }

    def restore(
        self, state: Mapping[str, Any], load: Callable[[int, str], Voice | None], at: float
    ) -> None:
        """Take over an earlier state; `load` finds its versions, or says why not in the log."""
        number, fingerprint = state["version"]
        voice = load(number, fingerprint) if number else None
        self.take(voice, at)
        if voice is not None and self._watch is not None:
            if state["scorer"] is None:
                self._scorer = None
            self._watch.restore(state["watch"])
            self._scored = {name: (one[0], one[1]) for name, one in state["scored"].items()}
            self._pace.restore(state["pace"])
            self._fault, self._fault_at = state["fault"]
            if self._scorer is not None:
                # Where what was remembered fits no more, it begins anew later.
                with self._broken_by_errors(at):
                    self._scorer.restore(state["scorer"])
        self.health = Health(*state["health"]) if voice or not number else self.health
        if state["shadow"] is not None:
            (number, fingerprint), kept = state["shadow"]
            tried = load(number, fingerprint)
            self.try_beside(tried)
            if self._shadow is not None:
                self._shadow.restore(kept)

    def adopt(self, before: "Speaker") -> None:
        """Go on where the speaker of an earlier book left off, as from the journal."""
        voices = {one.version: one for one in (before._voice, before._tried) if one is not None}
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(before.snapshot()))
        self.restore(state, lambda number, _: voices.get(number), before.health.since)

    @property
    def _tried(self) -> Voice | None:
        return self._shadow.voice if self._shadow else None

    @property
    def _is_on_probation(self) -> bool:
        """Whether it speaks again after an error, and is only watched more closely."""
        is_fault = self.health.state == BROKEN and bool(self._fault)
        return is_fault and self._scorer is not None

    def _score(self, readings: Sequence[Reading], received_at: float) -> Sequence[Scored | None]:
        if self._voice is None or not readings:
            return [None] * len(readings)
        if self._scorer is None:
            if received_at < self._fault_at + _RETRY_S:
                return [None] * len(readings)
            self._begin_scorer(received_at)
            if self._scorer is None:
                return [None] * len(readings)
        count, devices = len(readings), len(self._scored)
        self._scorer.score_every = self._pace.interval_s(received_at, count, devices)
        predictions: Sequence[Scored | None] = ()
        with self._broken_by_errors(received_at):
            predictions = self._scorer.score(readings)
            if len(predictions) != count:
                raise ValueError(f"{len(predictions)} predictions for {count} readings")  # noqa: EM102
        if len(predictions) != count:
            return [None] * count
        if any(one is not None and not isfinite(one.value) for one in predictions):
            self._note_fault("what it says is no number", received_at)
        return predictions

    def _believe(self, reading: Reading, prediction: Scored | None) -> Said:
        """Return what a prediction says in the unit of the fields, unless it is too old."""
        if prediction is None or not isfinite(prediction.value):
            return _NOTHING
        device_id, at = reading.device_id, prediction.at
        kept = self._scored.get(device_id)
        if kept is None or kept[0] != at:
            self._scored[device_id] = (at, reading.observed_at)
        elif reading.observed_at - kept[1] > _STALE_TIMES * self.model.score_every_s:
            return _NOTHING
        scale = self.model.shown_scale
        low, high = prediction.low, prediction.high
        return (
            prediction.value / scale,
            low / scale if isfinite(low) else None,
            high / scale if isfinite(high) else None,
        )

    def _note_fault(self, reason: str, at: float) -> None:
        self._fault, self._fault_at = " ".join(reason.split())[:300], at

    def _judge(self, at: float) -> None:
        state, reason = self._find_health(at)
        if (state, reason) != self.health[:2]:
            same = state == self.health.state and self.health.since > 0
            self.health = Health(state, reason, self.health.since if same else at)

    def _find_health(self, at: float) -> tuple[str, str]:
        voice = self._voice
        if voice is None:
            return NONE, "no version of it is in force"
        max_age_s = self.model.max_age_s
        if max_age_s and at - voice.trained_at > max_age_s:
            return STALE, f"it was trained more than {format_duration(max_age_s)} ago"
        if self._fault and at < self._fault_at + _PROBATION_S:
            return BROKEN, self._fault
        self._fault = ""
        found = self._watch.findings if self._watch else ()
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            return DRIFTING, f"{found[0].words}{more}"
        if self._pace.is_too_slow(len(self._scored)):
            return SLOW, "it takes more than its share of the machine: raise score_every"
        return SPEAKING, ""

    def findings(self) -> Sequence[Finding]:
        """Return what is not as it was in training, with the shares."""
        return self._watch.findings if self._watch else ()


class _Watch:
    """Looks at some of the readings for drift, a handful at a time."""

    def __init__(self, voice: Voice, on: DeviceType) -> None:
        self._drift = Drift(voice.reference, voice.missing)
        self._readers = {
            name: reader for name in self._drift.names if (reader := _reader(name, on)) is not None
        }
        self._gathered: list[list[float | None]] = []
        self.findings: Sequence[Finding] = ()
        """What is not as it was in training, as far as it was looked at."""

    def take(self, readings: Sequence[Reading], scores: Sequence[float | None]) -> None:
        step = -(-len(readings) // _WATCHED_AT_ONCE)
        for number in range(0, len(readings), step):
            reading = readings[number]
            row = [read(reading) for read in self._readers.values()]
            self._gathered.append([*row, scores[number]])
        if len(self._gathered) >= _GATHERED:
            *columns, said = zip(*self._gathered, strict=True)
            self._drift.take(dict(zip(self._readers, columns, strict=True)))
            self._drift.take({SCORE: [one for one in said if one is not None]})
            self._gathered = []
            self.findings = self._drift.findings()

    def snapshot(self) -> Any:
        return self._drift.snapshot(), self._gathered

    def restore(self, state: Any) -> None:
        drift, gathered = state
        self._drift.restore(drift)
        self.findings = self._drift.findings()
        width = len(self._readers) + 1
        self._gathered = [list(row) for row in gathered if len(row) == width]


def _reader(name: str, on: DeviceType) -> Callable[[Reading], float | None] | None:
    """Return how to find an input that is a number; None for a text."""
    field = on.field(name)
    if field is not None:
        if field.kind is str:
            return None
        get = attrgetter(f"values.{field.attribute}")

        def read(reading: Reading) -> float | None:
            value = get(reading)
            return None if value is None else float(value)

        return read
    try:
        quantity = parse_input(name, on)
    except ValueError:
        return None
    return lambda reading: quantity_value(quantity, value_lookup(reading))


class _Shadow:
    """Another version that scores the same readings; what it does wrong concerns nobody."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.scorer: Scoring | None = None
        """None once it has failed."""
        with self._concerning_nobody():
            self.scorer = voice.make_scorer()

    @contextmanager
    def _concerning_nobody(self) -> Iterator[None]:
        """Have it tried no more where it raises."""
        try:
            yield
        except Exception:
            log.exception("a shadow has failed and is tried no more", version=self.voice.version)
            self.scorer = None

    @property
    def version(self) -> tuple[int, str]:
        return self.voice.version, self.voice.fingerprint

    def snapshot(self) -> Any:
        return self.scorer.snapshot() if self.scorer else None

    def restore(self, kept: Any) -> None:
        with self._concerning_nobody():
            if kept is None or self.scorer is None:
                self.scorer = None
            else:
                self.scorer.restore(kept)

    def compare(
        self,
        readings: Sequence[Reading],
        said: Sequence[Said],
        scale: float,
        compared: dict[str, Compared],
    ) -> None:
        if self.scorer is None:
            return
        predictions: Sequence[Scored | None] = ()
        with self._concerning_nobody():
            predictions = self.scorer.score(readings)
            if len(predictions) != len(readings):
                raise ValueError(f"{len(predictions)} predictions for {len(readings)} readings")  # noqa: EM102
        if len(predictions) != len(readings):
            return
        for reading, own, one in zip(readings, said, predictions, strict=True):
            value = None if one is None or not isfinite(one.value) else one.value / scale
            kept = compared.setdefault(reading.device_id, Compared(None, None, 0.0))
            kept.value, kept.shadow, kept.at = own[0], value, reading.observed_at
            if own[0] is not None and value is not None:
                kept.count += 1
                kept.difference += abs(own[0] - value)
