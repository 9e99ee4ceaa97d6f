"""However large batches are, what waits to be decided is bounded, and keeps its order."""

import queue

from hypothesis import given
from hypothesis import strategies as st

from ingest.journal_file import Batch
from prevenant.stream.waiting import LEAST, MOST_FRAMES, Waiting

LARGEST = 8_000
FRAME = (b"a/b", b"1", 0)


def batch(number: int, size: int) -> Batch:
    return Batch(number, 0.0, 0.0, [FRAME] * size)


@given(st.lists(st.one_of(st.none(), st.integers(1, LARGEST)), max_size=60))
def test_never_more_waits_than_the_limit_and_one_batch(moves: list[int | None]) -> None:
    waiting: Waiting[Batch] = Waiting()
    expected: list[Batch] = []
    for number, size in enumerate(moves):
        if size is None:
            if expected:
                assert waiting.get_nowait() is expected.pop(0)
            assert waiting.empty() == (not expected)
            continue
        one, is_full = batch(number, size), waiting.full()
        try:
            waiting.put_nowait(one)
        except queue.Full:
            assert is_full
        else:
            assert not is_full
            expected.append(one)
        assert sum(len(each.frames) for each in expected) < MOST_FRAMES + LARGEST
    for one in expected:
        assert waiting.get_nowait() is one
    assert waiting.empty()


def test_small_batches_wait_in_a_bounded_number_too() -> None:
    waiting: Waiting[Batch | None] = Waiting()
    count = 0
    while not waiting.full():
        waiting.put_nowait(batch(count, 1) if count % 2 else None)
        count += 1
    assert count == MOST_FRAMES // LEAST
