"""The disk is full: nothing is acknowledged, nothing is lost, and it goes on when there is space again."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlmodel import func, select

from ingest.journal_file import Batch
from prevenant.tables import Alarm
from tests.servers import wait_until
from tests.world import World

DOOR = "airport/t2/doors/D14"
MESSAGES = 40


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_is_lost_while_journal_and_store_cannot_be_written(world: World) -> None:
    world.publish(DOOR, open=False, battery=88.0)
    host, client = world.engine.host, world._client
    with full_disk():
        for number in range(MESSAGES):
            payload = json.dumps({"open": True, "battery": 88.0, "badge": str(number)})
            client.publish(DOOR, payload, qos=1).wait_for_publish(60)
        wait_until(host.is_refused, "refusal of the journal")
        assert host.frames == 1
        assert world.engine.ended.is_set() is False
    journal = world.engine._journal

    def badges() -> list[str]:
        """Return what was said, once; what was not acknowledged comes again, and may stand twice."""
        found = [
            json.loads(payload)["badge"]
            for batch in journal.read(1)
            if isinstance(batch, Batch)
            for _, payload, _ in batch.frames
        ]
        return list(dict.fromkeys(found))

    wait_until(lambda: len(badges()) == MESSAGES, "the rest")
    wait_until(lambda: host.frames > MESSAGES and not host.behind, "decision on it")
    world.clock.advance(seconds=60)
    world.expect_case("door-held-open", state="open")
    assert badges() == [str(number) for number in range(MESSAGES)]
    with world.engine.store.read() as session:
        query = select(func.count()).where(Alarm.rule == "door-held-open")
        assert session.exec(query).one() == 1
