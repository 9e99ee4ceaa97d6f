"""Lives at other paces are the same lives, and what comes more slowly than any before is seen coming."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import paces, training
from models.base import History
from models.features import Definition
from models.inputs import Floats
from models.labels import label_rows
from models.learning import learn_definition
from models.rows import make_rows
from models.task import Task, change_pace, fit_estimator
from models.trees import Trees
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target
from tests.models.wearing import repaired_machine, wearing_machines

LIFE = Target(REMAINING_LIFE, CYCLES)
CAP = 50.0


@given(st.floats(0.25, 4), st.booleans())
def test_what_remains_is_as_much_longer_as_the_life(factor: float, is_repaired: bool) -> None:
    history = repaired_machine(3) if is_repaired else wearing_machines(3)
    target = Target(REMAINING_LIFE, history.unit)
    before, after = (label_rows(one, target) for one in (history, paces.stretch(history, factor)))
    assert after.remaining == pytest.approx(before.remaining * factor, nan_ok=True)
    assert after.censored == pytest.approx(before.censored * factor, nan_ok=True)
    assert after.life == pytest.approx(before.life * factor)
    assert np.array_equal(after.lives, before.lives)


def test_what_was_read_stays_as_it_is_and_so_does_a_device_without_readings() -> None:
    history = wearing_machines(3)
    rows = history.rows[history.rows["device"] != "m01"].reset_index(drop=True)
    slower = paces.stretch(History(rows, history.failures, CYCLES), 2.0)
    assert slower.rows.drop(columns="at").equals(rows.drop(columns="at"))
    assert slower.rows["at"].max() == 2 * rows["at"].max() - 1
    ends = dict(history.failures.to_numpy().tolist())
    assert dict(slower.failures.to_numpy().tolist()) == {
        **{name: 2 * end - 1 for name, end in ends.items()},
        "m01": ends["m01"],
    }


def some(history: History, devices: list[str]) -> History:
    rows, failures = history.rows, history.failures
    return History(
        rows[rows["device"].isin(devices)].reset_index(drop=True),
        failures[failures["device"].isin(devices)].reset_index(drop=True),
        history.unit,
    )


def learn(history: History, others: Sequence[tuple[History, Floats]]) -> tuple[Definition, Trees]:
    """Return what was learned from all rows of `history`, and from the same at other paces."""
    labels = label_rows(history, LIFE)
    task = Task(LIFE, labels, labels.wanted(LIFE, CAP), labels.lives, 2, others)
    definition = learn_definition(history, labels, LIFE, None)
    rows = make_rows(definition, history)
    return definition, Trees(fit_estimator(task, definition, rows, np.ones(len(rows), bool)))


def test_machines_that_wear_more_slowly_than_any_before_are_seen_to_fail_in_time() -> None:
    history = wearing_machines(60)
    ends = history.failures.set_index("device")["failed_at"]
    brief, long = (some(history, ends.index[one].tolist()[:10]) for one in (ends < 80, ends > 108))
    slow = label_rows(long, LIFE)
    others = change_pace(brief, label_rows(brief, LIFE), LIFE, CAP)
    assert len(others) == len(paces.FACTORS)
    off = []
    for known in ([], others):
        definition, trees = learn(brief, known)
        said = trees.ask(make_rows(definition, long)) - slow.wanted(LIFE, CAP)
        off.append(float(np.sqrt((said[slow.remaining <= 60] ** 2).mean())))
    assert off[1] < 0.65 * off[0]


def test_many_lives_show_their_paces_themselves() -> None:
    history = wearing_machines(paces.FEW_LIVES)
    assert change_pace(history, label_rows(history, LIFE), LIFE, CAP) == []


def test_chances_are_learned_from_what_was_seen_alone() -> None:
    history, target = wearing_machines(4), Target(FAILURE, CYCLES, 20.0)
    assert change_pace(history, label_rows(history, target), target, CAP) == []


def paced_and_plain(paced: Floats, plain: Floats) -> tuple[bool, int]:
    """Return whether other paces are kept, and how many rows are answered with them."""
    history = wearing_machines(10)
    labels = label_rows(history, LIFE)
    task = Task(LIFE, labels, labels.wanted(LIFE, CAP), labels.lives, 2)
    others = change_pace(history, labels, LIFE, CAP)
    answers = [task.wanted + errs[labels.lives] for errs in (plain, paced)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_ask_out_of_fold", lambda *_: answers)
        chosen, raw = training._ask_at_paces(task, others, history, None, lambda *_: None)
    return bool(chosen.paces), int((raw == task.wanted + paced[labels.lives]).sum())


def test_other_paces_are_kept_unless_they_are_clearly_worse() -> None:
    count = len(wearing_machines(10).rows)
    plain, random = np.full(10, 5.0), np.random.default_rng(1)
    assert paced_and_plain(np.full(10, 3.0), plain) == (True, count)
    assert paced_and_plain(np.full(10, 9.0), plain) == (False, 0)
    unsure = 5.0 + random.permutation(np.repeat([-2.0, 2.0], 5))
    assert paced_and_plain(unsure, plain) == (True, count)


def test_no_life_has_a_say_in_how_it_is_judged_itself() -> None:
    """Nine lives err clearly more at other paces; one, by much less, and it is judged as the nine say."""
    paced = np.full(10, 9.0)
    paced[3] = 0.0
    plain = np.full(10, 5.0)
    plain[3] = 25.0
    kept, answered = paced_and_plain(paced, plain)
    assert kept, "all ten together are not sure"
    assert answered < len(wearing_machines(10).rows)
