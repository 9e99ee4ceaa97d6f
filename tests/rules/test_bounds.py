"""The bounds of a rule, and what it looks at, reckoned again from readings."""

from pathlib import Path

import pytest

from prevenant.book import load_book
from prevenant.domain import Reading, Severity
from rules.book import Rule, RuleBook
from rules.bounds import Curves, bounds_of
from rules.explain import describe_quantity

BOOK = """
devices:
  box:
    topic: a/{site}/{device}
    fields: {t: celsius, aim: celsius, wet: percent, open: bool, word: string?}
rules:
  ladder:
    on: box
    levels: {minor: t > 26, critical: t > 30 or wet >= 90}
    clear: t < 25
  moving: {on: box, when: t > aim + 4 and not open, clear: t < aim + 2, severity: major}
  band: {on: box, when: not (17 < t < 26), severity: minor}
  quick: {on: box, when: "rate(t, 10m) > 4 and site_count(box, open) > 1", severity: minor}
  shut: {on: box, when: "changed(word, 5m) and open", severity: info}
"""


@pytest.fixture
def book(tmp_path: Path) -> RuleBook:
    path = tmp_path / "rules.yaml"
    path.write_text(BOOK)
    return load_book(path).rules


def told(rule: Rule) -> list[tuple[str, str, float, str, bool, str]]:
    """Return a rule's bounds as plain values."""
    return [
        (
            describe_quantity(one.quantity),
            one.sign,
            one.value,
            one.severity.word,
            one.clears,
            describe_quantity(one.beside) if one.beside else "",
        )
        for one in bounds_of(rule)
    ]


def test_every_level_and_the_clear_have_their_bounds(book: RuleBook) -> None:
    assert told(book.rules["ladder"]) == [
        ("t", ">", 26.0, "minor", False, ""),
        ("t", ">", 30.0, "critical", False, ""),
        ("wet", ">=", 90.0, "critical", False, ""),
        ("t", "<", 25.0, "critical", True, ""),
    ]


def test_a_bound_that_moves_stands_beside_what_it_is_for(book: RuleBook) -> None:
    assert told(book.rules["moving"]) == [
        ("t", ">", 0.0, "major", False, "aim + 4"),
        ("t", "<", 0.0, "major", True, "aim + 2"),
    ]


def test_what_is_denied_is_told_the_other_way_round(book: RuleBook) -> None:
    assert [one[:3] for one in told(book.rules["band"])] == [("t", "<=", 17.0), ("t", ">=", 26.0)]
    assert bounds_of(book.rules["shut"]) == []


def take(book: RuleBook, rule: str, **values: float | bool | str) -> dict[str, float]:
    """Return what a rule looks at, after readings that rise by one degree a minute."""
    device = book.devices["box"]
    fields = frozenset(field.name for field in device.fields)
    curves = Curves(book.rules[rule], fields)
    found: dict[str, float] = {}
    for minute in range(20):
        at = 60.0 * minute
        sent = device.payload_type(**{"t": 20.0 + minute, **values})
        reading = Reading("box", "s", "s/B1", at, at, sent)
        found = {describe_quantity(one): value for one, value in curves.take(reading).items()}
    return found


def test_what_a_rule_looks_at_is_reckoned_again(book: RuleBook) -> None:
    assert take(book, "moving", aim=5.0, open=True) == {
        "t": 39.0,
        "aim + 4": 9.0,
        "aim + 2": 7.0,
        "open": 1.0,
    }
    rate = take(book, "quick", open=True)
    assert rate.keys() == {"rate(t, 10m)"}
    assert rate["rate(t, 10m)"] == pytest.approx(60.0)
    assert take(book, "shut", open=False, word="on") == {"open": 0.0}
    assert take(book, "ladder", wet=3.0) == {"t": 39.0, "wet": 3.0}


def test_how_far_back_a_rule_looks(book: RuleBook) -> None:
    fields = frozenset({"t"})
    assert Curves(book.rules["quick"], fields).looks_back_s == 600.0
    assert Curves(book.rules["ladder"], fields).looks_back_s == 0.0
    assert Curves(book.rules["ladder"], frozenset()).quantities == []
    assert bounds_of(book.rules["ladder"])[0].severity is Severity.MINOR
