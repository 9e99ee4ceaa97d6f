"""Figures of cases that really ran, beside what a person reckons from their story."""

import csv
import io
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import select

from notify.replies.inbound import Reply
from prevenant.crm.tables import Customer, Site
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.kpis import KPIS, Asked, Figure, as_csv, measure, view_measured
from prevenant.kpis.measuring import By
from prevenant.shelving import acknowledge
from prevenant.store import Store
from prevenant.tables import Alarm
from tests.moved_clock import MovedClock
from tests.workflows.room import Room, read_workflow
from workflows import deskwork
from workflows.own_alarm import AUDIT_RULE

MIN, HOUR, DAY = 60.0, 3600.0, 86_400.0

VISIT = """
- tell: customer
  template: plain
- dispatch: {skill: cold, within: 60 km}
  otherwise: {hand_off: dispatcher}
- wait: technician.done
  within: 8h
  otherwise: {hand_off: dispatcher}
- survey: csat
- close: done
"""
STAFF = """
- escalate: [guard]
  within: 30m
- wait: alarm.cleared
  within: 24h
  otherwise: {hand_off: dispatcher}
- close: over
"""


@pytest.fixture
def room(store: Store, clock: MovedClock) -> Room:
    return Room(store, clock, VISIT)


def asked(room: Room, **wanted: object) -> Asked:
    """Return a question about all that has happened so far."""
    now = room.clock.now()
    whole = {"since": now - timedelta(days=60), "until": now + timedelta(seconds=1)}
    return Asked(**{**whole, **wanted})  # type: ignore[arg-type]


def figure(room: Room, name: str, **wanted: object) -> Figure:
    """Return one figure as a whole."""
    with room.store.read() as session:
        (found,) = measure(session, asked(room, names=[name], **wanted))
    return found.parts[0].whole


def visit(room: Room, *, en_route: int = 10, arrives: int = 20, works: int = 30) -> None:
    """Have Tom accept, set out, arrive and be done, each after so many minutes."""
    room.deliver(to="tom")
    room.reply("tom", "1")
    for text, minutes in (("1", en_route), ("2", arrives), ("3 confirmed: seal", works)):
        room.pass_time(minutes=minutes)
        room.reply("tom", text)


def test_a_visit_from_alarm_to_answer(room: Room) -> None:
    room.raise_alarm()
    room.pass_time(minutes=2)
    room.deliver(to="ada")
    room.pass_time(minutes=3)
    visit(room)
    assert room.outcome == ("closed", "done")
    room.deliver(to="ada")
    room.reply("ada", "5")
    # 2 to tell Ada; at 5 Tom accepts, at 15 he sets out, at 35 he arrives, at 65 he is done.
    assert figure(room, "time_to_tell") == Figure(2 * MIN, 1, 2 * MIN)
    assert figure(room, "time_to_tell_customer") == Figure(2 * MIN, 1, 2 * MIN)
    assert figure(room, "time_to_acknowledge") == Figure(5 * MIN, 1, 5 * MIN)
    assert figure(room, "time_to_arrive") == Figure(35 * MIN, 1, 35 * MIN)
    assert figure(room, "time_to_resolve") == Figure(65 * MIN, 1, 65 * MIN)
    assert figure(room, "handling_time") == Figure(50 * MIN, 1, 50 * MIN)
    assert figure(room, "first_visit_fix") == Figure(100.0, 1)
    assert figure(room, "solved_before_call") == Figure(100.0, 1)
    assert figure(room, "told_before_call") == Figure(100.0, 1)
    assert figure(room, "csat") == Figure(100.0, 1)
    assert figure(room, "nps") == Figure(None)


def test_a_message_that_failed_has_told_nobody(room: Room) -> None:
    room.raise_alarm()
    room.pass_time(minutes=1)
    room.deliver("failed", to="ada")
    assert figure(room, "time_to_tell_customer") == Figure(None, 0, None, missing=1)
    room.pass_time(minutes=1)
    room.deliver("sent", to="tom")
    assert figure(room, "time_to_tell") == Figure(2 * MIN, 1, 2 * MIN)


def test_of_two_technicians_only_who_was_done_has_worked(room: Room) -> None:
    room.raise_alarm()
    room.deliver()
    room.reply("tom", "1")
    room.pass_time(minutes=5)
    room.reply("tom", "on my way")
    room.pass_time(minutes=5)
    room.reply("tom", "I cannot come")
    room.deliver()
    room.reply("tim", "1")
    for text in ("1", "2", "3 seal"):
        room.pass_time(minutes=15)
        room.reply("tim", text)
    assert room.outcome == ("closed", "done")
    assert figure(room, "handling_time") == Figure(30 * MIN, 1, 30 * MIN)
    assert figure(room, "time_to_arrive") == Figure(40 * MIN, 1, 40 * MIN)
    assert figure(room, "first_visit_fix") == Figure(100.0, 1)


