"""Killed before and after the effect of every kind of step, commit and hand-over: everything once."""

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from tests.faults.forked import ForkedRuns
from tests.faults.routing_story import KINDS, Story, check, messages, prepare, read_workflows
from workflows.definition import Workflow, locate
from workflows.tables import OPEN, Case

SEED = int(os.environ.get("PREVENANT_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
_AT_RANDOM = 12


@pytest.fixture
def killers(tmp_path: Path) -> Iterator[ForkedRuns]:
    """Prepare processes to kill."""
    killers = ForkedRuns("tests.faults.killed_worker", tmp_path, prepare)
    yield killers
    killers.close()


def _whole(killers: ForkedRuns) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Tell the story undisturbed; return its messages and its moments."""
    folder = killers.fresh("whole")
    assert killers.tell(folder) == 0, killers.log()
    expected = messages(folder)
    check(folder, expected)
    return expected, (folder / "moments").read_text().split("\n")


def _chosen(moments: list[str]) -> list[int]:
    """Return the first and the last moment of each name, and some more at random."""
    first = {name: number for number, name in reversed(list(enumerate(moments)))}
    last = {name: number for number, name in enumerate(moments) if "commit" in name}
    noise = random.Random(SEED).sample(range(len(moments)), _AT_RANDOM)
    return sorted({*first.values(), *last.values(), *noise})


@pytest.mark.timeout(1_800)
def test_killed_around_every_effect(killers: ForkedRuns) -> None:
    sys.stdout.write(f"PREVENANT_TEST_SEED={SEED}\n")
    expected, moments = _whole(killers)
    begun = {name.split()[1] for name in moments if name.startswith("begin")}
    missing = {kind.__name__ for kind in KINDS} - begun
    assert not missing, f"the story never comes to these kinds of steps: {missing}"
    for number in _chosen(moments):
        sys.stdout.write(f"killed at {number}: {moments[number]}\n")
        folder = killers.fresh(f"killed-{number}")
        assert killers.tell(folder, number) == 9
        assert killers.tell(folder) == 0, killers.log()
        check(folder, expected)
        shutil.rmtree(folder)


def test_a_workflow_is_published_that_lacks_the_step_in_which_cases_wait(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    prepare(model)
    whole = _tell_publishing(Path(shutil.copytree(model, tmp_path / "whole")), at=-1)
    waited = set()
    for at in range(1, whole.idle + 1):
        folder = Path(shutil.copytree(model, tmp_path / f"published-{at}"))
        story = _tell_publishing(folder, at)
        waited |= story.waiting
        check(folder, messages(tmp_path / "whole"))
        shutil.rmtree(folder)
    assert {"Wait", "Dispatch", "Escalate", "HandOff", "Parallel"} <= waited


class _Published(Story):
    """Notes in which steps cases waited when the book was published."""

    waiting: set[str]


def _tell_publishing(folder: Path, at: int) -> _Published:
    """Tell the story; where nothing is left to do for the `at`-th time, publish other workflows."""
    story = _Published(folder)
    story.waiting = set()
    originals = read_workflows()

    def publish(told: Story) -> None:
        if told.idle == at:
            story.waiting = _kinds_waiting(told, originals)
            told.publish({name: Workflow(name, one.steps[-1:]) for name, one in originals.items()})

    story.tell(publish)
    story.close()
    return story


def _kinds_waiting(story: Story, workflows: dict[str, Workflow]) -> set[str]:
    with story.store.read() as session:
        cases = list(session.exec(select(Case).where(Case.state == OPEN)))
    kinds = set()
    for case in cases:
        for track in case.progress["tracks"]:
            siblings, index = locate(workflows[case.workflow].steps, track["path"])
            kinds.add(type(siblings[index]).__name__)
    return kinds
