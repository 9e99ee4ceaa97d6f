"""Who listens and who decides on Kafka is ready while it can, and says why not while it cannot.

One world lives through all of it: without a broker, without Kafka, with partitions that another has taken
over, and with a Faust that has crashed.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from prevenant.on_kafka import Deciding, make_process_on_kafka
from prevenant.roles import DECIDE, LISTEN
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.partition_rows import take_over
from prevenant.worker import Worker
from tests.kafka.server import Kafka, running_kafka
from tests.servers import Broker, wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_PATIENCE_S = 90.0


class World:
    """A process that decides and one that listens, each with its probes."""

    def __init__(self, folder: Path, database_url: str, broker: Broker, kafka: Kafka) -> None:
        self.kafka, self.broker = kafka, broker
        settings = Settings(
            mqtt_url=broker.url,
            database_url=database_url,
            models=folder / "models",
            kafka_url=kafka.url,
            kafka_partitions="2",
            probes="127.0.0.1:0",
        )
        self.processes = {
            role: make_process_on_kafka(settings, frozenset({role})) for role in (DECIDE, LISTEN)
        }

    def ask(self, role: str) -> tuple[int, list[str]]:
        """Return what a process answers about its readiness, and why."""
        probes = self.processes[role].probes
        assert probes is not None
        answer = requests.get(f"{probes.address}/readyz", timeout=30)
        said: dict[str, Any] = answer.json()
        assert said["roles"] == role
        return answer.status_code, said["why_not"]

    def expect_ready(self, *roles: str) -> None:
        """Wait until processes are ready."""
        for role in roles:
            wait_until(lambda role=role: self.ask(role) == (200, []), f"{role} ready", _PATIENCE_S)

    def expect_reason(self, role: str, is_it: Callable[[str], bool], what: str) -> None:
        """Wait until a process is not ready for some reason."""

        def says() -> bool:
            status, reasons = self.ask(role)
            return status == 503 and any(is_it(one) for one in reasons)

        wait_until(says, what, _PATIENCE_S)

    @property
    def deciding(self) -> Deciding:
        """What decides."""
        found = self.processes[DECIDE].find(Deciding)
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path, store: Store, broker: Broker) -> Iterator[World]:
    """Run both processes."""
    with ExitStack() as stack:
        kafka = stack.enter_context(running_kafka(tmp_path / "kafka"))
        world = World(tmp_path, store.url, broker, kafka)
        for process in world.processes.values():
            stack.callback(_end, process)
            process.start()
        yield world


def _end(process: Worker) -> None:
    process.stop()
    process.store.close()


def test_whoever_cannot_do_its_work_says_why(world: World) -> None:
    world.expect_ready(DECIDE, LISTEN)

    world.broker.stop()
    world.expect_reason(LISTEN, lambda one: one.endswith("PREVENANT_MQTT_URL"), "no broker")
    world.expect_ready(DECIDE)
    world.broker.start()
    world.expect_ready(LISTEN)

    # Another process takes a partition over, of which Kafka knows nothing.
    with world.deciding.host._around.store.write() as session:
        take_over(session, "prevenant", 1, "another")
    world.expect_reason(
        DECIDE,
        lambda one: one == "partitions that are ours are not decided: 1",
        "the loss of a partition",
    )
    world.expect_ready(LISTEN)

    world.kafka.kill()
    away = (
        f"Kafka at {world.kafka.servers} does not answer: check PREVENANT_KAFKA_URL and the brokers"
    )
    for role in (DECIDE, LISTEN):
        world.expect_reason(role, lambda one: one == away, f"no Kafka for {role}")
    world.kafka.start()
    # The partitions are dealt out anew, and what was lost is taken up again.
    world.expect_ready(DECIDE, LISTEN)


def test_a_process_whose_faust_has_crashed_is_not_ready(world: World) -> None:
    world.expect_ready(DECIDE)
    app = world.deciding.host._app
    assert app is not None
    asyncio.run_coroutine_threadsafe(app.crash(RuntimeError("a child has failed")), app.loop)
    world.expect_reason(
        DECIDE, lambda one: one == "Faust has crashed, so the process ends", "word of the crash"
    )
    process = world.processes[DECIDE]
    wait_until(process.ended.is_set, "end of the process", _PATIENCE_S)
    assert process.failed
    assert world.ask(DECIDE)[0] == 503
