"""What models say is asked for like any other field, and no device can say it."""

import json
from typing import Any

import pytest

from ingest.decode import Decoder
from prevenant.document import read_yaml
from prevenant.domain import Reading, attribute_of, values_by_name
from prevenant.errors import BookError, Problem
from rules.book import RuleBook, read_rules
from rules.devices import read_devices
from rules.models import BookModel, Cause, read_models
from rules.processor import Processor

BOOK = """
devices:
  fridge:
    topic: homes/{site}/fridges/{device}
    fields: {cabinet: celsius, amps: ampere, door_open: bool}
  door:
    topic: homes/{site}/doors/{device}
    fields: {open: bool}
models:
  compressor:
    on: fridge
    predicts: failure within 72h
    version: 3
    score_every: 5m
    features: [amps, cabinet * amps]
    causes:
      amps:
        text: {en: Worn compressor, fr: Compresseur usé}
        parts: [compressor, relay]
        skill: cold >= 2
      otherwise: {text: Look at it}
  life:
    on: fridge
    predicts: remaining life in days
rules:
"""


def make_book(rules: str) -> RuleBook:
    problems: list[Problem] = []
    document = read_yaml(BOOK + rules, problems, "rules.yaml")
    pairs = document.mapping() if document else None
    assert pairs is not None, problems
    sections = {name: [value] for name, value in pairs}
    models, types = read_models(sections["models"], read_devices(sections["devices"]))
    book = read_rules(sections["rules"], types, models)
    if problems:
        raise BookError(problems)
    return book


def reading(book: RuleBook, at: float, device: str = "h1/f", **values: Any) -> Reading:
    fields = {attribute_of(name.replace("__", ".")): value for name, value in values.items()}
    return Reading("fridge", "h1", device, at, at, book.devices["fridge"].values_type(**fields))


def test_the_section_says_what_is_predicted_and_what_follows_from_a_cause() -> None:
    models = make_book("  r: {on: fridge, when: door_open, for: 1m}").models
    compressor, life = models["compressor"], models["life"]
    assert (compressor.kind, compressor.unit, compressor.horizon) == ("failure", "seconds", 259_200)
    assert (compressor.version, compressor.score_every_s) == (3, 300.0)
    assert compressor.features == ("amps", "cabinet * amps")
    assert compressor.cause_of("amps").parts == ("compressor", "relay")
    assert compressor.cause_of("cabinet") == Cause({"": "Look at it"})
    assert (life.kind, life.unit, life.shown_unit, life.shown_scale) == (
        "remaining_life",
        "seconds",
        "day",
        86_400.0,
    )
    assert (life.version, life.features, life.score_every_s) == (None, None, 600.0)


@pytest.mark.parametrize(
    ("text", "kind", "unit", "horizon"),
    [
        ("failure now", "failure", "seconds", 0.0),
        ("failure within 30 cycles", "failure", "cycles", 30.0),
        ("failure within 1d12h", "failure", "seconds", 129_600.0),
        ("remaining life in cycles", "remaining_life", "cycles", 0.0),
        ("remaining life in hours", "remaining_life", "seconds", 0.0),
        ("anomaly", "anomaly", "seconds", 0.0),
    ],
)
def test_every_target_has_its_words(text: str, kind: str, unit: str, horizon: float) -> None:
    problems: list[Problem] = []
    document = read_yaml(f"a: {{on: fridge, predicts: {text}}}", problems, "rules.yaml")
    types = make_book("  r: {on: fridge, when: door_open, for: 1m}").devices
    assert document is not None
    models, _ = read_models([document], types)
    assert not problems
    found = models["a"]
    assert (found.kind, found.unit, found.horizon) == (kind, unit, horizon)


def test_a_model_adds_its_own_fields() -> None:
    names = [one.name for one in BookModel("engine", "turbofan", "remaining_life").fields]
    assert names == ["engine.remaining_life", "engine.low", "engine.high"]


def test_a_rule_asks_for_a_prediction_like_any_other_field() -> None:
    book = make_book("  r: {on: fridge, when: compressor.probability > 80 percent or amps > 9}")
    processor = Processor(book)
    assert processor.process([reading(book, 0.0, amps=1.0)], 0.0) == []
    assert processor.process([reading(book, 1.0, amps=1.0, compressor__probability=0.8)], 1.0) == []
    (raised,) = processor.process([reading(book, 2.0, amps=1.0, compressor__probability=0.81)], 2.0)
    assert raised.values == {"amps": 1.0, "compressor.probability": 0.81}
    assert "compressor.probability = 0.81" in raised.reason
    assert [line.condition for line in raised.trace] == ["compressor.probability > 0.8", "amps > 9"]


def test_units_windows_and_neighbours_take_predictions() -> None:
    book = make_book("""
  shorter: {on: fridge, when: life.remaining_life < 36h}
  mean: {on: fridge, when: "avg(life.remaining_life, 10m) < 3"}
  many: {on: door, when: "open and site_count(fridge, compressor.probability > 0.5) > 1"}
  beside: {on: door, when: "open and near(fridge, compressor.low > 0.5, 5s)"}
  fallen: {on: fridge, when: "delta(life.low, 1h) < -2 and not changed(compressor.high, 1m)"}
""")
    processor = Processor(book)
    found = processor.process([reading(book, 0.0, life__remaining_life=2.0)], 0.0)
    assert [one.rule for one in found] == ["mean"]
    found = processor.process([reading(book, 60.0, life__remaining_life=1.4)], 60.0)
    assert [one.rule for one in found] == ["shorter"]
    found = processor.process([reading(book, 61.0, "h1/g", compressor__probability=0.9)], 61.0)
    found += processor.process([reading(book, 62.0, compressor__probability=0.9)], 62.0)
    opened = Reading("door", "h1", "h1/d", 63.0, 63.0, book.devices["door"].values_type(open=True))
    found = processor.process([opened], 63.0)
    assert [one.rule for one in found] == ["many"]


def test_an_unknown_prediction_leaves_the_threshold_beside_it_alone() -> None:
    book = make_book("  r: {on: fridge, when: compressor.probability > 0.8 or cabinet > 9}")
    processor = Processor(book)
    (raised,) = processor.process([reading(book, 0.0, cabinet=10.0)], 0.0)
    assert raised.kind == "raised"


def test_what_the_processor_knows_outlives_a_restart_with_the_predictions() -> None:
    book = make_book("  r: {on: fridge, when: life.remaining_life < 2, for: 10m}")
    before, after = Processor(book), Processor(book)
    before.process([reading(book, 0.0, life__remaining_life=1.5)], 0.0)
    after.restore(before.snapshot(), 1.0)
    newest = after.newest("fridge", "h1/f")
    assert newest is not None
    assert values_by_name(newest.values) == {"life.remaining_life": 1.5}
    assert [one.kind for one in after.advance(600.0)] == ["raised"]


@pytest.mark.parametrize("name", ["life.remaining_life", "life·remaining_life", "life"])
def test_no_device_can_send_a_prediction(name: str) -> None:
    book = make_book("  r: {on: fridge, when: life.remaining_life < 2}")
    payload = json.dumps({"amps": 1.0, name: 0.1}).encode()
    decoded = Decoder(book.devices.values()).decode_batch(
        [(b"homes/h1/fridges/f", payload, 0)], 0.0
    )
    (one,) = decoded.readings
    assert one.values.__struct_fields__[:3] == ("cabinet", "amps", "door_open")
    assert not any("·" in field for field in one.values.__struct_fields__)
