"""What the broker has kept is a device's state, not news: it raises nothing twice."""

import json
from typing import Any

import pytest
from sqlmodel import select

from prevenant.app import Engine
from prevenant.tables import Alarm
from tests.servers import wait_until
from tests.world import World, end

TOPIC, RULE = "airport/t2/defibrillators/A2", "defibrillator-removed"


def retain(world: World, **values: Any) -> None:
    payload = json.dumps({"battery": 90.0, **values})
    world._client.publish(TOPIC, payload, qos=1, retain=True).wait_for_publish(60)


def alarms(world: World) -> list[Alarm]:
    with world.engine.store.read() as session:
        return list(session.exec(select(Alarm).where(Alarm.rule == RULE)))


def restart(world: World, client_id: str = "prevenant") -> None:
    """Start the engine again, perhaps under a name that gives it a new subscription."""
    end(world.engine)
    settings = world.engine.settings.model_copy(
        update={"mqtt_url": f"{world.broker.url}?client_id={client_id}"}
    )
    world.engine = Engine(settings, world.clock)
    world.engine.start()
    wait_until(world.engine.listening.is_set, "subscription")


def settle(world: World) -> None:
    """Let everything that the broker has kept arrive."""
    world._published = world.engine.host.frames
    world.publish("airport/t2/thermometers/T1", temperature=22.0)


@pytest.mark.parametrize("client_id", ["prevenant", "another"], ids=["same session", "new session"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_raises_nothing_twice_after_a_restart(world: World, client_id: str) -> None:
    retain(world, in_cabinet=False)
    world.phone("+33639980001").expects_sms("URGENCE")
    world.publish(TOPIC, in_cabinet=True, battery=90.0)
    world.expect(lambda _: [one.state for one in alarms(world)] == ["cleared"], "end of the alarm")
    restart(world, client_id)
    settle(world)
    assert [one.state for one in alarms(world)] == ["cleared"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_the_state_of_a_device_that_was_never_heard(world: World) -> None:
    end(world.engine)
    retain(world, in_cabinet=False)
    world.engine = Engine(
        world.engine.settings.model_copy(
            update={
                "journal": world.engine.settings.journal.with_name("new.db"),
                "mqtt_url": f"{world.broker.url}?client_id=new",
            }
        ),
        world.clock,
    )
    world.engine.start()
    world.phone("+33639980001").expects_sms("URGENCE")
    assert len(alarms(world)) == 1
