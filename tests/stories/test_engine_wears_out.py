"""Use case 5: an engine wears out; its visit is planned, and its owner told, before its last flight."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlmodel import Session, select

from models import training
from models.base import History
from models.registry import Registry
from models.training import Model
from prevenant.labels import find_labels
from prevenant.tables import Alarm, ModelState
from prevenant.target import CYCLES, REMAINING_LIFE, Target
from simulators.turbofan import (
    FILE,
    SENSORS,
    Flight,
    Turbofan,
    find_records,
    read_flights,
)
from tests.servers import wait_until
from tests.trained import small_training
from tests.world import World
from workflows.tables import WorkOrder

ELENA, RAVI = "+33639980061", "+33639980060"
LEARNED = ["s4", "s11", "s12", "s15"]
FLOWN = 31
"""The engine that flies in the story; the model has never seen it."""

needs_records = pytest.mark.skipif(
    find_records() is None,
    reason=f"needs {FILE} of NASA's C-MAPSS Jet Engine Simulated Data in ../shared/data/cmapss",
)


@pytest.fixture(scope="module")
def flights() -> dict[int, list[Flight]]:
    folder = find_records()
    assert folder is not None
    return read_flights(folder / FILE)


@pytest.fixture(scope="module")
def model(flights: dict[int, list[Flight]]) -> Model:
    """Train a small model on a few engines and sensors, with few trees: a story needs no better one."""
    few = {unit: flights[unit] for unit in range(1, 9)}
    with small_training(trees=50):
        target = Target(REMAINING_LIFE, CYCLES)
        return training.train(history_of(few), name="engine", target=target, inputs=LEARNED)


def history_of(flights: Mapping[int, Sequence[Flight]]) -> History:
    """Return the records of engines that all flew until they failed."""
    rows = pd.DataFrame(
        [
            {"device": f"E{unit:03}", "at": one["cycle"], **{name: one[name] for name in SENSORS}}
            for unit, of_unit in flights.items()
            for one in of_unit
        ]
    )
    last = rows.groupby("device")["at"].max()
    failures = pd.DataFrame({"device": last.index, "failed_at": last.to_numpy()})
    return History(rows, failures, CYCLES)


def is_speaking(session: Session) -> ModelState | None:
    query = select(ModelState).where(ModelState.name == "engine", ModelState.state == "speaking")
    return session.exec(query).first()


def is_refused(session: Session) -> ModelState | None:
    query = select(ModelState).where(ModelState.refused != "", ModelState.state == "none")
    return session.exec(query).first()


@needs_records
def test_a_visit_is_planned_and_the_owner_told_before_the_last_flight(
    world: World, flights: dict[int, list[Flight]], model: Model
) -> None:
    Registry(world.engine.settings.models).save(model)
    world.expect(is_speaking, "the model that was trained meanwhile")
    engine = Turbofan("mx", "E1", flights[FLOWN])
    raised: Alarm | None = None
    while raised is None:
        fly(world, engine)
        raised = find_alarm(world)
    left = engine.left
    assert 5 < left < 60, f"it is noticed {left} flights before the end"
    elena = world.phone(ELENA).expects_sms(
        "Engine 1 has about", "flights left", "Reply 1 to take it"
    )
    elena.replies("1")
    elena.expects_sms("It is yours", "Bring compressor blades", "confirmed, no fault or other")
    ravi = world.phone(RAVI).expects_sms("Hello Ravi", "Engine 1 has about", "Elena comes")
    ravi.replies("1")
    world.expect_story("customer.confirmed", "Ravi Desai")
    assert engine.left == left > 0, "the engine still flies"
    said: dict[str, Any] = raised.values  # noqa: PD011  an alarm is no frame
    assert said["engine.parts"] == "compressor blades"
    assert said["engine.cause"] in LEARNED
    assert said["engine.why"]["en"] in world.carrier.sent_to(ELENA, "Messages")[0].body
    elena.replies("3 confirmed: blades worn")
    world.expect_case("engine-wears-out", state="closed")
    with world.engine.store.read() as session:
        (label,) = find_labels(session, "turbofan", "engine")
        order = session.exec(select(WorkOrder)).one()
    assert (label.device, label.code, order.cause) == ("mx/E1", "confirmed", "blades worn")


def fly(world: World, engine: Turbofan) -> None:
    """Report one flight."""
    for topic, payload in engine.step(0.0, frozenset()):
        world.publish(topic, **payload)
    world.clock.advance(minutes=1)


def find_alarm(world: World) -> Alarm | None:
    """Return the alarm, where one was raised so far: no flight is flown while it is being written."""
    wait_until(lambda: world.engine.host.unwritten == 0, "what was decided in the store")
    with world.engine.store.read() as session:
        return session.exec(select(Alarm).where(Alarm.rule == "engine-wears-out")).first()


@needs_records
def test_without_a_model_nothing_is_predicted_and_nobody_is_called(
    world: World, flights: dict[int, list[Flight]]
) -> None:
    engine = Turbofan("mx", "E1", flights[FLOWN][-20:])
    while engine.left:
        fly(world, engine)
    world.engine.auditor.audit(world.clock.now())
    with world.engine.store.read() as session:
        assert session.exec(select(Alarm)).all() == []
        (row,) = session.exec(select(ModelState))
    assert (row.state, row.version, row.refused) == ("none", 0, "")


@needs_records
def test_a_model_whose_files_are_damaged_is_out_the_operator_hears_of_it_and_it_is_back(
    world: World, model: Model
) -> None:
    folder: Path = world.engine.settings.models
    Registry(folder).save(model)
    world.expect(is_speaking, "the model")
    card = folder / "engine" / "v1" / "card.json"
    whole = card.read_bytes()
    card.write_bytes(whole[:-1] + b" ")
    damaged = world.expect(is_refused, "refusal")
    assert "v1 is damaged: card.json is not what was written" in damaged.refused
    assert (damaged.state, damaged.version) == ("none", 0)
    world.engine.auditor.audit(world.clock.now())
    world.clock.advance(minutes=1)
    world.phone("+33639980007").expects_sms("A model cannot be believed", "engine", "is damaged")
    card.write_bytes(whole)
    world.expect(is_speaking, "the model once its file is mended")
    world.engine.auditor.audit(world.clock.now())
    world.expect_story("audit.healed", "engine")
