"""Of several processes on one PostgreSQL, one reads a refused payload again: none is replayed twice."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from ingest.decode import Rejected
from ingest.mqtt import Frame
from ingest.quarantine import DUE, REPLAYED, Quarantined, ask_for_replay, quarantine
from prevenant.book import load_book
from prevenant.clock import from_epoch
from prevenant.errors import JournalError
from prevenant.store import Store
from prevenant.stream.replaying import QuarantineReplay
from tests.moved_clock import MovedClock
from tests.servers import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_COUNT = 450
_TOPIC = b"airport/t2/doors/D14"
RULES = load_book(Path("rules.yaml")).rules


def nowhere(_batch: int, _position: int) -> Frame | None:
    """Find no frame whole: what quarantine shows of it is all of it."""
    return None


def payload(number: int) -> bytes:
    return b'{"open": true, "battery": %d}' % number


def refuse(store: Store, count: int = _COUNT) -> None:
    """Let payloads be refused, each of a kind of its own, and asked for again."""
    with store.write() as session:
        for number in range(count):
            rejected = [Rejected(0, (_TOPIC, payload(number), 0), "the book did not know it")]
            quarantine(session, number, from_epoch(1_777_881_600.0), rejected)
        assert ask_for_replay(session, None) == count


@contextmanager
def listening(
    url: str, accept: Callable[[Sequence[Frame]], None], gone_s: float = 0.0
) -> Iterator[QuarantineReplay]:
    """Yield what reads payloads again in a process of its own, to the store."""
    store = Store(url)
    replay = QuarantineReplay(store, MovedClock(), RULES, accept, nowhere, gone_s)
    wait_until(lambda: store.hears_others, "the store's own connection")
    try:
        yield replay
    finally:
        store.close()


def states(store: Store) -> set[tuple[str, str]]:
    with store.read() as session:
        return {(one.state, one.claimed_by) for one in session.exec(select(Quarantined))}


def test_what_one_has_in_hand_is_no_others(store: Store) -> None:
    refuse(store, 3)
    first: list[Frame] = []
    second: list[Frame] = []
    in_hand, may_go_on = threading.Event(), threading.Event()

    def accept_slowly(frames: Sequence[Frame]) -> None:
        in_hand.set()
        assert may_go_on.wait(60)
        first.extend(frames)

    with (
        listening(store.url, accept_slowly) as slow,
        listening(store.url, second.extend) as other,
    ):
        thread = threading.Thread(target=slow._replay_some)
        thread.start()
        assert in_hand.wait(60)
        # While Kafka takes nothing, the first one waits: for as long as it lives, they are its own.
        assert [other._replay_some() for _ in range(3)] == [0, 0, 0]
        may_go_on.set()
        thread.join()
        assert other._replay_some() == 0
    assert (len(first), second) == (3, [])
    assert states(store) == {(REPLAYED, "")}


@pytest.mark.parametrize("seed", range(3))
def test_all_at_once_read_each_payload_once(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    refuse(store)
    taken: list[bytes] = []
    begin = threading.Barrier(3)

    def accept(frames: Sequence[Frame]) -> None:
        taken.extend(one[1] for one in frames)

    def work(replay: QuarantineReplay, most: int) -> None:
        begin.wait()
        for _ in range(most):
            replay._replay_some()

    with (
        listening(store.url, accept) as a,
        listening(store.url, accept) as b,
        listening(store.url, accept) as c,
    ):
        replays = [a, b, c]
        chance.shuffle(replays)
        threads = [
            threading.Thread(target=work, args=(one, chance.randint(1, 4))) for one in replays
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while a._replay_some():
            pass
    assert sorted(taken) == sorted(payload(number) for number in range(_COUNT))
    assert states(store) == {(REPLAYED, "")}


def test_what_a_process_left_that_has_gone_is_done_by_another(store: Store) -> None:
    refuse(store, 3)
    taken: list[Frame] = []

    def never(_frames: Sequence[Frame]) -> None:
        raise JournalError("nothing can be made durable")

    with listening(store.url, taken.extend) as other:
        with listening(store.url, never) as first:
            with pytest.raises(JournalError):
                first._replay_some()
            assert other._replay_some() == 0
            assert states(store) == {(DUE, first._store.name)}
        wait_until(lambda: other._replay_some() == 3, "the others' work")
    assert len(taken) == 3
    assert states(store) == {(REPLAYED, "")}


def test_who_is_unseen_for_a_moment_keeps_what_it_has(store: Store) -> None:
    refuse(store, 3)

    def never(_frames: Sequence[Frame]) -> None:
        raise JournalError("nothing can be made durable")

    with listening(store.url, never) as first, pytest.raises(JournalError):
        first._replay_some()
    with listening(store.url, lambda _frames: None, gone_s=3600.0) as other:
        # It may be about to connect again, as after a restart of PostgreSQL.
        assert [other._replay_some() for _ in range(3)] == [0, 0, 0]


def test_a_journal_of_another_process_is_not_taken_for_ours(store: Store) -> None:
    refuse(store, 1)
    taken: list[Frame] = []
    with listening(store.url, taken.extend) as replay:
        replay._find = lambda _batch, _position: (_TOPIC, payload(99), 0)
        assert replay._replay_some() == 1
    assert [one[1] for one in taken] == [payload(0)]
