"""What a case hears beside replies, and what each of it means."""

from collections.abc import Callable

import pytest
from sqlmodel import col, select

from notify.message import Delivery
from prevenant.crm.tables import Contact
from prevenant.domain import Severity
from tests.workflows.room import Room
from workflows.tables import Offer, WorkOrder

MakeRoom = Callable[[str], Room]

DISPATCHED = """
- dispatch: {skill: cold, offer: 10m}
  otherwise: {hand_off: dispatcher}
"""


def waits_for(fact: str, *, dispatched: bool = False) -> str:
    """Return a workflow that says whether a fact has come about."""
    return f"""
{DISPATCHED.strip() if dispatched else ""}
- tell: customer
  template: plain
  ask: confirm
- wait: {fact}
  within: 1h
  otherwise: {{close: missed}}
- close: heard
""".replace("\n\n", "\n")


@pytest.mark.parametrize(
    ("fact", "kind", "data"),
    [
        ("acknowledged", "case.acknowledged", {"by": "Zoe"}),
        ("taken_over", "case.taken", {"by": "Zoe", "note": "I go there"}),
        ("customer.confirmed", "customer.confirmed", {}),
        ("customer.moved", "customer.moved", {"note": "tomorrow"}),
        ("customer.cancelled", "customer.cancelled", {}),
    ],
)
def test_what_people_say_by_page_or_command(
    room: MakeRoom, fact: str, kind: str, data: dict[str, str]
) -> None:
    one = room(waits_for(fact))
    one.raise_alarm()
    one.tell_case("nothing.known", x=1)
    assert one.outcome[0] == "open"
    one.tell_case(kind, **data)
    assert one.outcome == ("closed", "heard")


@pytest.mark.parametrize(
    ("fact", "text"),
    [("customer.confirmed", "1"), ("customer.moved", "2"), ("customer.cancelled", "3")],
)
def test_what_the_customer_answers(room: MakeRoom, fact: str, text: str) -> None:
    one = room(waits_for(fact))
    one.raise_alarm()
    assert one.reply("ada", text) == "bound"
    assert one.outcome == ("closed", "heard")
    wanted = ["customer_needs_person"] if text != "1" else []
    assert one.told("desk") == wanted, "what is not as planned goes to a person"


@pytest.mark.parametrize("text", ["please cancel the visit", "merci d'annuler la visite"])
def test_cancelling_in_words_is_no_opting_out(room: MakeRoom, text: str) -> None:
    one = room(waits_for("customer.cancelled"))
    one.raise_alarm()
    assert one.reply("ada", text) == "bound"
    assert one.outcome == ("closed", "heard")


@pytest.mark.parametrize(
    ("state", "fact"), [("delivered", "message.delivered"), ("failed", "message.failed")]
)
def test_what_became_of_the_customers_message(room: MakeRoom, state: str, fact: str) -> None:
    one = room(waits_for(fact))
    one.raise_alarm()
    one.deliver(state)
    assert one.outcome == ("closed", "heard")


@pytest.mark.parametrize(
    ("first", "last", "outcome"),
    [
        ("message.delivered", "message.failed", "failed"),
        ("message.failed", "message.delivered", "delivered"),
    ],
)
def test_the_last_word_on_a_message_counts(
    room: MakeRoom, first: str, last: str, outcome: str
) -> None:
    one = room("""
- tell: customer
  template: plain
- wait: alarm.cleared
  within: 1h
  otherwise: {close: missed}
- if: message.failed and not message.delivered
  then: {close: failed}
- if: message.delivered and not message.failed
  then: {close: delivered}
""")
    one.raise_alarm()
    (message,) = one.messages()
    for kind in (first, last):
        one.tell_case(kind, message=message.key, role="customer", reason="", contact="ada")
    one.clear_alarm()
    assert one.outcome == ("closed", outcome)


def test_only_the_latest_message_to_the_customer_counts(room: MakeRoom) -> None:
    one = room("""
- tell: customer
  template: plain
- tell: guard
  template: plain
- wait: alarm.cleared
  within: 1m
  otherwise: {tell: customer, template: plain}
- wait: message.delivered
  within: 1h
  otherwise: {close: missed}
- close: reached
""")
    one.raise_alarm()
    one.deliver()
    one.pass_time(minutes=1)
    assert one.outcome[0] == "open", "the second one has not arrived yet"
    one.deliver(to="ada")
    assert one.outcome == ("closed", "reached")


