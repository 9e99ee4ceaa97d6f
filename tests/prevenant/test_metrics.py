"""`/metrics`: what Prometheus reads, by its own parser; every name is documented, no person is named."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import select

from prevenant.api import metrics
from prevenant.crm.tables import Contact
from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from tests.world import World

NADIA = "+33639980001"


def read(world: World) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    headers = {"Authorization": "Bearer admin"}
    answer = requests.get(f"{world.engine.address}/metrics", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"prevenant_{name}", frozenset(labels.items())


def test_numbers_follow_what_happens(world: World) -> None:
    before = read(world)
    assert before[of("store_up")] == 1
    assert before[of("alarms_raised_total")] == 0
    assert before[of("messages_decided_total")] == 0
    assert before[of("part_up", part="decide")] == 1
    assert [key for key in before if key[0] == "prevenant_broker_connected"]
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    after = read(world)
    assert after[of("alarms", severity="life_safety", state="active")] == 1
    assert after[of("alarms_raised_total")] == 1
    assert after[of("cases", severity="life_safety", state="open")] == 1
    assert after[of("cases_opened_total")] == 1
    assert after[of("messages_decided_total")] == 1
    assert after[of("messages_queued_total")] >= 1
    assert after[of("journal_bytes")] > 0
    assert "process_cpu_seconds_total" in {name for name, _ in after}


def test_every_name_is_documented_and_none_is_a_persons(world: World) -> None:
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    text = Path("docs/operating.md").read_text("utf-8")
    ours = {name for name, _ in read(world) if name.startswith("prevenant_")}
    assert {"prevenant_info", "prevenant_audit_lost"} & ours
    assert [name for name in ours if f"`{name}`" not in text] == []
    with world.engine.store.read() as session:
        names = session.exec(select(Contact.name)).all()
    labels = {value for _, labels in read(world) for _, value in labels}
    assert not labels & set(names)
    assert not any(value.startswith("+33") for value in labels)


def test_a_database_that_is_away_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> Iterator[None]:
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(metrics, "_of_store", away)
    found = read(world)
    assert found[of("store_up")] == 0
    assert found[of("part_up", part="decide")] == 1
    assert of("alarms_raised_total") not in found


def test_a_token_is_needed(world: World) -> None:
    assert requests.get(f"{world.engine.address}/metrics", timeout=60).status_code == 401


def test_the_same_is_read_of_either_store(store: Store) -> None:
    with store.read() as session:
        names = [one.name for one in metrics._of_store(session, datetime.now(UTC))]
    assert "prevenant_cases" in names
    assert len(names) == len(set(names))
