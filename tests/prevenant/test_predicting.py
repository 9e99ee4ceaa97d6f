"""Models of a book over time: another book, another detector's inputs, a storm that wants its reasons."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ingest.journal_file import ModelChange
from prevenant.book import load_book
from prevenant.domain import Reading, Transition
from prevenant.store import Store
from prevenant.stream.model_rows import find_state, write_health
from prevenant.stream.predicting import Predictions
from prevenant.stream.reasons import Reasons
from prevenant.stream.speaker import Speaker
from prevenant.stream.voices import Because, untrained
from rules.rule import RuleBook
from tests.voices import FakeScorer, FakeVoice, FakeVoices

BOOK = """
devices:
  fridge: {topic: 'a/{site}/fridges/{device}', fields: {amps: ampere}}
models:
  worn: {on: fridge, predicts: remaining life in cycles}
rules:
  ends: {on: fridge, when: worn.remaining_life > 20}
"""


def read(folder: Path, text: str) -> RuleBook:
    (folder / "rules.yaml").write_text(text, "utf-8")
    return load_book(folder / "rules.yaml").rules


def change(fingerprint: str, model: str = "worn") -> ModelChange:
    return ModelChange(1, 0, 100.0, 100.0, 1, fingerprint, model, is_shadow=False)


def speaking(book: RuleBook, voices: FakeVoices) -> Predictions:
    found = Predictions(book, voices)
    found.change(change("v1"), voices.load(book.models["worn"], 1))
    return found


def test_a_book_that_no_version_speaks_for_is_said_of_its_model(
    store: Store, tmp_path: Path
) -> None:
    book = read(tmp_path, BOOK)
    predictions = speaking(book, FakeVoices(FakeVoice(book.models["worn"])))
    other = read(tmp_path, BOOK.replace("in cycles", "in days"))
    with store.write() as session:
        write_health(session, predictions.take_health(), predictions.names)
    after = predictions.hand_over(other, 200.0)
    with store.write() as session:
        write_health(session, after.take_health(), after.names)
    with store.read() as session:
        row = find_state(session, "worn")
    assert row is not None
    assert (row.state, row.version) == ("none", 0)


def test_a_detector_speaks_again_though_it_listens_to_more(tmp_path: Path) -> None:
    """It has no files that could be others than they were."""
    book = read(
        tmp_path,
        BOOK.replace("remaining life in cycles", "anomaly").replace(
            "worn.remaining_life > 20", "worn.anomaly > 0.5"
        ),
    )
    voice = FakeVoice(book.models["worn"])
    voice.fingerprint = untrained(["amps", "volts"])
    predictions = Predictions(book, FakeVoices(voice))
    assert predictions.find(change(untrained(["amps"]))) is voice
    assert predictions.find(change("another seal")) is None


class Talkative(FakeScorer):
    """Counts how often it is asked for its reasons."""

    asked = 0

    def explain(self, device_id: str) -> Sequence[Because]:
        Talkative.asked += 1
        return super().explain(device_id)


def test_a_storm_does_not_wait_for_words_however_it_is_cut_into_batches(tmp_path: Path) -> None:
    book = read(tmp_path, BOOK)
    speaker = Speaker(book.models["worn"], book.devices["fridge"])
    voice = FakeVoice(book.models["worn"])
    speaker.take(voice, 0.0)
    speaker._scorer = Talkative(voice)
    make = book.devices["fridge"].payload_type
    devices = [f"s/{number}" for number in range(50)]
    speaker.say([Reading("fridge", "s", one, 1.0, 1.0, make(30.0)) for one in devices], 1.0)
    reasons = Reasons(book)
    raised = [
        Transition(
            "raised", "ends", "fridge", "s", one, 3, 5.0, 5.2, {"worn.remaining_life": 30.0}, "x"
        )
        for one in devices
    ]
    for one in raised:
        reasons.add([one], {"worn": speaker})
    assert Talkative.asked == 20
    (told,) = reasons.add([msgspec.structs.replace(raised[0], at=6.1)], {"worn": speaker})
    assert told.values["worn.why"] == {
        "en": "its current adds up to 30",
        "fr": "son courant fait 30",
    }