@pytest.mark.parametrize("state", ["en_route", "arrived", "done"])
def test_what_the_technician_says_on_the_page(room: MakeRoom, state: str) -> None:
    one = room(waits_for(f"technician.{state}", dispatched=True))
    one.raise_alarm()
    one.reply("tom", "1")
    one.tell_case(f"work_order.{state}", cause="seal worn")
    assert one.outcome == ("closed", "heard")
    with one.store.read() as session:
        order = session.exec(select(WorkOrder)).one()
    # The case is over with it: who is still on the way need not come, who is there is done.
    assert order.state == {"en_route": "cancelled", "arrived": "done", "done": "done"}[state]
    assert order.cause == ("seal worn" if state == "done" else "")


def test_word_that_comes_late_puts_no_job_back(room: MakeRoom) -> None:
    one = room(waits_for("alarm.cleared", dispatched=True))
    one.raise_alarm()
    one.reply("tom", "1")
    one.tell_case("work_order.done")
    one.tell_case("work_order.en_route")
    with one.store.read() as session:
        assert session.exec(select(WorkOrder)).one().state == "done"


def test_an_accepted_job_is_a_fact(room: MakeRoom) -> None:
    one = room("""
tracks:
  customer:
    - wait: technician.accepted
      within: 1h
      otherwise: {close: nobody}
    - tell: customer
      template: visit_planned
  staff:
    - dispatch: {skill: cold}
      otherwise: {hand_off: dispatcher}
    - wait: technician.done
      within: 8h
      otherwise: {hand_off: dispatcher}
    - close: repaired
""")
    one.raise_alarm()
    assert one.told("ada") == []
    one.reply("tom", "1")
    assert one.told("ada") == ["visit_planned"]
    one.reply("tom", "3 seal worn")
    assert one.outcome == ("closed", "customer: completed; staff: repaired")


def test_a_visit_that_is_cancelled_is_taken_from_its_technician(room: MakeRoom) -> None:
    one = room(waits_for("alarm.cleared", dispatched=True))
    one.raise_alarm()
    one.reply("tom", "1")
    one.tell_case("customer.cancelled")
    with one.store.read() as session:
        assert session.exec(select(WorkOrder)).one().state == "cancelled"
    assert one.told("tom")[-1] == "job_over"
    assert one.told("desk") == ["customer_needs_person"]


def test_a_case_that_ends_withdraws_the_offers_that_are_out(room: MakeRoom) -> None:
    one = room("""
- parallel:
    - - dispatch: {skill: cold, at_once: 2}
        otherwise: {hand_off: dispatcher}
    - - wait: alarm.cleared
        within: 1h
        otherwise: {close: late}
      - close: over
""")
    one.raise_alarm()
    one.clear_alarm()
    assert one.outcome == ("closed", "over")
    with one.store.read() as session:
        assert {offer.state for offer in session.exec(select(Offer))} == {"withdrawn"}
    assert one.told("tom") == ["job_offer", "job_over"]
    assert one.reply("tom", "1") == "bound"
    assert one.told("tom")[-1] == "job_over"


def test_who_takes_a_case_over_has_it_and_ends_its_workflow(room: MakeRoom) -> None:
    one = room("- escalate: [guard, chief]\n- close: on")
    one.raise_alarm()
    one.tell_case("case.taken", by="Zoe")
    assert one.outcome == ("handed_over", "handed over to Zoe")
    assert (one.case().owner, one.case().due_at) == ("Zoe", None)


def test_who_takes_over_what_somebody_has_is_the_one_who_has_it(room: MakeRoom) -> None:
    one = room("- escalate: [guard, chief]\n- close: on")
    one.raise_alarm()
    one.tell_case("case.taken", by="Zoe")
    one.tell_case("case.taken", by="Max", note="she is ill")
    assert one.case().owner == "Max"
    assert one.story("taken_over")[-1] == "Max takes it over from Zoe: she is ill"
    one.tell_case("case.taken", by="Max")
    assert len(one.story("taken_over")) == 2
    assert one.outcome[0] == "handed_over"


