"""`survey`: CSAT, NPS or CES, at most one a case, and its answer also after the case is closed."""

from collections.abc import Callable

import pytest

from tests.workflows.room import Room

MakeRoom = Callable[[str], Room]


@pytest.mark.parametrize(
    ("kind", "answer", "largest"), [("csat", 5, 5), ("nps", 10, 10), ("nps", 0, 10), ("ces", 7, 7)]
)
def test_the_answer_is_kept_after_the_end(
    room: MakeRoom, kind: str, answer: int, largest: int
) -> None:
    one = room(f"- survey: {kind}\n- close: done")
    one.raise_alarm()
    assert one.outcome == ("closed", "done")
    assert one.told() == [f"ada survey_{kind}"]
    assert one.reply("ada", str(answer)) == "bound"
    assert (one.case().survey, one.case().rating) == (kind, answer)
    assert f"{answer} of {largest}" in one.story("customer.rated")[0]


@pytest.mark.parametrize(("kind", "answer"), [("csat", "6"), ("csat", "0"), ("ces", "8")])
def test_a_number_beyond_the_scale_is_asked_back(room: MakeRoom, kind: str, answer: str) -> None:
    one = room(f"- survey: {kind}")
    one.raise_alarm()
    assert one.reply("ada", answer) == "unclear"
    assert one.case().rating is None


def test_a_case_sends_one_survey_whatever_way_it_takes(room: MakeRoom) -> None:
    one = room("""
tracks:
  staff:
    - survey: nps
  customer:
    - tell: customer
      template: plain
      survey: true
""")
    one.raise_alarm()
    assert one.told() == ["ada survey_nps", "ada plain"]
    assert [message.ask for message in one.messages()] == ["nps", None]
    assert "survey.skipped" in one.kinds()
    assert one.case().survey == "nps"


def test_after_a_week_nobody_is_expected_to_answer(room: MakeRoom) -> None:
    one = room("- survey: csat")
    one.raise_alarm()
    (message,) = one.messages()
    assert message.ask_until is not None
    assert (message.ask_until - one.clock.now()).days == 7
