"""Texts line by line: what differs, put back, is the other text; pictures leave nothing out."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prevenant.console.replay_view import draw_differences
from prevenant.console.texts import compare_lines, number_lines
from prevenant.errors import Problem

LINES = st.lists(st.sampled_from(["devices:", "  door:", "    open: bool", "", "# why", "rules:"]))
CHANGES = st.fixed_dictionaries(
    {
        "what": st.sampled_from(["alarm", "offer", "message"]),
        "change": st.sampled_from(["new", "gone", "changed"]),
        "at": st.floats(0.0, 2e9),
    }
)


@given(LINES, LINES)
def test_what_differs_leads_from_one_text_to_the_other(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in one) for one in (old, new))
    found = compare_lines({"a.yaml": before}, {"a.yaml": after})
    assert bool(found) == (old != new)
    rebuilt = dict(enumerate(old, 1))
    shown = [one for file in found for part in file.parts for one in part]
    for one in shown:
        if one.before:
            assert rebuilt.pop(one.before) == one.text
        if one.after:
            assert new[one.after - 1] == one.text
    # What is not shown is the same in both, in its order.
    told = {one.after for one in shown if one.after}
    assert [*rebuilt.values()] == [line for n, line in enumerate(new, 1) if n not in told]


def test_files_that_came_and_went_are_told() -> None:
    found = compare_lines({"a.yaml": "x\n"}, {"b.yaml": "y\nz\n"})
    assert {one.name: (one.added, one.removed) for one in found} == {
        "a.yaml": (0, 1),
        "b.yaml": (2, 0),
    }


def test_what_was_found_stands_at_its_line() -> None:
    problem = Problem("a.yaml", 2, 3, "wrong")
    (text,) = number_lines({"a.yaml": "one\n  # two\n"}, [problem, Problem("b.yaml", 1, 1, "")])
    assert [[*line.problems] for line in text.lines] == [[], [problem]]
    assert [line.is_comment for line in text.lines] == [False, True]


@given(st.lists(CHANGES, max_size=60), st.floats(0.0, 2e9), st.floats(0.0, 2e9))
def test_a_picture_leaves_nothing_out(
    differences: list[dict[str, Any]], begin: float, end: float
) -> None:
    lanes = draw_differences(differences, begin, end)
    drawn = Counter[tuple[str, str]]()
    for lane in lanes:
        for bar in lane.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= 100
            assert 0 <= bar.top <= lane.middle
            assert lane.middle + bar.down <= lane.height
            for change in ("new", "gone", "changed"):
                drawn[lane.what, change] += getattr(bar, change)
    assert +drawn == Counter((one["what"], one["change"]) for one in differences)
