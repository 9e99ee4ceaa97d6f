"""Each of several processes says for itself whether it can do its work, and what it measures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from prevenant.errors import ConfigurationError
from prevenant.store import Store
from simulators.broker import free_port
from simulators.mailbox import Mailbox
from tests.servers import Broker, wait_until
from tests.stories.test_several_processes import Site

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_PATIENCE_S = 60.0


@pytest.fixture
def site(tmp_path: Path, store: Store, broker: Broker, mailbox: Mailbox) -> Iterator[Site]:
    """Prepare a site; the test starts its processes."""
    site = Site(tmp_path, store, broker, mailbox)
    yield site
    site.end()


def start(site: Site, role: str) -> str:
    """Start a process with some roles; return where it is asked how it is."""
    address = f"127.0.0.1:{free_port()}"
    site.settings = {"PREVENANT_PROBES": address}
    process = site.start(role)
    said = f"Probes and metrics: http://{address}"
    wait_until(lambda: said in process.log.read_text("utf-8"), "its address")
    wait_until(lambda: ready(address)["status"] == 200, f"{role} ready", _PATIENCE_S)
    return address


def ready(address: str) -> dict[str, Any]:
    """Return what a process says of its readiness; a status of 0 where nothing answers."""
    try:
        answer = requests.get(f"http://{address}/readyz", timeout=30)
    except requests.RequestException:
        return {"status": 0}
    return {"status": answer.status_code, **answer.json()}


def measure(address: str) -> dict[str, set[str]]:
    """Return the names of what a process measures, each with the values of its labels."""
    text = requests.get(f"http://{address}/metrics", timeout=30).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels.values())
    return found


def test_each_process_answers_for_itself(site: Site, broker: Broker) -> None:
    engine = start(site, "listen,decide")
    worker = start(site, "route,engage")
    assert ready(engine)["roles"] == "listen, decide"
    assert ready(worker)["roles"] == "route, engage"

    of_engine, of_worker = measure(engine), measure(worker)
    assert {"decide", "audit", "probes"} <= of_engine["prevenant_part_up"]
    assert {"route", "engage", "probes"} <= of_worker["prevenant_part_up"]
    assert "prevenant_messages_decided_total" in of_engine
    assert "prevenant_messages_decided_total" not in of_worker
    assert "prevenant_cases_opened_total" in of_engine.keys() & of_worker.keys()

    broker.stop()
    away: list[str] = []

    def is_away() -> bool:
        said = ready(engine)
        away[:] = said.get("why_not", [])
        return bool(said["status"] == 503)

    wait_until(is_away, "word that the broker is away", _PATIENCE_S)
    (reason,) = away
    assert reason.endswith("is not heard: check PREVENANT_MQTT_URL")
    wait_until(lambda: ready(worker)["status"] == 200, "the other, which needs none", _PATIENCE_S)


def test_two_processes_cannot_be_asked_at_one_address(site: Site) -> None:
    address = start(site, "listen,decide")
    with pytest.raises(ConfigurationError) as refused:
        site.processes[0].run("run", "--role", "route")
    assert str(refused.value) == (
        f"cannot listen on {address}: Address already in use; "
        "stop what uses it, or set PREVENANT_PROBES to another address"
    )
