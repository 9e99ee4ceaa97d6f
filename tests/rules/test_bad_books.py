"""Every mistake in tests/bad_rules is found with its line, its column and a remedy, all at once."""

import re
from pathlib import Path

import pytest

from prevenant.book import load_book
from prevenant.errors import BookError

BAD_BOOKS = sorted(Path("tests/bad_rules").glob("*.yaml"))
_EXPECT = re.compile(r"# expect (\d+):(\d+) (.*)")


@pytest.mark.parametrize("path", BAD_BOOKS, ids=lambda path: path.stem)
def test_the_mistake_is_found_where_it_stands(path: Path) -> None:
    with pytest.raises(BookError) as refused:
        load_book(path)
    found = [(p.line, p.column, p.message) for p in refused.value.problems]
    expected = [
        (int(line), int(column), words) for line, column, words in _EXPECT.findall(path.read_text())
    ]
    assert expected, f"{path} does not say what is expected"
    assert len(found) == len(expected), str(refused.value)
    for (line, column, message), (where, at, words) in zip(found, sorted(expected), strict=True):
        assert (line, column) == (where, at), str(refused.value)
        assert words in message


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="there is no such file"):
        load_book(tmp_path / "none.yaml")


def test_a_book_can_be_spread_over_files(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("include: [devices.yaml, more/rules.yaml]\n")
    (tmp_path / "devices.yaml").write_text(
        "devices: {lamp: {topic: 'a/{device}', fields: {on: bool}}}\n"
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "rules.yaml").write_text("rules: {lit: {on: lamp, when: 'on', for: 1m}}\n")
    book = load_book(tmp_path / "rules.yaml")
    assert book.rules.rules["lit"].for_s == 60.0


def test_anchors_and_merges_spare_repetition(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("""
devices: {lamp: {topic: 'a/{device}', fields: {on: bool, watts: watt}}}
rules:
  lit: &usual {on: lamp, when: 'on', for: 1m, severity: minor}
  bright: {<<: *usual, when: watts > 60}
""")
    rules = load_book(path).rules.rules
    assert (rules["bright"].for_s, rules["bright"].when_text) == (60.0, "watts > 60")
