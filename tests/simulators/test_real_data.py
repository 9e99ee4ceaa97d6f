"""Real telemetry through the shipped book: the office of NAB whose cooling failed."""

from pathlib import Path

import pandas as pd
import pytest
from sqlmodel import Session, select

from ingest.quarantine import Quarantined
from prevenant.tables import Alarm
from simulators.replay import replay_csv
from tests.world import World

DATA = Path(__file__).parents[3] / "shared" / "data" / "nab"
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
