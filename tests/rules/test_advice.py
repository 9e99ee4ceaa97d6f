"""What is hardly meant in a book is warned of, with its place; the shipped book gives no cause."""

import re
from datetime import date
from pathlib import Path

import pytest

from notify.segments import count_segments
from prevenant.book import load_book
from prevenant.book_advice import advise

TODAY = date(2026, 3, 1)
DOUBTFUL = sorted(Path("tests/doubtful_rules").glob("*.yaml"))


@pytest.mark.parametrize("path", DOUBTFUL, ids=lambda path: path.stem)
def test_what_is_hardly_meant_is_warned_of(path: Path) -> None:
    expected = re.findall(r"# expect (.*)", path.read_text())
    found = advise(load_book(path), TODAY)
    assert len(found) == len(expected), [str(one) for one in found]
    for words in expected:
        assert any(words in one.message for one in found), [str(one) for one in found]
    assert all(one.line > 1 and one.source.endswith(path.name) for one in found)


@pytest.mark.parametrize(
    "when",
    [
        "temperature > 30 or open",
        "temperature > wanted + 4 and temperature > 30",
        "site_count(room, open) > 2",
        "avg(temperature, 10m) > 30 and not open",
        "changed(open, 1h)",
    ],
)
def test_a_sound_rule_gives_no_cause(when: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    text = DOUBTFUL[0].read_text().partition("rules:")[0]
    path.write_text(
        f"{text}rules:\n  x: {{on: room, when: '{when}', for: 5m, clear_for: 5m, severity: minor}}\n"
    )
    assert advise(load_book(path), TODAY) == []


def test_the_shipped_book_gives_no_cause() -> None:
    assert advise(load_book(Path("rules.yaml")), TODAY) == []


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("é" * 160, 1),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ê" * 70, 1),
        ("ê" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("", 1),
    ],
)
def test_segments_are_counted_as_carriers_do(text: str, segments: int) -> None:
    assert count_segments(text) == segments