def test_what_is_back_within_a_week_was_not_mended(room: Room) -> None:
    room.raise_alarm()
    room.deliver()
    visit(room)
    room.clear_alarm()
    room.pass_time(days=6, hours=23)
    assert figure(room, "first_visit_fix") == Figure(100.0, 1)
    room.raise_alarm()
    assert figure(room, "first_visit_fix") == Figure(0.0, 1)
    room.deliver()
    visit(room)
    room.clear_alarm()
    room.pass_time(days=8)
    room.raise_alarm()
    assert figure(room, "first_visit_fix") == Figure(50.0, 2)


def test_somebody_at_the_desk_takes_it(room: Room) -> None:
    room.use(read_workflow(STAFF))
    room.raise_alarm()
    room.deliver()
    room.pass_time(minutes=4)
    number = room.case().id or 0
    with room.store.write() as session:
        deskwork.post(session, deskwork.ACKNOWLEDGED, number, room.clock.now(), "Camille", "")
    room.work()
    room.pass_time(minutes=20)
    room.clear_alarm()
    assert room.outcome == ("closed", "over")
    assert figure(room, "time_to_acknowledge") == Figure(4 * MIN, 1, 4 * MIN)
    assert figure(room, "handling_time") == Figure(20 * MIN, 1, 20 * MIN)
    assert figure(room, "time_to_arrive") == Figure(None)
    assert figure(room, "told_before_call") == Figure(None)


def test_an_alarm_that_is_acknowledged_counts_for_its_case(room: Room) -> None:
    room.use(read_workflow(STAFF))
    room.raise_alarm()
    room.pass_time(minutes=7)
    with room.store.write() as session:
        acknowledge(session, room.case().alarm_id, room.clock.now(), "Camille")
    room.work()
    assert figure(room, "time_to_acknowledge").value == 7 * MIN


@pytest.mark.parametrize(
    ("text", "told", "solved"), [("1", 100.0, 100.0), ("I want to talk to a person", 100.0, 0.0)]
)
def test_an_answer_is_no_call(room: Room, text: str, told: float, solved: float) -> None:
    room.use(
        read_workflow("""
- tell: customer
  template: plain
  ask: confirm
- wait: alarm.cleared
  within: 8h
  otherwise: {close: late}
- close: over
""")
    )
    room.raise_alarm()
    room.deliver()
    room.pass_time(minutes=1)
    room.reply("ada", text)
    room.pass_time(minutes=1)
    room.clear_alarm()
    assert figure(room, "told_before_call").value == told
    assert figure(room, "solved_before_call").value == solved


def test_who_complains_before_being_told_has_called_first(room: Room) -> None:
    room.raise_alarm()
    room.pass_time(minutes=1)
    with room.store.write() as session:
        session.add(
            Reply(
                provider_id="in",
                channel="sms",
                address="",
                contact_id="ada",
                text="my fridge is warm",
                received_at=room.clock.now(),
                outcome="unclear",
            )
        )
    room.pass_time(minutes=1)
    room.deliver()
    visit(room)
    assert figure(room, "told_before_call") == Figure(0.0, 1)
    assert figure(room, "solved_before_call") == Figure(0.0, 1)


def test_detecting_leaves_out_what_had_passed_and_what_is_our_own(room: Room) -> None:
    now = room.clock.now()
    with room.store.write() as session:
        for number, (rule, held, cleared) in enumerate(
            [("hot", 90, False), ("hot", 30, True), (AUDIT_RULE, 5, False)]
        ):
            session.add(
                Alarm(
                    rule=rule,
                    device_type="room",
                    site_id="s",
                    device_id=f"s/{number}",
                    severity=3,
                    state="cleared" if cleared else "active",
                    onset_at=now - timedelta(seconds=held),
                    raised_at=now,
                    cleared_at=now if cleared else None,
                    reason="",
                )
            )
    assert figure(room, "time_to_detect") == Figure(90.0, 1, 90.0)


