"""A device's readings page by page: each once, the newest first, whatever else is in the journal."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.history_pages import Arrived, Found, read_page
from ingest.journal import Journal
from prevenant.domain import DeviceType, FieldType
from prevenant.errors import ConfigurationError, JournalError
from tests.ingest.test_history import NOW, TYPE, frame

ALWAYS = Arrived(0.0, float("inf"))


def read_all(
    path: Path, arrived: Arrived, limit: int, most: int = 100_000
) -> tuple[list[float], int]:
    """Return every temperature that T1 said, from page to page, and how many pages there were."""
    said: list[float] = []
    pages, before = 0, None
    while True:
        found: Found = read_page(path, TYPE, "t2/T1", arrived, limit, before, most)
        said += [reading.values.temperature for _, reading in found.readings]
        pages += 1
        assert len(found.readings) <= limit
        if found.following is None:
            return said, pages
        assert before is None or (found.following.seq, found.following.position) < (
            before.seq,
            before.position,
        )
        before = found.following


@given(
    sizes=st.lists(st.integers(0, 4), max_size=90),
    limit=st.integers(1, 7),
    most=st.sampled_from([1, 50, 100_000]),
    window=st.tuples(st.integers(-2, 92), st.integers(-2, 92)),
    seed=st.integers(0, 99),
)
def test_each_reading_is_on_one_page(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    limit: int,
    most: int,
    window: tuple[int, int],
    seed: int,
) -> None:
    noise = random.Random(seed)
    path = tmp_path_factory.mktemp("pages") / "journal.db"
    journal = Journal(path)
    expected = []
    number = 0.0
    for at, size in enumerate(sizes):
        frames = []
        for _ in range(size):
            number += 1.0
            frames.append(frame("T1", number))
            frames += [frame("T2", 99.0)] * noise.randrange(3)
            if min(window) <= at < max(window):
                expected.append(number)
        if frames:
            journal.append(frames, NOW + at)
        else:
            journal.append([frame("T2", 99.0)], NOW + at)
    journal.close()
    arrived = Arrived(NOW + min(window), NOW + max(window))
    said, _ = read_all(path, arrived, limit, most)
    assert said == expected[::-1]


def test_batches_that_left_leave_no_gap_in_the_pages(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    for number in range(300):
        journal.append([frame("T1", float(number))], NOW + number)
    journal._writer.execute("DELETE FROM batch WHERE seq BETWEEN 40 AND 200")
    journal.close()
    said, _ = read_all(path, ALWAYS, 50)
    assert said == [float(one) for one in (*range(299, 199, -1), *range(38, -1, -1))]


def test_what_cannot_be_read_backwards_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal(path).close()
    assert read_page(path, TYPE, "t2/T1", ALWAYS, 5) == Found([], None)
    sparkplug = DeviceType("line", "", (FieldType("speed", float),), format="sparkplug")
    with pytest.raises(ConfigurationError, match="curves"):
        read_page(path, sparkplug, "t2/T1", ALWAYS, 5)
    with pytest.raises(JournalError):
        read_page(tmp_path / "none.db", TYPE, "t2/T1", ALWAYS, 5)
