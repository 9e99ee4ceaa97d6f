"""Rows of tables: filled once, with defaults of their own; what changes of them is written."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import select

from prevenant.store import Store
from prevenant.tables import Alarm

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _alarm(device: str) -> Alarm:
    return Alarm(
        rule="hot",
        device_type="door",
        site_id="t2",
        device_id=device,
        severity=3,
        onset_at=_AT,
        raised_at=_AT,
        reason="it is",
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/p.db")
    made.upgrade()
    yield made
    made.close()


def test_rows_share_no_default() -> None:
    one, other = _alarm("t2/a"), _alarm("t2/b")
    one.trace.append({"condition": "hot"})
    one.values["hot"] = True
    assert (other.trace, other.values) == ([], {})


def test_a_row_is_written_as_it_was_filled(store: Store) -> None:
    with store.write() as session:
        session.add(_alarm("t2/a"))
    with store.read() as session:
        found = session.exec(select(Alarm)).one()
    filled = _alarm("t2/a").model_dump(exclude={"id"})
    assert {name: getattr(found, name) for name in filled} == filled
    assert (found.id, found.cleared_at) == (1, None)


def test_what_changes_is_written(store: Store) -> None:
    with store.write() as session:
        alarm = _alarm("t2/a")
        session.add(alarm)
        session.flush()
        alarm.reason = "it was"
    with store.write() as session:
        session.exec(select(Alarm)).one().held_by = "shelved"
    with store.read() as session:
        found = session.exec(select(Alarm)).one()
    assert (found.reason, found.held_by) == ("it was", "shelved")


def test_a_column_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="Alarm has no colour"):
        Alarm(colour="red")  # type: ignore[call-arg]  # that is what is tried
