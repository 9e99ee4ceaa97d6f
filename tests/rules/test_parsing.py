"""What a condition may say, what it means, and what is refused with its place."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.domain import Reading
from rules.derived import holds
from rules.parsing import ExpressionError, parse_condition
from rules.signature import Compiled, Plan
from tests.rules.books import make_book

BOOK = make_book("  any: {on: room, when: temperature > 1}")
ROOM, TYPES = BOOK.devices["room"], BOOK.devices
EMPTY = {"temperature": None, "wanted": None, "humidity": None, "mode": None}


def truth(condition: str, **values: Any) -> bool | None:
    """Return the truth of a condition, by breakpoints and directly: both have to agree."""
    parsed = parse_condition(condition, ROOM, TYPES)
    reading = Reading("room", "t2", "t2/R1", 0.0, 0.0, SimpleNamespace(**{**EMPTY, **values}))
    plan = Plan(ROOM, [Compiled(parsed, None)])
    by_signature = plan.truths(0, plan.signature(reading)).when
    assert by_signature is holds(parsed, reading, reading)
    return by_signature


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("temperature > 26", {"temperature": 26.0}, False),
        ("temperature > 26", {"temperature": 26.000001}, True),
        ("temperature >= 26", {"temperature": 26.0}, True),
        ("temperature < 26", {"temperature": 26.0}, False),
        ("temperature <= 26", {"temperature": 26.0}, True),
        ("temperature == 26", {"temperature": 26.0}, True),
        ("temperature != 26", {"temperature": 26.0}, False),
        ("26 < temperature", {"temperature": 27.0}, True),
        ("18 < temperature < 25", {"temperature": 25.0}, False),
        ("18 < temperature <= 25", {"temperature": 25.0}, True),
        ("temperature > 26 celsius", {"temperature": 27.0}, True),
        ("temperature > wanted + 4", {"temperature": 9.0, "wanted": 4.0}, True),
        ("temperature > wanted + 4", {"temperature": 8.0, "wanted": 4.0}, False),
        ("2 * (temperature - wanted) / 4 > 1", {"temperature": 7.0, "wanted": 4.0}, True),
        ("temperature / humidity > 1", {"temperature": 7.0, "humidity": 0.0}, None),
        ("-temperature > 3", {"temperature": -4.0}, True),
        ("mode == 'eco'", {"mode": "eco"}, True),
        ("mode != 'eco'", {"mode": "off"}, True),
        ("mode in ['eco', 'off']", {"mode": "off"}, True),
        ("mode not in ('eco', 'off')", {"mode": "on"}, True),
        ("temperature in [1, 2]", {"temperature": 2.0}, True),
        ("device == 'R1' and site == 't2'", {}, True),
        ("temperature > 26 or humidity > 60", {"humidity": 70.0}, True),
        ("temperature > 26 or humidity > 60", {"humidity": 50.0}, None),
        ("temperature > 26 and humidity > 60", {"humidity": 50.0}, False),
        ("temperature > 26 and humidity > 60", {"humidity": 70.0}, None),
        ("not temperature > 26", {}, None),
        ("mode == 'écrêté' and temperature > 80 fahrenheit", {"mode": "écrêté"}, None),
    ],
)
def test_a_condition_is_true_false_or_unknown(
    condition: str, values: dict[str, Any], expected: bool | None
) -> None:
    assert truth(condition, **values) is expected


@pytest.mark.parametrize(
    ("condition", "offset", "message"),
    [
        ("", 0, "this is not a condition"),
        ("temperature >", 0, "this is not a condition"),
        ("temprature > 26", 0, "did you mean 'temperature'?"),
        ("temperature", 0, "compare it with something"),
        ("mode", 0, "mode is a text: compare it"),
        ("humidity > 5 celsius", 0, "percent cannot be compared with celsius"),
        ("temperature + humidity > 3", 0, "celsius + percent has no meaning"),
        ("mode > 'a'", 0, "`>` compares numbers"),
        ("mode == 5", 0, "of different kinds"),
        ("temperature == 'warm'", 0, "of different kinds"),
        ("1 < 2", 0, "this compares two constants"),
        ("temperature > 1 / 0", 14, "divides by zero"),
        ("temperature is 5", 0, "use == and !="),
        ("temperature in 5", 15, "`in` takes a list"),
        (
            "temperature > avrg(humidity, 5m)",
            14,
            "there is no function avrg(): did you mean 'avg'?",
        ),
        ("sleep(5)", 0, "there is no function sleep()"),
        ("near(room, humidity > 5)", 0, "write near(TYPE, CONDITION, TIME)"),
        ("near(roof, humidity > 5, 5s)", 5, "there is no device type 'roof': did you mean 'room'?"),
        ("near(room, humidity > 5, 5)", 25, "write near(TYPE, CONDITION, TIME)"),
        ("near(room, near(room, humidity > 5, 5s), 5s)", 11, "cannot stand inside near()"),
        ("this.humidity > 5", 0, "is not a field here"),
        ("().__class__", 0, "is not a field here"),
        ("__import__('os')", 0, "there is no function __import__()"),
        ("lambda: 1", 0, "a condition compares fields"),
        ("[x for x in mode]", 0, "a condition compares fields"),
        ("(" * 300 + "temperature" + ")" * 300 + " > 1", 0, "not a condition"),
        ("not " * 20_000 + "temperature > 1", 0, "this"),
        ("not " * 60 + "temperature > 1", 0, "nested too deeply"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(
    condition: str, offset: int, message: str
) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_condition(condition, ROOM, TYPES)
    assert message in str(refused.value)
    if offset:
        assert refused.value.offset == offset


@pytest.mark.parametrize(
    "condition",
    [
        "last(mode, 1h) == 'eco'",
        "'eco' != last(mode, 1h)",
        "last(mode, 1h30m) in ['eco', 'off']",
        "mode == 'écrêté' and avg(temperature, 1h30m) > 3",
        "site_count(room, mode == 'écrêté' and temperature > 5 celsius) > 3",
        "count(temperature > 3, 10m) > 2 count",
    ],
)
def test_what_can_be_said(condition: str) -> None:
    assert parse_condition(condition, ROOM, TYPES)


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    with suppress(ExpressionError):
        parse_condition(text, ROOM, TYPES)


numbers = st.floats(-100, 100).map(lambda x: round(x, 1))


@given(
    st.lists(st.tuples(st.sampled_from("<>"), st.booleans(), numbers), min_size=1, max_size=6),
    st.one_of(st.none(), numbers),
)
def test_breakpoints_agree_with_plain_comparison(
    parts: list[tuple[str, bool, float]], value: float | None
) -> None:
    condition = " or ".join(f"temperature {sign}{'=' * eq} {bound}" for sign, eq, bound in parts)
    plain = {"<": lambda a, b: a < b, ">": lambda a, b: a > b}
    expected = None
    if value is not None:
        expected = any(plain[sign](value, b) or (eq and value == b) for sign, eq, b in parts)
    assert truth(condition, temperature=value) is expected
