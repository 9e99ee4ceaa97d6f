"""Killed around every commit and hand-over: subscribers are told every line, in order, under one id."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.forked import ForkedRuns
from tests.faults.killed_teller import LINES, SECRET, TAG, prepare
from tests.subscriber import Endpoint, endpoint


class Tellers(ForkedRuns):
    """Processes that tell subscribers, and are killed."""

    def __init__(self, folder: Path, told: Endpoint) -> None:
        self.told = told
        module = "tests.faults.killed_teller"
        super().__init__(module, folder, lambda model: prepare(model, told.url))

    def fresh(self, name: str) -> Path:
        """Return a folder in which nothing has happened yet, for an endpoint that was told nothing."""
        self.told.given.clear()
        return super().fresh(name)


@pytest.fixture
def tellers(tmp_path: Path) -> Iterator[Tellers]:
    """Prepare processes to kill."""
    with endpoint() as told:
        told.secret = SECRET
        tellers = Tellers(tmp_path, told)
        yield tellers
        tellers.close()


def test_killed_at_any_moment_nothing_is_left_out_and_nothing_is_new_twice(
    tellers: Tellers,
) -> None:
    whole = tellers.fresh("whole")
    assert tellers.tell(whole) == 0, tellers.log()
    expected = [f"msg_{TAG}_story_{line}_0" for line in range(1, LINES + 1)]
    assert [one.number for one in tellers.told.given] == expected
    moments = (whole / "moments").read_text().split("\n")
    assert {"commit before", "commit after", "hand-over before", "hand-over after"} == set(moments)
    twice = 0
    for number, name in enumerate(moments):
        folder = tellers.fresh(f"killed-{number}")
        assert tellers.tell(folder, number) == 9
        assert tellers.tell(folder) == 0, tellers.log()
        heard = [one.number for one in tellers.told.given]
        sys.stdout.write(f"killed at {number}, {name}: {len(heard)} were given\n")
        assert list(dict.fromkeys(heard)) == expected
        assert len(heard) <= LINES + 1
        twice += len(heard) - LINES
        shutil.rmtree(folder)
    # Whoever was killed between hand-over and record cannot know: the id says that it is the same.
    assert twice > 0
    assert tellers.told.forged == 0
