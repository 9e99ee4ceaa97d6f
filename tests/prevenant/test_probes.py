"""A process without the console answers probes and Prometheus at an address of its own, no more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from prevenant.errors import SettingsError
from prevenant.health import ENDING, RUNNING, STARTING, Health, find_reasons
from prevenant.parts import Parts
from prevenant.probes import Probes, bind_for
from prevenant.roles import ALL, CONSOLE, ENGAGE, LISTEN, ROUTE
from prevenant.setting_forms import check_probes
from prevenant.settings import Settings
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until

WORKER = frozenset({ROUTE, ENGAGE})
BEGAN = datetime(2026, 5, 4, 8, tzinfo=UTC)
AWAY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@dataclass
class Process:
    """A process that a test says how it is."""

    health: Health = field(default_factory=lambda: Health("listen", BEGAN))
    troubles: list[str] = field(default_factory=list)

    def describe(self) -> Health:
        return self.health

    def find_troubles(self) -> list[str]:
        return self.troubles


@contextmanager
def probed(store: Store, process: Process) -> Iterator[str]:
    """Serve the probes of a process; yield where."""
    listener = bind_for(Settings(probes="127.0.0.1:0"), WORKER)
    assert listener is not None
    probes = Probes(listener, store, MovedClock(), process)
    thread = threading.Thread(target=probes.run)
    thread.start()
    wait_until(lambda: probes.started, "probes")
    yield probes.address
    probes.stop()
    thread.join()
    listener.close()


def ready(address: str) -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{address}/readyz", timeout=60)
    return answer.status_code, answer.json()


def test_three_paths_are_answered_and_no_other(store: Store) -> None:
    with probed(store, Process()) as address:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert requests.get(address + path, timeout=60).status_code == 200
            assert requests.post(address + path, timeout=60).status_code == 405
        for path in ("/healthz", "/readyz"):
            head = requests.head(address + path, timeout=60)
            assert (head.status_code, head.content) == (200, b"")
        others = ("/", "/login", "/docs", "/openapi.json", "/api/v1/openapi.json", "/api/v1/alarms")
        for path in (*others, "/webhooks/twilio/sms", "/static/console.css", "/metrics/x"):
            assert requests.get(address + path, timeout=60).status_code == 404


def test_a_process_that_can_do_its_work_is_ready(store: Store) -> None:
    with probed(store, Process()) as address:
        assert ready(address) == (
            200,
            {
                "roles": "listen",
                "store": True,
                "broker": True,
                "missing": [],
                "lost": None,
                "why_not": [],
            },
        )


def test_what_keeps_it_from_its_work_is_said(store: Store) -> None:
    brokers = {"mqtt://a:1883": True, "mqtt://b:1883": False}
    health = Health("listen, decide", BEGAN, brokers=brokers, lost=2)
    process = Process(health, ["the journal cannot be written", "the journal cannot be written"])
    with probed(store, process) as address:
        status, said = ready(address)
        assert (status, said["broker"], said["missing"]) == (503, False, ["mqtt://b:1883"])
        assert said["lost"] == 2
        assert said["why_not"] == [
            "the broker mqtt://b:1883 is not heard: check PREVENANT_MQTT_URL",
            "the journal cannot be written",
        ]
        process.troubles.clear()
        process.health = Health("listen, decide", BEGAN, brokers={"mqtt://b:1883": True}, lost=2)
        assert ready(address)[0] == 200


@pytest.mark.parametrize("database_url", [AWAY])
def test_without_its_store_it_lives_and_is_measured_and_is_not_ready(database_url: str) -> None:
    store = Store(database_url)
    with probed(store, Process(Health("route", BEGAN, {"route": True}))) as address:
        status, said = ready(address)
        assert (status, said["store"]) == (503, False)
        assert said["why_not"] == ["the store does not answer: check PREVENANT_DATABASE_URL"]
        assert requests.get(f"{address}/healthz", timeout=60).json() == {"status": "alive"}
        answer = requests.get(f"{address}/metrics", timeout=60)
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        assert found["prevenant_store_up"] == 0
        assert found["prevenant_part_up"] == 1
    store.close()


@pytest.mark.parametrize("state", [STARTING, ENDING])
def test_it_is_not_ready_while_it_starts_or_ends(state: str) -> None:
    health = Health("route", BEGAN, {"route": True, "book": False}, state=state)
    assert find_reasons(health, [], has_store=True) == [
        f"the process is {state}",
        "the part book has ended",
    ]
    assert find_reasons(Health("route", BEGAN, {"route": True}), [], has_store=True) == []


def test_parts_say_in_which_state_a_process_is() -> None:
    parts, told = Parts(), threading.Event()
    assert parts.state == STARTING

    def work() -> None:
        told.wait(60)

    parts.start("one", work)
    assert parts.state == STARTING
    parts.all_started()
    assert parts.state == RUNNING
    told.set()
    wait_until(lambda: parts.state == ENDING, "end of a part")


def test_a_process_is_asked_at_one_address() -> None:
    both = Settings(http="127.0.0.1:0", probes="192.0.2.1:1")
    for roles in (ALL, frozenset({CONSOLE})):
        with_console = bind_for(both, roles)
        assert with_console is not None
        with_console.close()
    assert bind_for(Settings(), frozenset({LISTEN})) is None


def test_an_address_that_cannot_be_had_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingsError) as refused:
            bind_for(Settings(probes=address), WORKER)
    assert str(refused.value) == (
        f"cannot listen on {address}: Address already in use; "
        "stop what uses it, or set PREVENANT_PROBES to another address"
    )


def test_an_address_is_judged_with_the_other_settings() -> None:
    assert check_probes("") == ""
    assert check_probes("[::1]:9110") == "[::1]:9110"
    with pytest.raises(ValueError, match="write HOST:PORT"):
        check_probes("9110")
