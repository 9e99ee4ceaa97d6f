"""Every book that an import writes can be loaded, and says what was not carried over."""

from pathlib import Path

import pytest

from prevenant.book import load_book
from rules.importing.carried import Carried
from rules.importing.formats import FORMATS
from rules.importing.writing import write_book

FOLDER = Path(__file__).parent
FIXTURES = {
    "prometheus": ["prometheus_rooms.yml", "prometheus_windows.yml", "prometheus_lost.yml"],
    "home-assistant": [
        "home_assistant_home.yaml",
        "home_assistant_hours.yaml",
        "home_assistant_lost.yaml",
    ],
    "thingsboard": ["thingsboard_pump.json", "thingsboard_levels.json"],
    "iot-events": [
        "iot_events_pressure.json",
        "iot_events_variables.json",
        "iot_events_counter.json",
        "iot_events_template.json",
    ],
}
ALL = [pytest.param(form, name, id=name) for form, names in FIXTURES.items() for name in names]


def carry(form: str, name: str) -> Carried:
    return FORMATS[form]((FOLDER / name).read_text("utf-8"), name)


def test_every_fixture_is_named_here() -> None:
    named = {name for names in FIXTURES.values() for name in names}
    there = {path.name for path in FOLDER.iterdir() if path.suffix in {".yml", ".yaml", ".json"}}
    assert named == there


@pytest.mark.parametrize(("form", "name"), ALL)
def test_the_book_can_be_loaded(form: str, name: str, tmp_path: Path) -> None:
    carried = carry(form, name)
    path = tmp_path / "book.yaml"
    path.write_text(write_book(carried), "utf-8")
    book = load_book(path)
    whole = {rule.name for rule in carried.rules if "on" in rule.keys}
    assert set(book.rules.rules) >= whole
    assert set(book.rules.devices) == {one.name for one in carried.used_types}


@pytest.mark.parametrize(
    ("form", "name"), [(form, name) for form, names in FIXTURES.items() for name in names]
)
def test_what_is_not_carried_over_stands_in_the_book_and_in_the_list(form: str, name: str) -> None:
    carried = carry(form, name)
    book = write_book(carried)
    listed = carried.unported
    for rule in carried.rules:
        assert (f"  # not carried over: {rule.name}\n" in book) == (not rule.keys)
        for one in rule.unported:
            assert one in listed
            assert f"{' '.join(one.what.split())}: {one.remedy}" in book
    for one in listed:
        assert one.place.startswith(name)
        assert one.what
        assert one.remedy
    for each in carried.used_types:
        assert any(each.topic in one.what for one in listed)


@pytest.mark.parametrize(
    ("form", "name", "summary"),
    [
        ("prometheus", "prometheus_rooms.yml", "3 rules carried over, 2 in part, 1 not"),
        ("prometheus", "prometheus_windows.yml", "5 rules carried over, 7 in part, 0 not"),
        ("prometheus", "prometheus_lost.yml", "0 rules carried over, 2 in part, 6 not"),
        ("home-assistant", "home_assistant_home.yaml", "4 rules carried over, 2 in part, 0 not"),
        ("home-assistant", "home_assistant_hours.yaml", "0 rules carried over, 2 in part, 0 not"),
        ("home-assistant", "home_assistant_lost.yaml", "0 rules carried over, 1 in part, 6 not"),
        ("thingsboard", "thingsboard_pump.json", "1 rule carried over, 1 in part, 1 not"),
        ("thingsboard", "thingsboard_levels.json", "1 rule carried over, 2 in part, 0 not"),
        ("iot-events", "iot_events_pressure.json", "1 rule carried over, 0 in part, 0 not"),
        ("iot-events", "iot_events_variables.json", "0 rules carried over, 2 in part, 2 not"),
        ("iot-events", "iot_events_counter.json", "0 rules carried over, 2 in part, 2 not"),
        ("iot-events", "iot_events_template.json", "2 rules carried over, 0 in part, 0 not"),
    ],
)
def test_rules_are_counted(form: str, name: str, summary: str) -> None:
    assert carry(form, name).summary == summary


def test_hostile_names_and_texts_make_a_book_all_the_same(tmp_path: Path) -> None:
    text = r"""
groups:
  - name: "odd"
    rules:
      - alert: "on: {a} # b"
        expr: "{\"in\", room=\"a: 'b' # \\\"c\\\"\"} > 1e-7"
        annotations: {summary: "{% x %} {{ range }} \t | # 'a' \"b\": ü \u007f"}
      - alert: "Überlauf"
        expr: class > 1
      - alert: device-silent
        expr: "0 < _"
      - alert: "高温"
        expr: site_x{site="5 percent"} > 1
      - alert: "高温"
        expr: "-job:x:avg > -0.5"
"""
    carried = FORMATS["prometheus"](text, "odd.yml")
    path = tmp_path / "book.yaml"
    path.write_text(write_book(carried), "utf-8")
    rules = load_book(path).rules.rules
    assert list(rules) == ["on-a-b", "uberlauf", "device-silent-imported", "rule", "rule-2"]
