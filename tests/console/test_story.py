"""The story of a case as it is shown: day by day, a message once with what became of it."""

from typing import Any
from zoneinfo import ZoneInfo

from prevenant.console.story import tell_story

PARIS = ZoneInfo("Europe/Paris")


def entry(kind: str, at: str, summary: str = "it", **detail: Any) -> dict[str, Any]:
    """Return a line of the story as it is kept."""
    return {
        "kind": kind,
        "at": f"{at}+00:00",
        "time": at[-8:],
        "summary": summary,
        "detail": detail,
    }


STORY = [
    entry("alarm.raised", "2026-05-04T21:00:00", "it is hot"),
    entry("candidates", "2026-05-04T21:01:00", candidates=["Ada: near", "Tom: far"]),
    entry("message.sent", "2026-05-04T21:02:00", "sms to Ada sent", message=7, text="Come."),
    entry("message.delivered", "2026-05-04T22:03:00", "sms to Ada delivered", message=7),
    entry("reply", "2026-05-04T22:04:00", "Ada: yes", text="yes"),
]
MESSAGES = [{"id": 7, "deliveries": [{"channel": "sms", "state": "delivered"}]}]


def test_a_message_stands_once_with_its_state_and_what_became_of_it() -> None:
    days = tell_story(STORY, MESSAGES, PARIS)
    lines = [line for day in days for line in day.lines]
    assert [line.kind for line in lines] == ["alarm.raised", "candidates", "message.sent", "reply"]
    (message,) = [line for line in lines if line.kind == "message.sent"]
    assert message.quote == "Come."
    assert [one["state"] for one in message.deliveries] == ["delivered"]
    assert message.later == [("22:03:00", "sms to Ada delivered")]


def test_days_are_those_of_the_page() -> None:
    days = tell_story(STORY, MESSAGES, PARIS)
    assert [(str(day.day), len(day.lines)) for day in days] == [
        ("2026-05-04", 3),
        ("2026-05-05", 1),
    ]
    assert len(tell_story(STORY, MESSAGES, ZoneInfo("UTC"))) == 1


def test_parts_of_a_story_are_the_whole_together() -> None:
    parts = {
        view: [line.kind for day in tell_story(STORY, MESSAGES, PARIS, view) for line in day.lines]
        for view in ("talk", "readings", "decisions")
    }
    assert parts == {
        "talk": ["message.sent", "reply"],
        "readings": ["alarm.raised"],
        "decisions": ["candidates"],
    }
