"""`tell`: the customer, the site's contact, a role, the technician, the nearest of a role."""

from collections.abc import Callable

import pytest

from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, RoleHolder, Site, Technician
from prevenant.document import read_yaml
from prevenant.errors import Problem
from tests.workflows.room import Room, make_templates
from workflows.on_call_reading import read_schedules

MakeRoom = Callable[[str], Room]


@pytest.mark.parametrize(
    ("whom", "expected"),
    [
        ("customer", ["ada plain"]),
        ("site-contact", ["ada plain"]),
        ("chief", ["chief plain"]),
        ("nobody", []),
    ],
)
def test_whom(room: MakeRoom, whom: str, expected: list[str]) -> None:
    one = room(f"- tell: {whom}\n  template: plain")
    one.raise_alarm()
    assert one.told() == expected
    assert one.outcome == ("closed", "completed")
    assert ("tell.nobody" in one.kinds()) is (not expected)


def test_a_site_that_names_nobody_has_its_customers_first_contact(room: MakeRoom) -> None:
    one = room("- tell: customer\n  template: plain\n- tell: site-contact\n  template: plain")
    with one.store.write() as session:
        site = session.get_one(Site, "s")
        site.contact_id = None
        session.add(site)
    one.raise_alarm()
    assert one.told() == ["ada plain"]


def test_the_technician_is_the_one_who_has_the_job(room: MakeRoom) -> None:
    one = room("""
- dispatch: {skill: cold}
  otherwise: {hand_off: desk}
- tell: technician
  template: plain
""")
    one.raise_alarm()
    one.reply("tom", "1")
    assert one.told("tom") == ["job_offer", "job_accepted", "plain"]


def test_the_nearest_of_a_role_wherever_they_have_it(room: MakeRoom) -> None:
    one = room("- tell: {nearest: 2, role: medic}\n  template: plain")
    with one.store.write() as session:
        for number, north in enumerate((30, 10, 20)):
            name = f"medic{number}"
            session.add(Contact(id=name, name=name, phone=f"+336399901{number}"))
            session.flush()
            session.add(
                Site(id=name, name=name, customer_id="home", latitude=48 + north, longitude=2)
            )
            session.flush()
            session.add(RoleHolder(contact_id=name, role="medic", site_id=name))
        session.add(RoleHolder(contact_id="guard", role="medic"))
    one.raise_alarm()
    assert one.told() == ["medic1 plain", "medic2 plain"]


def test_a_technician_is_near_where_last_seen(room: MakeRoom) -> None:
    one = room("- tell: {nearest: 1, role: medic}\n  template: plain")
    with one.store.write() as session:
        session.add(RoleHolder(contact_id="tom", role="medic"))
        session.add(RoleHolder(contact_id="tim", role="medic"))
        tim = session.get_one(Technician, "tim")
        tim.position_latitude, tim.position_longitude = 48.0, 2.0
        session.add(tim)
    one.raise_alarm()
    assert one.told() == ["tim plain"]
    assert parse_shifts("always")


def test_nobody_is_near_where_the_place_is_not_known(room: MakeRoom) -> None:
    one = room("- tell: {nearest: 1, role: guard}\n  template: plain")
    with one.store.write() as session:
        session.add(RoleHolder(contact_id="chief", role="guard", site_id="s"))
        session.add(Contact(id="zoe", name="Zoe", phone="+33639990999"))
        session.flush()
        session.add(RoleHolder(contact_id="zoe", role="guard"))
    one.raise_alarm(device="elsewhere/x")
    # The site of the alarm is known, that of the device is: both say where it is not.
    assert len(one.told()) == 1


def test_staff_get_a_plain_text_where_the_template_cannot_be_worded(room: MakeRoom) -> None:
    one = room("- tell: guard\n  template: odd\n  ask: acknowledge")
    one.templates = make_templates("odd: {en: {sms: '{{ values.temperature + 1 }}'}}")
    one.use(one.runtime._story.workflows["visit"])
    one.raise_alarm(values={})
    assert one.told() == ["guard plain_notice"]
    assert "temperature" in one.story("message.unworded")[0]
    assert one.messages()[0].texts["sms"].startswith("Case ")


def test_a_customer_who_cannot_be_worded_to_brings_a_person(room: MakeRoom) -> None:
    one = room("- tell: customer\n  template: odd")
    one.templates = make_templates("odd: {en: {sms: '{{ values.temperature + 1 }}'}}")
    one.use(one.runtime._story.workflows["visit"])
    one.raise_alarm(values={})
    one.pass_time(seconds=5)
    one.pass_time(seconds=5)
    assert one.told() == ["desk case_failed"]
    assert one.outcome[0] == "open"
    assert "cannot go on" in one.outcome[1]
    one.reply("desk", "1")
    assert one.outcome == ("handed_over", "handed over to Desk")


def test_who_is_on_call_is_told_and_asked_in_their_turn(room: MakeRoom) -> None:
    problems: list[Problem] = []
    text = "night: {timezone: UTC, layers: [{people: [chief]}]}"
    document = read_yaml(text, problems, "rules.yaml")
    assert document is not None
    one = room("""
- tell: on-call:night
  template: plain
- escalate: [on-call:gone, on-call:night]
  within: 5m
- close: on
""")
    story = one.runtime._story
    one.runtime.change_book(
        story.workflows, story.routes, story.templates, read_schedules([document])
    )
    one.raise_alarm()
    assert one.told() == ["chief plain", "chief escalation"]
    assert one.story("on_call.nobody") == ["the book in force has no schedule 'gone'"]
    one.reply("chief", "1")
    assert one.outcome == ("closed", "on")
