"""The device registry's rows: what a reading that the broker had kept says, and what not."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from ingest.decode import Decoder
from ingest.mqtt import RETAINED
from ingest.registry import HeardDevice, Registry
from prevenant.cli import app
from prevenant.clock import from_epoch
from prevenant.domain import DeviceType, FieldType
from prevenant.store import Store

DOOR = DeviceType("door", "a/{site}/doors/{device}", (FieldType("open", bool),), silent_after_s=60)
BEGIN = 1_800_000_000.0


class Listed:
    """A registry whose batches are written at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.registry = store, Registry({"door": DOOR})
        self.decoder = Decoder([DOOR])

    def hear(self, at: float, *, retained: bool = False) -> HeardDevice:
        frame = (b"a/s/doors/d", b'{"open": true}', RETAINED if retained else 0)
        self.registry.note(self.decoder.decode_batch([frame], at).readings)
        with self.store.write() as session:
            self.registry.write(session, lambda _type, _id: None, 50)
        self.registry.written()
        with self.store.read() as session:
            row = session.get(HeardDevice, "s/d")
            assert row is not None
            return row


@pytest.fixture
def listed(sqlite_url: str) -> Iterator[Listed]:
    store = Store(sqlite_url)
    yield Listed(store)
    store.close()


def test_a_retained_reading_is_no_sign_of_life(listed: Listed) -> None:
    assert listed.hear(BEGIN).last_seen_at == from_epoch(BEGIN)
    again = listed.hear(BEGIN + 90, retained=True)
    assert again.last_seen_at == from_epoch(BEGIN)
    assert again.state_at(from_epoch(BEGIN + 91)) == "silent"
    assert listed.hear(BEGIN + 100).state_at(from_epoch(BEGIN + 101)) == "online"


def test_a_device_of_which_only_a_kept_reading_is_known_falls_silent_too(listed: Listed) -> None:
    first = listed.hear(BEGIN, retained=True)
    assert first.last_seen_at == datetime.fromtimestamp(BEGIN, UTC)
    assert first.state_at(from_epoch(BEGIN + 61)) == "silent"


def test_offline_devices_are_listed_though_others_come_before_them(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = listed.hear(BEGIN)
    with listed.store.write() as session:
        for number in range(9):
            online = number != 7
            more = {"id": f"s/e{number}", "is_online": online, "silent_after_s": 0.0}
            session.add(HeardDevice(**(row.model_dump() | more)))
    monkeypatch.setenv("PREVENANT_DATABASE_URL", listed.store.url)
    told = CliRunner().invoke(app, ["devices", "list", "--offline", "--limit", "1", "--json"])
    assert [one["id"] for one in json.loads(told.output)] == ["s/e7"]