@pytest.fixture
def two_sites(room: Room) -> Room:
    """Return a room in which two alarms were at home on two days, and one at an office."""
    with room.store.write() as session:
        session.add(Customer(id="firm", name="=Firm"))
        session.flush()
        session.add(Site(id="o", name="Office", customer_id="firm", latitude=48.0, longitude=2.0))
    room.use(read_workflow(STAFF))
    room.raise_alarm(device="s/a")
    room.pass_time(minutes=1)
    room.deliver()
    room.pass_time(days=1)
    room.raise_alarm(Severity.CRITICAL, device="s/b")
    room.pass_time(minutes=3)
    room.deliver()
    with room.store.write() as session:
        alarm = session.exec(select(Alarm).where(Alarm.device_id == "s/b")).one()
        alarm.severity = Severity.CRITICAL
        session.add(alarm)
    return room


def test_figures_by_period_and_group(two_sites: Room) -> None:
    zone = ZoneInfo("Europe/Paris")
    now = two_sites.clock.now()
    question = asked(
        two_sites,
        names=["time_to_tell"],
        every="day",
        by="severity",
        zone=zone,
        since=now - timedelta(days=2),
    )
    with two_sites.store.read() as session:
        (found,) = measure(session, question)
    assert [(one.group, one.whole.value) for one in found.parts] == [
        ("critical", 3 * MIN),
        ("major", 1 * MIN),
    ]
    critical, major = found.parts
    assert [figure.count for _, figure in major.trend] == [0, 1, 0]
    assert [figure.count for _, figure in critical.trend] == [0, 0, 1]
    assert [str(at.astimezone(zone).date()) for at, _ in major.trend] == [
        "2026-05-03",
        "2026-05-04",
        "2026-05-05",
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (None, [("", "", 2)]),
        ("site", [("s", "Home", 2)]),
        ("customer", [("home", "The household", 2)]),
        ("rule", [("hot", "hot", 2)]),
    ],
)
def test_groups_are_called_by_their_names(
    two_sites: Room, by: By | None, groups: list[tuple[str, str, int]]
) -> None:
    with two_sites.store.read() as session:
        (found,) = measure(session, asked(two_sites, names=["time_to_tell"], by=by))
    assert [(one.group, one.label, one.whole.count) for one in found.parts] == groups


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"sites": frozenset({"s"})}, 2),
        ({"sites": frozenset({"o"})}, 0),
        ({"sites": frozenset()}, 0),
        ({"sites": frozenset({"o"}), "site": "s"}, 0),
        ({"site": "s"}, 2),
        ({"customer": "home"}, 2),
        ({"customer": "firm"}, 0),
        ({"rule": "cold"}, 0),
        ({"severity": Severity.CRITICAL}, 1),
    ],
)
def test_nobody_is_shown_figures_of_other_places(
    two_sites: Room, wanted: dict[str, object], count: int
) -> None:
    for kpi in ("time_to_tell", "time_to_detect"):
        assert figure(two_sites, kpi, **wanted).count == count


def test_csv_holds_definitions_and_no_formula(two_sites: Room) -> None:
    with two_sites.store.write() as session:
        session.get_one(Site, "s").name = "=Home"
    zone = ZoneInfo("Europe/Paris")
    with two_sites.store.read() as session:
        found = measure(session, asked(two_sites, by="site", every="month", zone=zone))
    rows = list(csv.DictReader(io.StringIO(as_csv(found, zone, "fr"))))
    told = [row for row in rows if row["kpi"] == "time_to_tell"]
    assert [row["label"] for row in told] == ["'=Home"] * 4
    whole = told[0]
    assert (whole["from"], whole["value"], whole["count"]) == ("", "120.0", "2")
    assert told[-1]["from"] == "2026-05-01T00:00:00+02:00"
    assert whole["times"].startswith("De l'alarme")


def test_every_figure_is_whole(two_sites: Room) -> None:
    with two_sites.store.read() as session:
        found = [view_measured(one) for one in measure(session, asked(two_sites, every="week"))]
    assert [one["name"] for one in found] == [kpi.name for kpi in KPIS]
    for one in found:
        assert all(one[key] for key in ("title", "counts", "times", "left_out", "unit"))
        (part,) = one["parts"]
        assert sum(period["count"] for period in part["trend"]) == part["count"]
    for kpi in KPIS:
        assert kpi.words.keys() == {"en", "fr"}


def test_questions_that_cannot_be_answered(two_sites: Room) -> None:
    now = two_sites.clock.now()

    def refused(**wanted: object) -> str:
        with two_sites.store.read() as session, pytest.raises(ConfigurationError) as error:
            measure(session, asked(two_sites, **wanted))
        return str(error.value)

    assert "did you mean 'time_to_tell'" in refused(names=["time_to_tel"])
    assert "before it begins" in refused(since=now, until=now)
    assert "more than 800" in refused(since=now - timedelta(days=900), every="day")
