"""A reply binds to the question that it answers; where that is not clear, the person is asked."""

from collections.abc import Callable

import pytest
from sqlmodel import select

from notify.consent import find_objection, has_opted_out, wants_no_calls, wants_stop
from notify.message import Ask, Delivery, Draft, Message, Recipient, queue_message
from notify.replies import Inbound, Reply, intent_for, read_meaning, receive
from notify.templating import Templates
from prevenant.consent import Consent, record_consent
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock

TEMPLATES = Templates()
NUMBER = "+33639980041"


@pytest.mark.parametrize(
    ("ask", "text", "intent"),
    [
        ("offer", "1", "accept"),
        ("offer", " 1. ", "accept"),
        ("offer", "2", "decline"),
        ("offer", "Yes please", "accept"),
        ("offer", "OUI", "accept"),
        ("offer", "d'accord", "accept"),
        ("offer", "non merci", "decline"),
        ("offer", "No", "decline"),
        ("offer", "3", None),
        ("offer", "perhaps tomorrow", None),
        ("acknowledge", "1", "accept"),
        ("confirm", "2", "decline"),
        ("confirm", "un autre jour svp", "decline"),
        ("progress", "1", "en_route"),
        ("progress", "on my way!", "en_route"),
        ("progress", "en route", "en_route"),
        ("progress", "2", "arrived"),
        ("progress", "arrived", "arrived"),
        ("progress", "sur place", "arrived"),
        ("progress", "3 relay replaced", "done"),
        ("progress", "terminé", "done"),
        ("rating", "5", "rate"),
        ("rating", "6", None),
        ("rating", "great", "thanks"),
        ("confirm", "I want to talk to somebody", "talk"),
        ("rating", "je veux parler à quelqu'un", "talk"),
    ],
)
def test_what_a_text_means_depends_on_the_question(ask: str, text: str, intent: str | None) -> None:
    assert intent_for(ask, read_meaning(text)) == intent


@pytest.mark.parametrize("text", ["STOP", "stop", "Arrêt", "ARRÊTER", "stop please", "STOP SVP"])
def test_stop_is_understood(text: str) -> None:
    assert wants_stop(text)


@pytest.mark.parametrize("text", ["1", "do not stop now my friend", "yes", ""])
def test_other_words_are_not_stop(text: str) -> None:
    assert not wants_stop(text)


@pytest.fixture
def ask(store: Store, clock: MovedClock) -> Callable[[int, str], None]:
    """Return how to ask a contact something in a case."""

    def asking(case_id: int, kind: str) -> None:
        recipient = Recipient("camille", "Camille Roux", "customer", "en", "UTC", {"sms": NUMBER})
        draft = Draft(
            f"{case_id}-{kind}", recipient, "reply_stopped", {}, [["sms"]], 3, case_id, Ask(kind)
        )
        with store.write() as session:
            queue_message(session, TEMPLATES, draft, clock.now())

    return asking


@pytest.fixture
def say(store: Store, clock: MovedClock) -> Callable[[str], Reply]:
    """Return how the contact says something."""
    count = iter(range(1_000))

    def saying(text: str, provider_id: str = "") -> Reply:
        meaning = read_meaning(text)
        with store.write() as session:
            inbound = Inbound(provider_id or f"SM{next(count)}", "sms", NUMBER, text)
            return receive(session, TEMPLATES, inbound, clock.now(), meaning=meaning)

    return saying


Asking = Callable[[int, str], None]
Saying = Callable[..., Reply]


def events(store: Store) -> list[tuple[int | None, str]]:
    """Return the cases that have something to hear, and what."""
    with store.read() as session:
        return [(e.case_id, e.data["intent"]) for e in session.exec(select(CaseEvent))]


def answers(store: Store) -> list[str]:
    """Return the texts that were answered to replies."""
    with store.read() as session:
        messages = session.exec(select(Message).where(Message.template != "reply_stopped"))
        return [str(message.texts["sms"]) for message in messages]


