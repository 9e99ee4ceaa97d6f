"""A rule book is published while the engine runs: holds keep their deadlines, and nothing is lost."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlmodel import Session, select

from prevenant import book_switch
from prevenant.app import Engine
from prevenant.publishing import BookVersion, publish_edition, read_edition, roll_back
from prevenant.store import Store
from prevenant.stream import deciding
from prevenant.tables import Alarm
from tests.servers import wait_until
from tests.world import World, end

NADIA = "+33639980001"
BOOK = Path("rules.yaml").read_text("utf-8")
DOOR = "airport/t2/doors/D14"
LIFT = """
  lift:
    topic: towers/{site}/lifts/{device}
    fields: {stuck: bool}

rules:
  lift-stuck: {on: lift, when: stuck, severity: critical, workflow: security-callout}
"""


WATCH = """
templates:
  look: {en: {sms: Look at the door.}, fr: {sms: Regardez la porte.}}
  door_shut: {en: {sms: Door shut.}, fr: {sms: Porte refermée.}}

workflows:
  watch-it:
    - tell: security
      template: look
    - wait: alarm.cleared
      within: 1h
      otherwise: {close: expired}
    - tell: security
      template: door_shut
    - close: watched
"""


def publish(world: World, text: str, note: str = "") -> Any:
    """Publish a book through the API."""
    return requests.post(
        f"{world.engine.address}/api/v1/book",
        json={"text": text, "note": note},
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    )


def put_in_force(world: World, text: str) -> int:
    """Publish a book, and wait until the engine decides by it."""
    answer = publish(world, text)
    assert answer.status_code == 200, answer.text
    number: int = answer.json()["version"]
    expect_in_force(world, number)
    return number


def expect_in_force(world: World, number: int) -> None:
    """Wait until the engine decides by a version."""
    world.expect_story("book.in_force", f"version {number} ")
    wait_until(lambda: world.engine.host.version.number == number, f"version {number}")


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return `text` with something else in some places."""
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def without_rule(text: str, name: str) -> str:
    """Return a book without one of its rules."""
    begin = text.index(f"\n  {name}:")
    lines = text[begin + 1 :].splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines[1:], 1) if not line.startswith("   "))
    return text[: begin + 1] + "".join(lines[end:])


def with_lifts(text: str) -> str:
    """Return the book with another device type and a rule on it."""
    lift, rule = LIFT.split("\nrules:\n")
    return replaced(
        text, ("\nmodels:\n", f"{lift}\nmodels:\n"), ("\nrules:\n", f"\nrules:\n{rule}")
    )


def alarms(world: World, rule: str) -> list[Alarm]:
    """Return the alarms of a rule."""
    with world.engine.store.read() as session:
        return list(session.exec(select(Alarm).where(Alarm.rule == rule)))


def test_a_hold_that_began_before_ends_at_its_own_deadline(world: World) -> None:
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=40)
    put_in_force(world, without_rule(BOOK, "terminal-temperature"))
    world.clock.advance(seconds=19)
    world.publish("airport/t2/thermometers/T1", temperature=40.0)
    assert alarms(world, "door-held-open") == []
    world.clock.advance(seconds=1)
    world.phone(NADIA).expects_sms("Une porte est ouverte depuis une minute")
    (alarm,) = alarms(world, "door-held-open")
    assert (alarm.raised_at - alarm.onset_at).total_seconds() == 60
    world.publish(DOOR, open=False, battery=88.0)
    world.expect_case("door-held-open", state="closed", outcome="resolved")
    world.clock.advance(minutes=10)
    world.publish("airport/t2/thermometers/T1", temperature=41.0)
    assert alarms(world, "terminal-temperature") == []


def test_the_story_says_who_published_what(world: World) -> None:
    text = without_rule(BOOK, "terminal-temperature")
    answer = publish(world, with_lifts(text), "lifts instead of air").json()
    assert (answer["version"], answer["is_new"], answer["by"]) == (2, True, "administrator")
    line = world.expect_story("book.published", "version 2")
    assert "rules: added lift-stuck; removed terminal-temperature" in line.summary
    assert "devices: added lift" in line.summary
    assert "lifts instead of air" in line.summary
    assert line.detail["differences"]["rules"]["added"] == ["lift-stuck"]
    assert line.detail["note"] == "lifts instead of air"


def test_a_bad_book_leaves_the_old_one_running(world: World) -> None:
    answer = publish(world, BOOK.replace("when: open", "when: opeen"))
    assert answer.status_code == 422
    assert any("opeen" in problem["message"] for problem in answer.json()["problems"])
    assert all(problem["file"] == "rules.yaml" for problem in answer.json()["problems"])
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_sms("Une porte est ouverte")
    with world.engine.store.read() as session:
        assert [one.id for one in session.exec(select(BookVersion))] == [1]


