"""The storyteller: each entry once, in this run or the next."""

import io
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console

from simulators.storyteller import Storyteller


def _storyteller(after: int) -> tuple[Storyteller, io.StringIO]:
    out = io.StringIO()
    return Storyteller(Console(file=out, width=120), ZoneInfo("Europe/Paris"), after), out


def _entry(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "at": "2026-11-20T09:12:47+00:00",
        "case": 1,
        "kind": "wait",
        "summary": f"entry {number}",
        "detail": {},
    }


def test_an_entry_that_comes_twice_is_told_once() -> None:
    storyteller, out = _storyteller(after=0)
    for number in (1, 2, 1, 2, 3):
        storyteller.hear(_entry(number))
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["1", "2", "3"]


def test_what_comes_after_the_end_is_left_to_the_next_run() -> None:
    first, said_first = _storyteller(after=0)
    first.hear(_entry(1))
    first.end()
    first.hear(_entry(2))
    assert first.told == 1
    again, said_again = _storyteller(after=first.told)
    for number in (1, 2):
        again.hear(_entry(number))
    assert "entry 1" in said_first.getvalue()
    assert "entry 2" not in said_first.getvalue()
    assert "entry 1" not in said_again.getvalue()
    assert "entry 2" in said_again.getvalue()


def test_a_run_that_ends_before_it_has_heard_the_old_story_forgets_nothing() -> None:
    storyteller, _ = _storyteller(after=7)
    assert storyteller.told == 7
    storyteller.hear(_entry(1))
    assert storyteller.told == 7
    storyteller.hear(_entry(8))
    assert storyteller.told == 8