def test_a_reply_goes_to_the_case_that_asked(ask: Asking, say: Saying, store: Store) -> None:
    ask(17, "confirm")
    reply = say("1")
    assert (reply.outcome, reply.case_id, reply.intent) == ("bound", 17, "accept")
    assert events(store) == [(17, "accept")]


def test_an_answer_by_a_number_may_want_a_person_all_the_same(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "rating")
    say("1, call me back please")
    with store.read() as session:
        (event,) = session.exec(select(CaseEvent)).all()
    assert (event.data["intent"], event.data["wish"]) == ("rate", "talk")


def test_a_mail_whose_sender_is_not_proven_stops_and_starts_nothing(
    store: Store, clock: MovedClock
) -> None:
    for number, text in enumerate(["STOP", "START", "1"]):
        with store.write() as session:
            inbound = Inbound(f"mail:{number}", "email", "ada@home.example", text, is_unproven=True)
            reply = receive(session, TEMPLATES, inbound, clock.now())
            assert (reply.outcome, reply.contact_id) == ("unknown sender", "")
            assert "not proven" in reply.reason
    with store.read() as session:
        assert not has_opted_out(session, "email", "ada@home.example")


def test_stop_by_mail_holds_however_the_address_is_written(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        inbound = Inbound("mail:1", "email", "Ada@Home.example", "STOP")
        receive(session, TEMPLATES, inbound, clock.now())
    with store.read() as session:
        assert has_opted_out(session, "email", "ada@home.example")
        assert has_opted_out(session, "email", "ADA@home.example")
    with store.write() as session:
        inbound = Inbound("mail:2", "email", "aDa@home.example", "START")
        receive(session, TEMPLATES, inbound, clock.now())
    with store.read() as session:
        assert not has_opted_out(session, "email", "Ada@Home.example")


def test_cancel_alone_is_stop_by_sms_and_an_answer_elsewhere() -> None:
    assert wants_stop("Cancel", "sms")
    assert not wants_stop("Cancel", "email")
    assert wants_stop("STOP", "email")


def test_the_same_message_twice_is_one_reply(ask: Asking, say: Saying, store: Store) -> None:
    ask(17, "confirm")
    say("1", "SMsame")
    say("1", "SMsame")
    assert events(store) == [(17, "accept")]


def test_of_two_questions_the_one_that_fits_is_answered(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "rating")
    ask(18, "offer")
    say("4")
    assert events(store) == [(17, "rate")]


def test_where_two_cases_could_be_meant_the_person_is_asked_which(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "offer")
    ask(18, "offer")
    assert say("1").outcome == "ambiguous"
    assert events(store) == []
    assert "1 17" in answers(store)[0]
    assert "1 18" in answers(store)[0]
    assert say("1 18").case_id == 18
    assert events(store) == [(18, "accept")]


def test_an_unclear_reply_gets_a_clear_question(ask: Asking, say: Saying, store: Store) -> None:
    ask(17, "confirm")
    assert say("blue, I think").outcome == "unclear"
    assert "Reply 1 if the visit suits you" in answers(store)[0]
    assert events(store) == []


def test_somebody_unknown_is_kept_and_gets_no_answer(say: Saying, store: Store) -> None:
    assert say("1").outcome == "unknown sender"
    assert answers(store) == []


def test_stop_is_kept_with_its_words_and_start_takes_it_back(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "confirm")
    assert say("Stop please").outcome == "opted out"
    with store.read() as session:
        assert has_opted_out(session, "sms", NUMBER)
        assert not has_opted_out(session, "voice", NUMBER)
    assert say("START").outcome == "opted in"
    with store.read() as session:
        assert not has_opted_out(session, "sms", NUMBER)
        assert session.exec(select(Delivery)).all()


def test_start_at_a_number_that_two_share_takes_back_what_either_has_stopped(
    say: Saying, store: Store, clock: MovedClock
) -> None:
    def tell(who: str, channel: str, address: str) -> None:
        recipient = Recipient(who, who.title(), "customer", "en", "UTC", {channel: address})
        draft = Draft(f"{who} {channel}", recipient, "reply_stopped", {}, [[channel]], 3, 17)
        with store.write() as session:
            queue_message(session, TEMPLATES, draft, clock.now())

    def objections() -> dict[str, str]:
        with store.read() as session:
            return {
                who: find_objection(session, "sms", NUMBER, who) for who in ("ada", "bob", "eve")
            }

    with store.write() as session:
        at_desk = Consent(
            contact_id="eve", channel="sms", state="withdrawn", at=clock.now(), source="desk"
        )
        record_consent(session, at_desk)
    tell("eve", "sms", NUMBER)
    tell("ada", "sms", NUMBER)
    tell("bob", "email", "bob@home.example")
    assert say("STOP").contact_id == "ada", "whoever was written to there has said it"
    assert all(objections().values())
    tell("bob", "sms", NUMBER)
    clock.advance(minutes=1)
    assert say("START").outcome == "opted in"
    found = objections()
    assert (found["ada"], found["bob"]) == ("", "")
    assert "(desk)" in found["eve"], "what was said elsewhere stays"


def test_help_is_answered_with_who_we_are_and_how_to_stop(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "confirm")
    assert say("Help please").outcome == "helped"
    (answer,) = answers(store)
    assert "Prevenant" in answer
    assert "STOP" in answer
    assert events(store) == []


def test_a_call_for_a_person_reaches_the_latest_case(
    ask: Asking, say: Saying, store: Store
) -> None:
    ask(17, "confirm")
    ask(18, "rating")
    say("I want to talk to a person")
    assert events(store) == [(18, "talk")]
    assert answers(store) == []


@pytest.mark.parametrize("text", ["1 2", "1/2", "oui si c'est payé double"])
def test_a_yes_that_may_be_a_no_is_asked_back(
    store: Store, ask: Asking, say: Saying, text: str
) -> None:
    ask(18, "confirm")
    assert say(text).outcome == "unclear"
    assert events(store) == []
    assert len(answers(store)) == 1


def test_two_small_numbers_are_an_answer_where_one_is_the_number_of_a_case(
    store: Store, ask: Asking, say: Saying
) -> None:
    ask(2, "confirm")
    assert say("1 2").outcome == "bound"
    assert events(store) == [(2, "accept")]


@pytest.mark.parametrize(
    "text",
    [
        "stop calling me",
        "Please stop calling me!",
        "Don't call me anymore",
        "no more calls please",
        "arrêtez de m'appeler",
        "Merci d'arrêter de m'appeler",
        "Ne m'appelez plus.",
        "plus d'appels svp",
        "je ne veux plus être appelé",
        "stop aux appels",
    ],
)
def test_who_wants_no_calls_is_called_no_more_and_told_so(
    store: Store, ask: Asking, say: Saying, text: str
) -> None:
    ask(18, "confirm")
    assert say(text).outcome == "opted out"
    assert events(store) == []
    assert answers(store) == ["You will get no more calls from us. Reply START to change that."]
    with store.read() as session:
        assert find_objection(session, "voice", NUMBER, "camille") == "the contact has opted out"
        assert find_objection(session, "voice", "+33639980099", "camille") != ""
        assert has_opted_out(session, "voice", NUMBER)
        assert find_objection(session, "sms", NUMBER, "camille") == ""
    assert say("1").outcome == "bound"
    say("START")
    with store.read() as session:
        assert find_objection(session, "voice", NUMBER, "camille") == ""


@pytest.mark.parametrize(
    "text",
    [
        "call me",
        "don't call me now",
        "ne m'appelez pas maintenant",
        "nobody calls me",
        "no call needed, come at 8",
        "ne m'appelez pas avant 14h",
        "stop",
        "merci de m'appeler",
    ],
)
def test_other_words_about_calls_end_none(text: str) -> None:
    assert not wants_no_calls(text)
