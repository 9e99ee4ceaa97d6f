"""What models say joins the readings of a batch before rules see them; an alarm is told why they said it.

    decoder ─▶ readings ─▶ join ─▶ processor ─▶ transitions ─▶ explain ─▶ alarms

A batch is scored at once, model by model. Which version of a model speaks changes between two batches, at
a place that the journal knows (`ingest.journal_file.ModelChange`), as the rule book does.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

import structlog

from ingest.journal_file import ModelChange
from prevenant.domain import DeviceType, Reading, Transition
from prevenant.errors import PrevenantError
from prevenant.stream.reasons import Reasons
from prevenant.stream.speaker import Compared, Health, Speaker
from prevenant.stream.voices import NoVoices, Voice, Voices, is_untrained
from rules.models import BookModel
from rules.rule import RuleBook

log = structlog.get_logger()


class Predictions:
    """Every model of a rule book, on the devices that it speaks for."""

    def __init__(self, book: RuleBook, voices: Voices | None = None) -> None:
        self._voices = voices or NoVoices()
        self._speakers = {
            name: Speaker(model, book.devices[model.on]) for name, model in book.models.items()
        }
        self._types = {
            name: book.devices[name] for name in {one.on: None for one in book.models.values()}
        }
        self._joiners = {name: _joiner(one) for name, one in self._types.items()}
        self._reasons = Reasons(book)
        self._told: dict[str, tuple[Health, int, int]] = {}

    def join(self, readings: list[Reading], received_at: float) -> list[Reading]:
        """Return the readings with what models say of them, in the same order."""
        if not self._speakers:
            return readings
        places: dict[str, list[int]] = defaultdict(list)
        for place, reading in enumerate(readings):
            if reading.type in self._types:
                places[reading.type].append(place)
        if not places:
            return readings
        joined = list(readings)
        for type_name, of_type in places.items():
            rows = [readings[place] for place in of_type]
            said = [
                one.say(rows, received_at)
                for one in self._speakers.values()
                if one.model.on == type_name
            ]
            join = self._joiners[type_name]
            for place, reading, *words in zip(of_type, rows, *said, strict=True):
                joined[place] = join(reading, words)
        return joined

    def explain(self, transitions: Sequence[Transition]) -> Sequence[Transition]:
        """Return the changes of alarms with why models said what they said."""
        if not self._speakers or not transitions:
            return transitions
        return self._reasons.add(transitions, self._speakers)

    def change(self, change: ModelChange, voice: Voice | None) -> None:
        """Let another version of a model speak, or be tried, from the next batch on."""
        speaker = self._speakers.get(change.model)
        if speaker is None:
            return
        if voice is not None and not may_go_on(voice.model, speaker.model):
            # It was read for the book before, which another one has replaced meanwhile.
            voice = None
        if change.is_shadow:
            speaker.try_beside(voice)
        else:
            speaker.take(voice, change.at)

    def find(self, change: ModelChange) -> Voice | None:
        """Return the version that a change is to; None where it is to none, or cannot be had."""
        model = self._models.get(change.model)
        if model is None or not change.version:
            return None
        return self._load(model, change.version, change.fingerprint)

    def begin(self, without: Collection[str]) -> None:
        """Let those versions speak that are to do so now, but for models of which a journal knows."""
        for name, speaker in self._speakers.items():
            if name in without:
                continue
            try:
                number, _ = self._voices.wanted(speaker.model)
                voice = self._voices.load(speaker.model, number) if number else None
            except PrevenantError as error:
                log.error("a model says nothing", model=name, reason=str(error))
            else:
                speaker.take(voice, 0.0)

    def hand_over(self, book: RuleBook, at: float) -> "Predictions":
        """Return others for another book, in which the versions of models that it still has go on."""
        others = Predictions(book, self._voices)
        for name, speaker in others._speakers.items():
            before = self._speakers.get(name)
            if before is not None and may_go_on(before.model, book.models[name]):
                speaker.adopt(before)
            else:
                speaker.take(None, at)
        return others

    @property
    def versions(self) -> dict[tuple[str, bool], tuple[int, str]]:
        """By model, and whether it is its shadow: which version is in force."""
        return {
            (name, is_shadow): one.shadow_version if is_shadow else one.version
            for name, one in self._speakers.items()
            for is_shadow in (False, True)
        }

    def take_health(self) -> dict[str, tuple[Speaker, Health]]:
        """Return the models whose version or health is another than when this was asked last."""
        found = {}
        for name, one in self._speakers.items():
            now = (one.health, one.version[0], one.shadow_version[0])
            if self._told.get(name) != now:
                self._told[name] = now
                found[name] = (one, one.health)
        return found

    def take_compared(self) -> dict[tuple[str, int, int], dict[str, Compared]]:
        """Return what models and their shadows said since this was asked last.

        By model and both versions; then by device.
        """
        found = {}
        for name, one in self._speakers.items():
            if one.compared:
                found[name, one.version[0], one.shadow_version[0]] = one.compared
                one.compared = {}
        return found

    @property
    def names(self) -> list[str]:
        """The models of the book."""
        return [*self._speakers]

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain values."""
        return {name: one.snapshot() for name, one in self._speakers.items()}

    def restore(self, state: Mapping[str, Any], at: float) -> None:
        """Take over an earlier state of the same book; of models that cannot be had, nothing."""
        for name, kept in state.items():
            speaker = self._speakers.get(name)
            if speaker is not None:
                speaker.restore(kept, self._loader(speaker.model), at)

    @property
    def _models(self) -> dict[str, BookModel]:
        return {name: one.model for name, one in self._speakers.items()}

    def _loader(self, model: BookModel) -> Callable[[int, str], Voice | None]:
        return lambda number, fingerprint: self._load(model, number, fingerprint)

    def _load(self, model: BookModel, number: int, fingerprint: str) -> Voice | None:
        """Return a version, or None where it cannot be had or is another than it was."""
        try:
            voice = self._voices.load(model, number)
        except PrevenantError as error:
            log.error("a model says nothing", model=model.name, version=number, reason=str(error))
            return None
        has_files = not (is_untrained(voice.fingerprint) and is_untrained(fingerprint))
        if has_files and voice.fingerprint != fingerprint:
            reason = "its files are others than they were"
            log.error("a model says nothing", model=model.name, version=number, reason=reason)
            return None
        return voice


def may_go_on(before: BookModel, after: BookModel) -> bool:
    """Return whether what was trained for a model of one book speaks for that of another."""
    return before.says_the_same == after.says_the_same


def _joiner(on: DeviceType) -> Callable[[Reading, Sequence[Sequence[float | None]]], Reading]:
    """Return how to make a reading with what models say out of a decoded one."""
    make = on.values_type
    names = [field.attribute for field in on.fields]
    get = attrgetter(*names) if len(names) > 1 else lambda values: (getattr(values, names[0]),)

    def join(reading: Reading, words: Sequence[Sequence[float | None]]) -> Reading:
        said = [number for word in words for number in word]
        return Reading(
            reading.type,
            reading.site_id,
            reading.device_id,
            reading.observed_at,
            reading.received_at,
            make(*get(reading.values), *said),
            reading.retained,
        )

    return join