def test_a_book_that_the_engine_cannot_take_leaves_the_old_one_running(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        message = "battery was a number"
        raise ValueError(message)

    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    monkeypatch.setattr(deciding, "hand_over", fail)
    assert publish(world, without_rule(BOOK, "door-held-open")).status_code == 200
    world.expect_story("book.refused", "version 2", "battery was a number")
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_sms("Une porte est ouverte")
    assert world.engine.host.version.number == 1
    with world.engine.store.read() as session:
        states = {one.id: one.state for one in session.exec(select(BookVersion))}
    assert states == {1: "earlier", 2: "refused"}


def test_the_same_book_again_changes_nothing(world: World) -> None:
    answer = publish(world, BOOK).json()
    assert (answer["version"], answer["is_new"]) == (1, False)


def test_the_alarm_of_a_rule_that_is_gone_is_cleared_with_its_reason(world: World) -> None:
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_sms("Une porte est ouverte")
    put_in_force(world, without_rule(BOOK, "door-held-open"))
    world.expect_story("alarm.cleared", "door-held-open", "no longer in the book")
    world.expect_case("door-held-open", state="closed")
    assert [one.state for one in alarms(world, "door-held-open")] == ["cleared"]


def test_alarms_of_a_device_type_that_is_gone_are_cleared(world: World) -> None:
    put_in_force(world, with_lifts(BOOK))
    hear(world, "towers/#")
    world.publish("towers/t2/lifts/L1", stuck=True)
    world.expect_case("lift-stuck")
    put_in_force(world, BOOK)
    world.expect_story("alarm.cleared", "lift-stuck", "device type is no longer in the book")
    assert [one.state for one in alarms(world, "lift-stuck")] == ["cleared"]
    listener = world.engine._listeners._each[0]
    wait_until(lambda: not listener._dropped, "end of the subscription")
    assert "towers/#" not in listener._asked


def hear(world: World, topic: str) -> None:
    """Wait until the broker has confirmed that we listen to a topic."""
    confirmed = world.engine._listeners._each[0].confirmed
    wait_until(lambda: topic in confirmed, f"subscription of {topic}")


def test_a_new_device_type_is_heard_and_opens_cases(world: World) -> None:
    put_in_force(world, with_lifts(BOOK))
    hear(world, "towers/#")
    world.publish("towers/t2/lifts/L1", stuck=True)
    world.expect_case("lift-stuck", workflow="security-callout")


def test_another_hold_counts_from_when_the_condition_began(world: World) -> None:
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=30)
    assert "for: 60s" in BOOK
    put_in_force(world, BOOK.replace("for: 60s", "for: 20s"))
    world.expect_case("door-held-open")
    (alarm,) = alarms(world, "door-held-open")
    assert (alarm.raised_at - alarm.onset_at).total_seconds() == 30


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_a_case_keeps_its_workflow_and_the_words_of_it(world: World, *, restarts: bool) -> None:
    begin = BOOK.index("  door-held-open:")
    own = BOOK[:begin] + BOOK[begin:].replace("security-callout", "watch-it", 1)
    put_in_force(world, replaced(own, ("\nworkflows:\n", WATCH)))
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_sms("Regardez la porte")
    number = put_in_force(world, BOOK)
    if restarts:
        end(world.engine)
        world.engine = Engine(world.engine.settings, world.clock)
        world.engine.start()
        world._published = 0
        wait_until(world.engine.listening.is_set, "subscription")
        assert world.engine.host.version.number == number
    world.publish(DOOR, open=False, battery=88.0)
    world.phone(NADIA).expects_sms("Porte refermée")
    world.expect_case("door-held-open", state="closed", outcome="watched")


def test_a_rollback_puts_the_earlier_version_in_force(world: World) -> None:
    put_in_force(world, without_rule(BOOK, "door-held-open"))
    with world.engine.store.write() as session:
        roll_back(session, 1, world.clock.now(), by="ana", note="it was needed")
    expect_in_force(world, 3)
    line = world.expect_story("book.published", "version 3", "ana")
    assert "rules: added door-held-open" in line.summary
    world.badge("t2", "D14")
    world.publish(DOOR, open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


def test_another_process_publishes_and_is_heard(world: World, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(without_rule(BOOK, "terminal-temperature"), "utf-8")
    other = Store(world.engine.store.url)
    with other.write() as session:
        publish_edition(session, read_edition(path), world.clock.now(), by="ana", origin="there")
    other.close()
    # How long it takes to read a book is the machine's affair; how soon one looks is ours.
    assert timedelta(seconds=1) > book_switch._LOOK_EVERY
    wait_until(lambda: world.engine.host.version.number == 2, "version 2")


def test_refused_payloads_are_read_again_once_their_topic_is_in_the_book(world: World) -> None:
    world.publish("airport/t2/lifts/L1", stuck=True)
    put_in_force(world, with_lifts(BOOK).replace("towers/", "airport/"))
    requests.post(
        f"{world.engine.address}/api/v1/quarantine/replay",
        json={},
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    )

    def raised(session: Session) -> Any:
        return session.exec(select(Alarm).where(Alarm.rule == "lift-stuck")).first()

    assert world.expect(raised, "alarm of the lift")
