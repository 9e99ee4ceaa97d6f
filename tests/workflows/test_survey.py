"""`survey`: CSAT, NPS or CES, at most one a case, and its answer also after the case is closed."""

from collections.abc import Callable

import pytest
from sqlmodel import select

from tests.workflows.room import Room, read_workflow
from workflows import surveys
from workflows.tables import SentSurvey

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


def again(one: Room, steps: str = "- survey: nps\n- close: done") -> None:
    """Have another case of the same contact end."""
    one.use(read_workflow(steps))
    one.clear_alarm()
    one.pass_time(seconds=1)
    one.raise_alarm()


def test_a_contact_is_sent_one_survey_in_thirty_days(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    one.pass_time(days=29)
    again(one)
    assert one.told("ada") == ["survey_csat"]
    assert "less than 30 days ago" in one.story("survey.skipped")[0]
    assert one.case().survey == ""
    one.pass_time(days=2)
    again(one)
    assert one.told("ada") == ["survey_csat", "survey_nps"]
    assert one.case().survey == "nps"


def test_who_was_asked_lately_is_told_without_being_asked(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    again(one, "- tell: customer\n  template: sorted\n  survey: true")
    assert [message.ask for message in one.messages()] == ["rating", None]
    assert [message.texts["sms"] for message in one.messages()][1] == "Sorted."
    one.pass_time(days=31)
    again(one, "- tell: customer\n  template: sorted\n  survey: true")
    assert one.messages()[-1].texts["sms"] == "Sorted. From 1 to 5?"
    assert one.messages()[-1].ask == "rating"


def test_the_answer_is_kept_with_the_words_beside_it(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    one.reply("ada", "4/5 - quick, a bit noisy")
    with one.store.read() as session:
        sent = session.exec(select(SentSurvey)).one()
    assert (sent.kind, sent.rating, sent.comment) == ("csat", 4, "quick, a bit noisy")
    assert sent.answered_at == one.clock.now()


@pytest.mark.parametrize(
    ("text", "rating", "comment"),
    [
        ("⭐⭐⭐⭐ quick", 4, "quick"),
        ("4️⃣ : quick", 4, "quick"),
        ("5 ⭐⭐⭐⭐⭐", 5, ""),
        ("1 ⭐⭐⭐⭐", 1, ""),
    ],
)
def test_neither_stars_nor_the_number_of_the_case_are_words(
    room: MakeRoom, text: str, rating: int, comment: str
) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    assert one.case().id == 1
    one.reply("ada", text)
    with one.store.read() as session:
        sent = session.exec(select(SentSurvey)).one()
    assert (sent.rating, sent.comment) == (rating, comment)


def test_another_rating_counts_for_an_hour(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    one.reply("ada", "1")
    one.pass_time(minutes=59)
    one.reply("ada", "5 I mean")
    assert one.case().rating == 5
    (message,) = one.messages()
    one.pass_time(minutes=61)
    assert one.reply("ada", "2") == "unclear"
    one.tell_case(
        "reply", ask="rating", intent="rate", number=2, contact="ada", name="Ada",
        role="customer", message=message.key, text="2", channel="voice", late=True,
    )  # fmt: skip
    assert one.case().rating == 5
    assert one.story("answer.late") == ["Ada rates it 2 of 5, too late: it stays at 5"]


@pytest.mark.parametrize(
    ("kind", "ratings", "score"),
    [
        ("csat", [5, 4, 3, 1, None], 50.0),
        ("nps", [10, 9, 8, 6, 0, None], 0.0),
        ("nps", [0, 6], -100.0),
        ("ces", [7, 6, 2], 5.0),
        ("csat", [None], None),
        ("nps", [], None),
    ],
)
def test_what_answers_come_to(kind: str, ratings: list[int | None], score: float | None) -> None:
    found = surveys.score(kind, ratings)
    assert found.score == score
    assert (found.sent, found.answered) == (
        len(ratings),
        len([r for r in ratings if r is not None]),
    )


def test_after_a_week_nobody_is_expected_to_answer(room: MakeRoom) -> None:
    one = room("- survey: csat")
    one.raise_alarm()
    (message,) = one.messages()
    assert message.ask_until is not None
    assert (message.ask_until - one.clock.now()).days == 7
