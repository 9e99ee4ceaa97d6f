"""Engines of NASA's record fly as they were recorded, and whoever lacks the record is told where it is."""

import json
from pathlib import Path

import pytest

from prevenant.book import load_book
from prevenant.errors import ConfigurationError
from simulators import turbofan
from simulators.engine_replay import replay_engines
from simulators.fleet import demo_devices
from simulators.turbofan import COLUMNS, FILE, SENSORS, Turbofan, demo_engines, read_flights
from tests.servers import Broker


def write_record(folder: Path, lives: dict[int, int]) -> Path:
    """Write a record of engines with so many flights each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        " ".join(str(number) for number in (unit, cycle, *range(len(COLUMNS) - 2)))
        for unit, flights in lives.items()
        for cycle in range(1, flights + 1)
    ]
    (folder / FILE).write_text("  \n".join(lines) + "\n\n")
    return folder / FILE


def test_an_engine_reports_every_flight_once_and_then_is_silent(tmp_path: Path) -> None:
    flights = read_flights(write_record(tmp_path, {1: 3}))[1]
    engine = Turbofan("mx", "E1", flights, begins_s=15.0)
    assert list(engine.step(0.0, frozenset())) == []
    said = [one for at in (15.0, 30.0, 45.0, 60.0) for one in engine.step(at, frozenset())]
    assert [topic for topic, _ in said] == ["hangars/mx/engines/E1"] * 3
    assert [payload["cycle"] for _, payload in said] == [1.0, 2.0, 3.0]
    assert (engine.flown, engine.left) == (3, 0)
    json.dumps(said)


def test_the_shipped_book_reads_what_an_engine_sends(tmp_path: Path) -> None:
    flights = read_flights(write_record(tmp_path, {1: 1}))[1]
    ((_, payload),) = Turbofan("mx", "E1", flights).step(0.0, frozenset())
    book = load_book(Path("rules.yaml")).rules
    assert set(payload) == {one.name for one in book.devices["turbofan"].fields}
    assert set(SENSORS) < set(payload)


def test_the_fleet_has_engines_where_the_record_is_and_none_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbofan, "PLACES", (tmp_path / "none",))
    assert demo_engines() == []
    without = len(demo_devices(1))
    write_record(tmp_path / "here", {1: 9, 2: 4, 3: 7, 4: 5})
    monkeypatch.setattr(turbofan, "PLACES", (tmp_path / "none", tmp_path / "here"))
    engines = demo_engines()
    assert [one.device for one in engines] == ["mx/E1", "mx/E2", "mx/E3"]
    assert [one.left for one in engines] == [4, 5, 7], "those that wear out first"
    assert len(demo_devices(1)) == without + 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no flights"),
        ("1 2 3\n", "3 columns, and not the 26 numbers"),
        ("x " * 26, ":1: "),
    ],
)
def test_what_is_no_record_is_said_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_flights(tmp_path / FILE)


def test_without_the_record_it_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbofan, "PLACES", (tmp_path / "none",))
    with pytest.raises(ConfigurationError, match=r"get NASA's C-MAPSS .* put that file into"):
        replay_engines("mqtt://127.0.0.1:1", None, [1], "mx", 0.0)


def test_engines_fly_side_by_side_over_mqtt(tmp_path: Path, broker: Broker) -> None:
    file = write_record(tmp_path, {1: 3, 2: 5})
    assert replay_engines(broker.url, file, [1, 2], "mx", 0.0) == 8
    with pytest.raises(ConfigurationError, match="has no engine 7: it has 1 to 2"):
        replay_engines(broker.url, file, [7], "mx", 0.0)
