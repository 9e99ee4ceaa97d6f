"""Real telemetry: the office of NAB whose cooling failed, through the shipped book; other records."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlmodel import Session, select

from ingest.quarantine import Quarantined
from prevenant.book import load_book
from prevenant.tables import Alarm
from simulators.fleet import connect, take_leave
from simulators.replay import replay_csv
from tests.servers import Broker, wait_until
from tests.world import World

RECORDS = Path(__file__).parents[3] / "shared" / "data"
DATA = RECORDS / "nab"
FILE = DATA / "ambient_temperature_system_failure.csv"

needs_data = pytest.mark.skipif(
    not FILE.is_file(),
    reason="needs ambient_temperature_system_failure.csv of github.com/numenta/NAB (MIT), "
    "folder data/realKnownCause, under ../shared/data/nab",
)


@needs_data
def test_an_office_that_grows_too_warm_is_noticed(world: World) -> None:
    record = pd.read_csv(FILE)
    celsius = (record["value"] - 32) / 1.8
    too_warm = ((celsius > 26) | (celsius < 17)).sum()
    assert too_warm > 100, "the record is the one that this test is about"
    rows = 400
    thermometer = world.engine.book.rules.devices["thermometer"]
    published = replay_csv(
        world.broker.url,
        FILE,
        thermometer,
        "t2/T1",
        ["temperature=value:fahrenheit"],
        "timestamp",
        1e9,
        rows,
    )
    assert published == rows
    world.expect(lambda _: world.engine.host.frames >= rows, "decision on every row")
    with world.engine.store.read() as session:
        assert session.exec(select(Quarantined)).all() == []


@needs_data
def test_five_minutes_above_the_band_raise_on_the_records_own_rhythm(world: World) -> None:
    record = pd.read_csv(FILE)
    celsius = ((record["value"] - 32) / 1.8).tolist()
    start = next(i for i, value in enumerate(celsius) if value > 26)
    for value in celsius[start - 3 : start + 1]:
        world.publish("airport/t2/thermometers/T1", temperature=round(value, 2))
        world.clock.advance(hours=1)

    def alarm(session: Session) -> Alarm | None:
        return session.exec(select(Alarm).where(Alarm.rule == "terminal-temperature")).first()

    found = world.expect(alarm, "alarm")
    values: dict[str, float] = found.values  # noqa: PD011  an alarm is no frame
    assert values["temperature"] == pytest.approx(celsius[start], abs=0.01)
    assert "holds for 5m" in found.reason


BOOK = """devices:
  server:
    topic: servers/{site}/{device}
    fields: {value: number}
  mill:
    topic: mills/{device}
    fields: {kind: string, air: celsius, torque: number}
"""


@pytest.mark.parametrize(
    ("record", "kind", "device", "fields"),
    [
        ("nab/ec2_cpu_utilization_24ae8d.csv", "server", "cloud/1", []),
        ("nab/elb_request_count_8c0756.csv", "server", "cloud/2", ["value=value"]),
        (
            "ai4i/ai4i2020.csv",
            "mill",
            "M1",
            ["kind=Type", "air=Air temperature [K]:kelvin", "torque=Torque [Nm]"],
        ),
    ],
)
def test_every_row_is_published_as_it_was_recorded(
    tmp_path: Path, broker: Broker, record: str, kind: str, device: str, fields: list[str]
) -> None:
    file = RECORDS / record
    if not file.is_file():
        pytest.skip(f"needs ../shared/data/{record}")
    (tmp_path / "book.yaml").write_text(BOOK)
    types = load_book(tmp_path / "book.yaml").rules.devices
    heard: list[dict[str, Any]] = []
    listener = connect(broker.url)
    listener.on_message = lambda _client, _data, message: heard.append(json.loads(message.payload))
    subscribed: list[object] = []
    listener.on_subscribe = lambda *_: subscribed.append(1)
    listener.subscribe("#", qos=1)
    wait_until(lambda: subscribed, "subscription")

    assert replay_csv(broker.url, file, types[kind], device, fields, None, 1e9, 300) == 300

    wait_until(lambda: len(heard) == 300, "every row")
    take_leave(listener)
    rows = pd.read_csv(file).head(300)
    if kind == "server":
        assert [one["value"] for one in heard] == rows["value"].tolist()
    else:
        assert [one["kind"] for one in heard] == rows["Type"].tolist()
        assert [one["air"] for one in heard] == (rows["Air temperature [K]"] - 273.15).tolist()