def test_who_acknowledges_a_case_ends_its_escalation(room: MakeRoom) -> None:
    one = room("- escalate: [guard, chief]\n- close: on")
    one.raise_alarm()
    one.tell_case("case.acknowledged", by="Zoe")
    assert (one.outcome, one.case().owner) == (("closed", "on"), "Zoe")


@pytest.mark.parametrize("before", ["open", "handed_over"])
def test_who_resolves_a_case_closes_it(room: MakeRoom, before: str) -> None:
    one = room("- hand_off: guard")
    one.raise_alarm()
    if before == "handed_over":
        one.reply("guard", "1")
        assert one.outcome[0] == before
    one.tell_case("case.resolved", by="Zoe", note="it was unplugged")
    assert one.outcome == ("closed", "resolved by Zoe: it was unplugged")
    assert one.case().closed_at == one.clock.now()
    one.tell_case("case.resolved", by="Tom")
    assert one.outcome[1] == "resolved by Zoe: it was unplugged"


def test_an_escalation_goes_on_where_nobody_was_reached(room: MakeRoom) -> None:
    one = room("- escalate: [guard, chief]\n  within: 15m\n- close: on")
    one.raise_alarm()
    one.deliver("failed")
    one.deliver("failed")
    assert one.told() == ["guard escalation", "chief escalation"]
    assert "escalation.unreached" in one.kinds()
    one.deliver("failed")
    assert len(one.told()) == 2, "the round is over: it keeps its pace"


@pytest.mark.parametrize("step", ["escalate: [guard, chief]", "hand_off: [guard, chief]"])
def test_who_has_no_address_is_not_waited_for(room: MakeRoom, step: str) -> None:
    one = room(f"- {step}\n  within: 15m")
    with one.store.write() as session:
        session.get_one(Contact, "guard").phone = ""
    one.raise_alarm()
    assert one.told() == ["guard escalation", "chief escalation"]
    assert "escalation.unreached" in one.kinds()


def test_an_offer_to_somebody_who_cannot_get_it_goes_to_the_next_at_once(room: MakeRoom) -> None:
    one = room("- dispatch: {skill: cold, channels: sms}\n  otherwise: {hand_off: dispatcher}")
    with one.store.write() as session:
        tom = session.get_one(Contact, "tom")
        tom.phone, tom.email = "", "tom@valmont.example"
    one.raise_alarm()
    with one.store.read() as session:
        offers = session.exec(select(Offer).order_by(col(Offer.id))).all()
    assert [(offer.technician_id, offer.state) for offer in offers] == [
        ("tom", "unreachable"),
        ("tim", "open"),
    ]


def test_what_takes_the_next_channel_after_a_severity_rose_is_as_urgent(room: MakeRoom) -> None:
    one = room("- hand_off: guard\n  channels: [sms, voice]")
    one.raise_alarm(Severity.MINOR)
    one.level_alarm(Severity.CRITICAL)
    one.deliver("failed")
    with one.store.read() as session:
        waiting = session.exec(select(Delivery).where(Delivery.state == "queued")).one()
    assert (waiting.channel, waiting.severity) == ("voice", Severity.CRITICAL)


def test_a_severity_that_rises_makes_what_waits_and_what_follows_more_urgent(
    room: MakeRoom,
) -> None:
    one = room("""
- tell: guard
  template: plain
- wait: alarm.levelled
  within: 1h
  otherwise: {close: same}
- tell: chief
  template: plain
""")
    one.raise_alarm(Severity.MINOR)
    one.level_alarm(Severity.LIFE_SAFETY)
    with one.store.read() as session:
        severities = [one.severity for one in session.exec(select(Delivery))]
    assert severities == [5, 5]
    assert one.case().severity == 5
    assert one.story("alarm.levelled") == ["from minor to life_safety: because"]


def test_a_severity_that_falls_leaves_what_waits_as_urgent_as_it_was(room: MakeRoom) -> None:
    one = room("""
- tell: guard
  template: plain
- wait: alarm.levelled
  within: 1h
  otherwise: {close: same}
- tell: chief
  template: plain
""")
    one.raise_alarm(Severity.CRITICAL)
    one.level_alarm(Severity.MINOR)
    with one.store.read() as session:
        severities = [one.severity for one in session.exec(select(Delivery))]
    assert severities == [4, 2]
