"""A device's history as curves: what the rule looks at first, with bounds that stand or move."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingest.history import Span
from ingest.journal import Journal
from ingest.past import JournalPast
from prevenant.api.history import Histories, History
from prevenant.book import load_book
from prevenant.publishing import publish_edition, read_edition
from prevenant.store import Store
from rules.book import RuleBook

NOW = 1_700_000_000.0
BOOK = """
devices:
  box:
    topic: a/{site}/{device}
    fields: {t: celsius, aim: celsius, open: bool, word: string?}
rules:
  moving: {on: box, when: t > aim + 4 and not open, clear: t < aim + 2, severity: major}
  steep: {on: box, when: "rate(t, 10m) > 30", severity: minor}
  hot: {on: box, when: t > 26, severity: critical}
"""


def read(tmp_path: Path, text: str = BOOK) -> RuleBook:
    """Return the rules of a book."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    return load_book(path).rules


def draw(tmp_path: Path, rule: str | None, span: Span) -> History:
    """Draw an hour in which a box becomes warmer by a degree a minute."""
    path = tmp_path / "journal.db"
    if not path.exists():
        journal = Journal(path)
        for minute in range(60):
            values = {"t": 10.0 + minute, "aim": 5.0, "open": minute == 30, "word": "x"}
            journal.append([(b"a/s/B1", json.dumps(values).encode(), 0)], NOW + 60 * minute)
        journal.close()
    book = read(tmp_path)
    found = book.rules[rule] if rule else None
    return Histories(JournalPast(path)).draw(book.devices["box"], "s/B1", span, found)


HOUR = Span(NOW, NOW + 3_600)


def test_what_the_rule_looks_at_stands_first_with_its_bounds(tmp_path: Path) -> None:
    history = draw(tmp_path, "moving", HOUR)
    assert [(one.name, one.is_asked, one.is_flag) for one in history.curves] == [
        ("t", True, False),
        ("open", True, True),
        ("aim", False, False),
    ]
    limits = history.curves[0].limits
    assert [(one.sign, one.words, one.value, one.clears) for one in limits] == [
        (">", "aim + 4", 9.0, False),
        ("<", "aim + 2", 7.0, True),
    ]
    assert limits[0].points[0] == (NOW, 9.0)
    assert history.readings == 60
    assert history.curves[1].points.count((NOW + 1_800, 1.0)) == 1


def test_a_bound_that_stands_is_a_number(tmp_path: Path) -> None:
    (limit,) = draw(tmp_path, "hot", HOUR).curves[0].limits
    assert (limit.sign, limit.value, limit.severity, limit.points) == (">", 26.0, "critical", [])


def test_what_is_derived_is_reckoned_from_before_the_span_on(tmp_path: Path) -> None:
    late = Span(NOW + 1_800, NOW + 2_400)
    curve = draw(tmp_path, "steep", late).curves[0]
    assert (curve.name, curve.is_asked) == ("rate(t, 10m)", True)
    assert curve.points[0][0] == NOW + 1_800, "its window reaches back before the span"
    assert {round(value) for _, value in curve.points} == {60}


def test_without_a_rule_every_number_is_drawn(tmp_path: Path) -> None:
    history = draw(tmp_path, None, HOUR)
    assert [one.name for one in history.curves] == ["t", "aim", "open"]
    assert history.last_seq == 60


def test_where_the_journal_is_elsewhere_the_reason_is_said(tmp_path: Path) -> None:
    book = read(tmp_path)
    history = Histories(JournalPast(tmp_path / "none.db")).draw(book.devices["box"], "s/B1", HOUR)
    assert "there is no journal" in history.why_not
    assert history.curves == []


def test_bounds_are_those_of_the_rules_that_decided(tmp_path: Path, store: Store) -> None:
    first = datetime(2026, 5, 4, 8, tzinfo=UTC)
    books = []
    for hours, text in enumerate((BOOK, BOOK.replace("t > 26", "t > 40"))):
        (tmp_path / "rules.yaml").write_text(text)
        edition = read_edition(tmp_path / "rules.yaml")
        books.append(edition.book.rules)
        with store.write() as session:
            at = first + timedelta(hours=hours)
            publish_edition(session, edition, at, by="Ada", origin="test")
    histories = Histories(JournalPast(tmp_path / "journal.db"))
    with store.read() as session:
        then = histories.rules_at(session, first + timedelta(minutes=5), books[1])
        now = histories.rules_at(session, first + timedelta(hours=2), books[1])
        before = histories.rules_at(session, first - timedelta(hours=1), books[1])
    assert then.rules["hot"].when_text == "t > 26"
    assert now is books[1]
    assert before is books[1], "nothing was published yet: those in force are all there is"
