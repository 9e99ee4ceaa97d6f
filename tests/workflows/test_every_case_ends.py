"""Whatever a workflow says and whatever happens, a case has a timer or a named end, and ends (P2).

Workflows of every kind of step, nested, with random events and times between them. Killed between any two
transactions, or just before one is committed, a case tells the same story.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from sqlmodel import Session, col, select

from prevenant.clock import epoch_seconds
from prevenant.domain import Severity
from prevenant.store import Store
from prevenant.tables import CaseEvent, TimelineEntry
from tests.moved_clock import MovedClock
from tests.workflows.random_workflows import Act, acts, workflows
from tests.workflows.room import Room, make_templates, settle_people
from workflows.definition import Workflow, decode_steps, encode_steps
from workflows.running import Progress
from workflows.tables import OPEN, Case

TEMPLATES = make_templates()
_DAYS = 60
"""More than any workflow here can wait, with somebody who takes what nobody else does."""


class Killed(BaseException):
    """The process has ended."""


class MortalStore(Store):
    """A store whose process is killed just before every second commit, while it is mortal."""

    is_mortal = False
    _commits = 0

    @contextmanager
    def write(self, urgency: int = Severity.LIFE_SAFETY) -> Iterator[Session]:
        """Open a session that may never be committed."""
        with super().write(urgency) as session:
            yield session
            self._commits += 1
            if self.is_mortal and self._commits % 2:
                session.flush()
                raise Killed


class MortalRoom(Room):
    """A room whose runtime is started again for each transaction, and killed in every second one."""

    store: MortalStore

    def work(self) -> None:
        """Do everything that can be done now, in many lives."""
        workflow = self.runtime._story.workflows["visit"]
        self.store.is_mortal = True
        try:
            for _ in range(2_000):
                self.use(workflow)
                try:
                    if not self.runtime.work_once(self.clock.now()):
                        return
                except Killed:
                    continue
        finally:
            self.store.is_mortal = False
        message = "the runtime never rests"
        raise AssertionError(message)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with all tables and people, to be copied."""
    path = tmp_path_factory.mktemp("blank") / "blank.db"
    store = Store(f"sqlite:///{path}", is_durable=False)
    store.upgrade()
    with store.write() as session:
        settle_people(session)
    store.close()
    return path


def _check(room: Room) -> None:
    """Hold what P2 says of every case, and that nothing was set aside."""
    with room.store.read() as session:
        failed = session.exec(select(CaseEvent).where(CaseEvent.attempts > 0)).all()
        assert not failed, [event.error for event in failed]
        for case in session.exec(select(Case)):
            progress = msgspec.convert(json.loads(json.dumps(case.progress)), Progress)
            assert json.loads(msgspec.json.encode(progress)) == case.progress
            assert progress.failures == 0, case.outcome
            due = [track.due_at for track in progress.tracks if track.due_at is not None]
            due += [one.due_at for one in progress.callbacks if one.due_at is not None]
            due += [progress.begins_at] if progress.begins_at is not None else []
            if case.state == OPEN:
                assert case.due_at is not None, f"nothing wakes {progress.tracks}"
                assert abs(epoch_seconds(case.due_at) - min(due)) < 1e-3
                assert case.due_at > room.clock.now(), "what is due was not done"
                assert all(track.begun for track in progress.tracks)
            else:
                assert case.outcome
                assert progress.tracks == []
                # Who waits for a person is asked for, also after the end.
                calls = [one.due_at for one in progress.callbacks if not one.taken_by]
                assert None not in calls
                assert (case.due_at is None) == (not calls)


def _play(room: Room, happenings: Sequence[Act]) -> tuple[list[tuple[str, str]], list[str]]:
    """Let things happen to a case, then nothing but time, until all cases have ended."""
    room.raise_alarm(values={"temperature": 29.0})
    _check(room)
    for act in happenings:
        act(room)
        _check(room)
    for _ in range(_DAYS):
        if not _open_cases(room):
            break
        room.pass_time(days=1)
        _check(room)
        for case_id in _open_cases(room):
            room.tell(case_id, "case.taken", by="Zoe")
        _check(room)
    assert not _open_cases(room), room.case().progress
    return _story(room), room.told()


def _open_cases(room: Room) -> Sequence[int | None]:
    with room.store.read() as session:
        return session.exec(select(Case.id).where(Case.state == OPEN)).all()


def _story(room: Room) -> list[tuple[str, str]]:
    with room.store.read() as session:
        lines = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id))).all()
    return [(line.kind, line.summary) for line in lines]


@pytest.mark.timeout(900)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(workflow=workflows, happenings=acts)
def test_every_case_ends_and_survives_every_death(
    blank: Path, tmp_path: Path, workflow: Workflow, happenings: list[Act]
) -> None:
    assert decode_steps("visit", encode_steps(workflow)).steps == workflow.steps
    told = []
    for kind, make in ((Store, Room), (MortalStore, MortalRoom)):
        path = tmp_path / f"{kind.__name__}.db"
        shutil.copy(blank, path)
        store = kind(f"sqlite:///{path}", is_durable=False)
        try:
            told.append(_play(make(store, MovedClock(), workflow, TEMPLATES), happenings))
        finally:
            store.close()
            for file in tmp_path.glob(f"{kind.__name__}.db*"):
                file.unlink()
    assert told[0] == told[1]
