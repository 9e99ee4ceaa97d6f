"""Killed at any moment between the reading and the last message, started again: each message once."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.faults.killed_engine import MOMENTS
from tests.nursery import ForkedEngine
from tests.servers import Broker, wait_until
from tests.world import DEMO_DATA

EXPECTED = 10
"""Two guards and three responders, each by text and by call."""


@pytest.fixture
def real_carrier() -> Iterator[Carrier]:
    """Run a carrier on the machine's own time, as the engine's process has it."""
    carrier = Carrier().start()
    yield carrier
    carrier.stop()


@pytest.fixture
def engine(
    tmp_path: Path, broker: Broker, real_carrier: Carrier, mailbox: Mailbox
) -> Iterator[EngineProcess]:
    """Prepare an engine process with the demo's people; the test starts it."""
    # However long the machine takes to start an engine, nobody else is asked meanwhile.
    book, text = tmp_path / "rules.yaml", Path("rules.yaml").read_text("utf-8")
    assert "offer: 60s" in text
    book.write_text(text.replace("offer: 60s", "offer: 1h"), "utf-8")
    engine = ForkedEngine(
        tmp_path / "engine",
        book,
        broker.url,
        real_carrier,
        mailbox,
        free_port(),
        "admin",
    )
    engine.run("crm", "import", str(DEMO_DATA))
    yield engine
    engine.kill()


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_message_comes_exactly_once(
    moment: str, engine: EngineProcess, broker: Broker, real_carrier: Carrier
) -> None:
    engine.start(["-m", "tests.faults.killed_engine", moment])
    wait_until(lambda: _subscribed(engine), "subscription")
    _publish(broker.url, in_cabinet=False)
    wait_until(lambda: not engine.is_running(), f"death: {moment}")
    assert engine.process is not None
    assert engine.process.returncode == -9

    engine.start()
    engine.wait_until_ready()

    wait_until(lambda: len(real_carrier.sent) >= EXPECTED, "every message")
    _publish(broker.url, in_cabinet=True)
    wait_until(lambda: _is_closed(engine), "end of the case")
    sent = Counter((one.kind, one.to) for one in real_carrier.sent)
    assert len(sent) == EXPECTED
    assert set(sent.values()) == {1}, sent


def _subscribed(engine: EngineProcess) -> bool:
    """Return whether the broker has our session: then it keeps what we miss."""
    try:
        return requests.get(f"{engine.url}/readyz", timeout=10).ok
    except requests.RequestException:
        return False


def _is_closed(engine: EngineProcess) -> bool:
    answer = requests.get(
        f"{engine.url}/api/v1/alarms", headers={"Authorization": "Bearer admin"}, timeout=30
    )
    return [alarm["state"] for alarm in answer.json()] == ["cleared"]


def _publish(url: str, **values: object) -> None:
    client = connect(url)
    payload = json.dumps({"battery": 90.0, **values})
    client.publish("airport/t2/defibrillators/A2", payload, qos=1).wait_for_publish(60)
    take_leave(client)
