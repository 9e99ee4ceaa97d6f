"""`if`: conditions in three values, and the story that says which way was taken and why."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.domain import Severity
from tests.workflows.room import Room
from workflows.conditions import ConditionError, check_condition, decide

MakeRoom = Callable[[str], Room]

KNOWN: Mapping[str, Any] = {
    "severity": 4,
    "values.temperature": 31.5,
    "values.mode": "eco",
    "technician.arrived": False,
    "acknowledged": True,
    "local.time": "22:15",
    "local.day": "sat",
    "answer.entry": "home",
}


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        ("severity >= critical", True),
        ("severity == life_safety", False),
        ("severity in [info, critical]", True),
        ("severity not in [info, minor]", True),
        ("acknowledged and not technician.arrived", True),
        ("values.temperature > 30", True),
        ("30 < values.temperature <= 31", False),
        ("values.temperature * 2 - 1 == 62", True),
        ("-values.temperature < 0", True),
        ("values.temperature / 0 > 1", None),
        ("values.mode == 'eco'", True),
        ("values.mode > 3", None),
        ("values.missing > 3", None),
        ("not values.missing", None),
        ("values.missing > 3 or acknowledged", True),
        ("values.missing > 3 and acknowledged", None),
        ("values.missing > 3 and technician.arrived", False),
        ("values.missing in [1, 2]", None),
        ("values.missing not in [1, 2]", None),
        ("1 > 2 > values.missing or false", False),
        ("known(values.missing)", False),
        ("known(values.mode)", True),
        ("local.time >= '22:00' or local.time < '06:00'", True),
        ("local.day in [sat, sun]", True),
        ("answer.entry == 'home'", True),
        ("answer.ticket.open", None),
        ("values.mode", None),
        ("true and acknowledged", True),
    ],
)
def test_what_is_not_known_is_neither_true_nor_false(condition: str, truth: bool | None) -> None:
    check_condition(condition)
    decision = decide(condition, KNOWN)
    assert decision.truth is truth
    assert condition in decision.reason


@pytest.mark.parametrize(
    ("condition", "offset", "words"),
    [
        ("severity", 0, "neither true nor false"),
        ("severity and acknowledged", 0, "neither true nor false"),
        ("severity == 'high'", 12, "cannot be compared"),
        ("severty > 3", 0, "did you mean 'severity'"),
        ("acknowledged > 3", 15, "cannot be compared"),
        ("values > 1", 0, "group of names"),
        ("local.day == 3", 13, "cannot be compared"),
        ("__import__('os').system('x')", 0, "cannot stand in a condition"),
        ("(lambda: 1)()", 0, "cannot stand in a condition"),
        ("values.x[0] > 1", 0, "cannot stand in a condition"),
        ("severity is 3", 12, "compare with"),
        ("severity in 3", 12, "as a list"),
        ("known(3)", 0, "asks about one name"),
        ("severity >", 0, "no condition"),
        ("values.x ** 9 > 1", 0, "cannot stand in a condition"),
        ("f'{severity}' == 'x'", 0, "cannot stand in a condition"),
        ("x" * 2_000, 0, "at most"),
        ("(" * 500, 0, "no condition"),
        ("acknowledged + 1 > 2", 0, "a number is expected"),
    ],
)
def test_what_cannot_be_used_is_refused_where_it_stands(
    condition: str, offset: int, words: str
) -> None:
    with pytest.raises(ConditionError, match=words) as refused:
        check_condition(condition)
    if offset:
        assert refused.value.offset == offset


numbers = st.sampled_from(["1", "critical", "values.a", "values.b + 1", "severity"])
conditions = st.recursive(
    st.one_of(
        st.sampled_from(["acknowledged", "technician.done", "known(values.a)", "values.b"]),
        st.tuples(numbers, st.sampled_from(["<", ">=", "==", "!="]), numbers).map(" ".join),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=8,
)
values = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.integers(1, 5),
        "values.a": st.one_of(
            st.floats(allow_nan=False), st.sampled_from(["", "x"]), st.booleans()
        ),
        "values.b": st.one_of(st.integers(), st.booleans()),
        "acknowledged": st.booleans(),
        "technician.done": st.booleans(),
    },
)


@given(conditions, values)
def test_whatever_is_known_a_condition_says_something_and_its_opposite_the_other(
    condition: str, known: dict[str, Any]
) -> None:
    check_condition(condition)
    truth = decide(condition, known).truth
    opposite = decide(f"not ({condition})", known).truth
    assert opposite is (None if truth is None else not truth)


@given(conditions, values)
def test_learning_more_never_turns_an_answer_round(condition: str, known: dict[str, Any]) -> None:
    if "known(" in condition:
        return
    truth = decide(condition, known).truth
    fewer = {name: value for name, value in known.items() if name != "values.a"}
    before = decide(condition, fewer).truth
    assert before is None or before is truth


WAYS = """
- if: values.temperature > 30
  then: {tell: guard, template: plain}
  else: {tell: chief, template: plain}
  unknown: {tell: desk, template: plain}
- close: decided
""".replace("desk", "dispatcher")


@pytest.mark.parametrize(
    ("found", "told", "way"),
    [
        ({"temperature": 31.0}, "guard", "then"),
        ({"temperature": 29.0}, "chief", "else"),
        ({}, "desk", "unknown"),
        ({"temperature": None}, "desk", "unknown"),
        ({"temperature": "hot"}, "desk", "unknown"),
    ],
)
def test_each_way_and_its_reason(
    room: MakeRoom, found: dict[str, Any], told: str, way: str
) -> None:
    one = room(WAYS)
    one.raise_alarm(values=found)
    assert one.told() == [f"{told} plain"]
    (line,) = one.story("decided")
    assert f"goes on with `{way}`" in line
    assert "values.temperature" in line
    assert one.outcome == ("closed", "decided")


def test_what_is_not_known_goes_the_way_of_else_and_says_so(room: MakeRoom) -> None:
    one = room("""
- if: values.temperature > 30
  then: {close: hot}
- close: other
""")
    one.raise_alarm()
    assert one.outcome == ("closed", "other")
    assert (
        "is not known: values.temperature is not known; goes on with `else`"
        in (one.story("decided")[0])
    )


@pytest.mark.parametrize(
    "condition",
    [
        "severity == critical",
        "device.id == 's/fridge' and device.place == 'Kitchen'",
        "site.id == 's' and customer.id == 'home' and customer.language == 'en'",
        "local.day == mon and '09:00' < local.time < '11:00'",
        "9 < local.hour < 11",
        "not known(technician.name)",
        "not acknowledged",
        "prediction.probability > 0.8",
        "not known(site.area)",
    ],
)
def test_what_a_case_knows(room: MakeRoom, condition: str) -> None:
    one = room(
        f"""
- if: "{condition}"
  then: {{close: 'yes'}}
  else: {{close: 'no'}}
  unknown: {{close: unknown}}
""".replace("not known(technician.name)", "not known(case.owner)")
    )
    one.raise_alarm(Severity.CRITICAL, {"compressor.probability": 0.9})
    assert one.outcome == ("closed", "yes")
