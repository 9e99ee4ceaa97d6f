"""A conversation: misunderstandings, several cases, thanks, and the same contact on several channels."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from notify.message import Ask, Draft, Message, Recipient, queue_message
from notify.replies import Inbound, Reply, find_conversation, receive
from notify.replies.binding import bind
from notify.replies.meaning import read_meaning
from notify.templating import Templates
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock

NUMBER, MAIL = "+33639980041", "camille@home.example"
ADDRESSES = {"sms": NUMBER, "email": MAIL}


class Contact:
    """Camille, who is asked things and answers."""

    def __init__(self, store: Store, clock: MovedClock) -> None:
        self.store, self.clock, self.templates = store, clock, Templates()
        self._count = 0

    def asked(self, case_id: int, kind: str, channel: str = "sms", **more: Any) -> str:
        """Ask in a case; return the key of the delivery."""
        recipient = Recipient(
            "camille", "Camille Roux", "customer", "en", "UTC", {channel: ADDRESSES[channel]}
        )
        variables: Mapping[str, Any] = {}
        template = more.get("template", "reply_stopped")
        if template == "reply_unclear":
            variables = {"choices": more["about"]}
        draft = Draft(
            f"{case_id}-{kind}-{channel}", recipient, template, variables, [[channel]], 3, case_id,
            Ask(kind, more.get("until")),
        )  # fmt: skip
        with self.store.write() as session:
            message = queue_message(session, self.templates, draft, self.clock.now())
            return f"m{message.id}-{channel}"

    def says(self, text: str, channel: str = "sms", **more: Any) -> Reply:
        """Say something."""
        self._count += 1
        inbound = Inbound(f"in{self._count}", channel, ADDRESSES[channel], text, **more)
        meaning = read_meaning(text)
        with self.store.write() as session:
            return receive(session, self.templates, inbound, self.clock.now(), meaning=meaning)

    def heard(self) -> list[tuple[int | None, str]]:
        """Return which cases heard what."""
        with self.store.read() as session:
            events = session.exec(select(CaseEvent).order_by(col(CaseEvent.id)))
            return [(one.case_id, one.data["intent"]) for one in events]

    def answered(self) -> list[str]:
        """Return the templates of our answers, with their channels."""
        with self.store.read() as session:
            found = session.exec(select(Message).where(col(Message.key).startswith("answer:")))
            return [f"{one.template} {next(iter(one.texts))}" for one in found]


@pytest.fixture
def camille(store: Store, clock: MovedClock) -> Contact:
    """Return a contact with a number and an e-mail address."""
    return Contact(store, clock)


@pytest.mark.parametrize("text", ["merci", "Thank you so much!", "super merci", "merci bcp"])
def test_thanks_is_answered_by_nothing_and_changes_nothing(camille: Contact, text: str) -> None:
    camille.asked(17, "confirm")
    reply = camille.says(text)
    assert (reply.outcome, reply.case_id, reply.intent) == ("thanks", 17, "thanks")
    assert camille.heard() == []
    assert camille.answered() == []
    assert camille.says("1").outcome == "bound", "the question stands"


def test_an_ok_where_nothing_was_asked_is_no_misunderstanding(camille: Contact) -> None:
    with camille.store.write() as session:
        recipient = Recipient("camille", "Camille", "customer", "en", "UTC", {"sms": NUMBER})
        draft = Draft("n", recipient, "reply_stopped", {}, [["sms"]], 3, 17)
        queue_message(session, camille.templates, draft, camille.clock.now())
    assert camille.says("ok").outcome == "noted"
    assert (camille.heard(), camille.answered()) == ([], [])


def test_two_misunderstandings_go_to_a_person(camille: Contact) -> None:
    camille.asked(17, "confirm")
    assert camille.says("blue, I think").outcome == "unclear"
    assert camille.answered() == ["reply_unclear sms"]
    second = camille.says("the cat sat on it")
    assert (second.outcome, second.case_id) == ("handed off", 17)
    assert camille.heard() == [(17, "misunderstood")]
    assert camille.answered() == ["reply_unclear sms"], "whoever gets a person is asked no more"
    assert camille.says("1").outcome == "bound", "an answer still counts"


def test_a_misunderstanding_is_forgotten_after_an_answer_and_after_days(camille: Contact) -> None:
    camille.asked(17, "confirm")
    camille.says("blue, I think")
    camille.says("1")
    assert camille.says("blue, I think").outcome == "unclear"
    camille.clock.advance(days=4)
    assert camille.says("blue, I think").outcome == "unclear"


@pytest.mark.parametrize("kind", ["rating", "nps", "ces"])
def test_a_number_outside_the_scale_is_asked_again_once(camille: Contact, kind: str) -> None:
    camille.asked(17, kind)
    assert camille.says("42").outcome == "unclear"
    assert camille.says("43").outcome == "unclear"
    assert camille.answered() == ["reply_unclear sms"]
    assert camille.heard() == []
    assert camille.says("5 fine").intent == "rate"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("I want to talk to somebody", "talk"),
        ("c'est inadmissible !", "anger"),
        ("it is still not working", "complaint"),
    ],
)
def test_who_needs_a_person_gets_one_at_once(camille: Contact, text: str, intent: str) -> None:
    camille.asked(17, "confirm")
    camille.asked(18, "rating")
    assert camille.says(text).outcome == "bound"
    assert camille.heard() == [(18, intent)]
    assert camille.answered() == []


def test_the_case_can_be_named_before_the_answer(camille: Contact) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    assert camille.says("117 2").case_id == 117


@pytest.mark.parametrize("text", ["118 oui", "118: yes please", "oui 118", "Bonjour, 118 : 1"])
def test_the_case_and_the_words_go_together_in_either_order(camille: Contact, text: str) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    camille.asked(119, "confirm")
    reply = camille.says(text)
    assert (reply.case_id, reply.intent) == (118, "accept")


@pytest.mark.parametrize(
    "text", ["1 117 1 118", "1 117 118", "117 et 118 : 1", "1 case 117 case 118"]
)
def test_of_several_cases_that_are_named_none_is_left_out_in_silence(
    camille: Contact, text: str
) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    camille.asked(119, "confirm")
    assert camille.says(text).outcome == "ambiguous"
    assert camille.heard() == []
    assert camille.says("117").case_id == 117


@pytest.mark.parametrize("text", ["1 117", "117 1", "1 dossier 117"])
def test_the_number_of_a_case_that_is_over_answers_no_other(camille: Contact, text: str) -> None:
    camille.asked(117, "confirm", until=camille.clock.now())
    camille.asked(118, "confirm")
    camille.clock.advance(seconds=1)
    reply = camille.says(text)
    assert (118, "accept") not in camille.heard()
    assert reply.case_id in {117, None}


def test_after_being_asked_which_the_number_of_the_case_is_enough(camille: Contact) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    assert camille.says("2").outcome == "ambiguous"
    reply = camille.says("117")
    assert (reply.case_id, reply.intent) == (117, "decline")


@pytest.mark.parametrize("text", ["117 merci", "117 thanks!", "dossier 117 svp", "le 117, merci"])
def test_the_number_of_the_case_is_enough_with_thanks_beside_it(
    camille: Contact, text: str
) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    camille.says("2")
    reply = camille.says(text)
    assert (reply.case_id, reply.intent) == (117, "decline")


def test_thanks_that_names_its_case_is_thanks(camille: Contact) -> None:
    camille.asked(117, "confirm")
    reply = camille.says("117 merci")
    assert (reply.outcome, reply.case_id) == ("thanks", 117)
    assert (camille.heard(), camille.answered()) == ([], [])
    camille.asked(117, "rating")
    assert camille.says("42 merci").outcome == "unclear"


def test_a_word_of_one_question_alone_says_which_case(camille: Contact) -> None:
    for case_id, about in ((117, "the fridge in the kitchen"), (118, "the freezer in the garage")):
        camille.asked(case_id, "confirm", template="reply_unclear", about=about)
    reply = camille.says("yes for the freezer")
    assert (reply.case_id, reply.intent) == (118, "accept")
    assert "freezer" in reply.reason
    assert camille.says("yes for the kitchen").case_id == 117


def test_who_does_not_say_which_twice_gets_a_person(camille: Contact) -> None:
    camille.asked(117, "confirm")
    camille.asked(118, "confirm")
    camille.says("2")
    assert camille.says("2").outcome == "handed off"
    assert camille.heard() == [(118, "misunderstood")]


def test_a_late_answer_says_that_it_is_late(camille: Contact) -> None:
    camille.asked(17, "question:entry", until=camille.clock.now())
    with camille.store.write() as session:
        message = session.exec(select(Message)).one()
        message.ask_choices = [{"name": "home", "words": ["at home"]}]
    camille.clock.advance(hours=1)
    assert camille.says("at home").outcome == "bound"
    with camille.store.read() as session:
        assert session.exec(select(CaseEvent)).one().data["late"] is True


def numbers_heard(contact: Contact) -> list[tuple[int | None, int | None]]:
    """Return which cases heard which numbers."""
    with contact.store.read() as session:
        events = session.exec(select(CaseEvent).order_by(col(CaseEvent.id)))
        return [(one.case_id, one.data["number"]) for one in events]


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        ("rating", "⭐⭐⭐⭐", 4),
        ("rating", "⭐️⭐️⭐️ merci", 3),
        ("rating", "★★★★☆", 4),
        ("rating", "★ ★ ★", 3),
        ("rating", "Merci beaucoup 🌟🌟🌟🌟🌟", 5),
        ("rating", "5 ⭐", 5),
        ("rating", "4️⃣", 4),
        ("nps", "1️⃣0️⃣", 10),
        ("nps", "🔟", 10),
        ("nps", "★★★★★★★☆☆☆", 7),
        ("ces", "⭐⭐⭐⭐⭐⭐", 6),
    ],
)
def test_stars_and_keys_answer_a_survey(
    camille: Contact, kind: str, text: str, number: int
) -> None:
    camille.asked(17, kind)
    assert camille.says(text).intent == "rate"
    assert numbers_heard(camille) == [(17, number)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("rating", "☆☆☆☆☆"),
        ("rating", "★★★★★★★☆☆☆"),
        ("nps", "⭐⭐⭐⭐⭐"),
        ("confirm", "⭐"),
        ("confirm", "⭐⭐⭐"),
        ("offer", "★☆☆☆☆"),
    ],
)
def test_stars_of_another_scale_and_to_another_question_are_asked_back(
    camille: Contact, kind: str, text: str
) -> None:
    camille.asked(17, kind)
    assert camille.says(text).outcome == "unclear"
    assert camille.heard() == []


def close(contact: Contact) -> None:
    """Take the questions as answered, as their case does."""
    with contact.store.write() as session:
        for message in session.exec(select(Message).where(col(Message.ask).is_not(None))):
            message.ask_open = False


def test_stars_beside_words_for_a_person_say_both(camille: Contact) -> None:
    camille.asked(17, "rating")
    assert camille.says("⭐ rappelez-moi").intent == "rate"
    with camille.store.read() as session:
        assert session.exec(select(CaseEvent)).one().data["wish"] == "talk"
    close(camille)
    camille.asked(18, "confirm")
    assert camille.says("⭐⭐⭐⭐⭐ merci").outcome == "thanks"
    assert camille.says("⭐ this is bullshit").intent == "anger"


@pytest.mark.parametrize("text", ["118 4", "4 118", "118 ⭐⭐⭐⭐", "dossier 118 : 4"])
def test_the_number_of_a_case_is_never_the_rating(camille: Contact, text: str) -> None:
    camille.asked(117, "rating")
    camille.asked(118, "rating")
    camille.says(text)
    assert numbers_heard(camille) == [(118, 4)]


def test_after_being_asked_which_the_rating_is_what_was_said_before(camille: Contact) -> None:
    camille.asked(117, "rating")
    camille.asked(118, "rating")
    assert camille.says("★★★★☆").outcome == "ambiguous"
    camille.says("118")
    assert numbers_heard(camille) == [(118, 4)]


def test_a_rating_is_corrected_for_an_hour_and_no_longer(camille: Contact) -> None:
    camille.asked(17, "confirm")
    camille.asked(17, "rating")
    camille.says("1")
    close(camille)
    camille.clock.advance(minutes=50)
    assert camille.says("5 I mean").intent == "rate"
    camille.clock.advance(minutes=61)
    assert camille.says("2").outcome == "unclear", "nor is it an answer to what was asked before"
    assert numbers_heard(camille) == [(17, 1), (17, 5)]


def test_a_survey_takes_no_answer_long_after_its_end(camille: Contact) -> None:
    camille.asked(17, "nps", until=camille.clock.now())
    camille.clock.advance(minutes=59)
    assert camille.says("9").intent == "rate"
    camille.asked(18, "nps", until=camille.clock.now())
    camille.clock.advance(minutes=61)
    assert camille.says("9").outcome == "unclear"


def test_a_mail_answers_a_question_that_was_asked_by_sms(camille: Contact) -> None:
    camille.asked(16, "nothing", "email")
    camille.asked(17, "confirm", "sms")
    reply = camille.says("yes", "email")
    assert (reply.channel, reply.case_id, reply.intent) == ("email", 17, "accept")
    with camille.store.read() as session:
        said = find_conversation(session, 17, "camille")
    assert [one.who for one in said] == ["", "Camille Roux"]


def test_an_sms_answers_a_question_that_was_asked_by_mail(camille: Contact) -> None:
    camille.asked(17, "confirm", "email")
    known = camille.says("1", "sms", contacts=("camille",))
    assert (known.case_id, known.intent) == (17, "accept")


def test_a_mail_in_the_thread_of_a_case_is_about_that_case(camille: Contact) -> None:
    first = camille.asked(17, "confirm", "email")
    camille.asked(18, "confirm", "email")
    assert camille.says("yes", "email", answers=(first,)).case_id == 17
    assert camille.says("yes", "email", thread=18).case_id == 18


def test_a_mail_that_is_not_understood_is_answered_by_mail(camille: Contact) -> None:
    camille.asked(17, "confirm", "email")
    assert camille.says("blue, I think", "email").outcome == "unclear"
    assert camille.answered() == ["reply_unclear email"]


def test_what_machines_write_is_kept_and_answered_by_nothing(camille: Contact) -> None:
    camille.asked(17, "confirm", "email")
    reply = camille.says("I am away until Monday", "email", is_automatic=True)
    assert reply.outcome == "automatic"
    assert (camille.heard(), camille.answered()) == ([], [])
    assert camille.says("blue, I think", "email").outcome == "unclear"


def test_a_mail_whose_sender_is_forged_reaches_no_case(camille: Contact) -> None:
    key = camille.asked(17, "confirm", "email")
    reply = camille.says("yes", "email", is_unproven=True, answers=(key,), thread=17)
    assert reply.outcome == "unknown sender"
    assert camille.heard() == []


def test_somebody_else_with_our_message_id_reaches_no_case(camille: Contact) -> None:
    key = camille.asked(17, "confirm", "email")
    inbound = Inbound("x", "email", "mallory@evil.example", "yes", answers=(key,), thread=17)
    with camille.store.write() as session:
        assert receive(session, camille.templates, inbound, camille.clock.now()).case_id is None
    assert camille.heard() == []


PEOPLE = {"ada": ("+33600000001", "ada@x.example"), "bob": ("+33600000002", "bob@x.example")}
QUESTION = st.tuples(
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(["sms", "email"]),
    st.sampled_from(["confirm", "offer", "rating", "progress", None]),
    st.integers(1, 6),
)
TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["1", "2", "yes", "2 3", "3 2", "merci", "call me", "blue", "non", "5"]),
)
SAID = st.tuples(
    st.sampled_from(sorted(PEOPLE)), st.sampled_from(["sms", "email"]), TEXT, st.integers(1, 6)
)


@given(st.lists(QUESTION, max_size=6), st.lists(SAID, min_size=1, max_size=5), st.data())
def test_a_reply_never_binds_to_the_case_of_another_contact(
    questions: list[tuple[str, str, str | None, int]],
    said: list[tuple[str, str, str, int]],
    data: st.DataObject,
) -> None:
    now = MovedClock().now()
    messages = [
        Message(
            id=number,
            key=f"k{number}",
            case_id=case_id,
            contact_id=who,
            name=who,
            role="customer",
            template="t",
            language="en",
            severity=3,
            turns=[[channel]],
            texts={channel: f"about {who}" if channel == "sms" else {"subject": "s", "text": who}},
            ask=ask,
            ask_open=ask is not None and data.draw(st.booleans()),
            created_at=now,
        )
        for number, (who, channel, ask, case_id) in enumerate(questions, 1)
    ]
    earlier: dict[str, list[Reply]] = {}
    for who, _, text, thread in said:
        latest = [one for one in reversed(messages) if one.contact_id == who]
        if not latest:
            continue
        of_case = data.draw(st.sampled_from([None, thread]))
        bound = bind(earlier.get(who, []), latest, read_meaning(text), now, of_case)
        assert all(one.contact_id == who for one in bound.messages)
        outcome = data.draw(st.sampled_from(["unclear", "ambiguous", "bound", "handed off"]))
        reply = Reply(
            provider_id="p", channel="sms", address="", text=text, received_at=now, outcome=outcome
        )
        earlier.setdefault(who, []).insert(0, reply)


def test_a_reply_from_one_address_finds_the_messages_of_its_contact_alone(store: Store) -> None:
    contact = Contact(store, MovedClock())
    contact.asked(17, "confirm")
    with store.write() as session:
        other = Recipient("bob", "Bob", "customer", "en", "UTC", {"sms": "+33600000002"})
        draft = Draft("b", other, "reply_stopped", {}, [["sms"]], 3, 18, Ask("confirm"))
        queue_message(session, contact.templates, draft, contact.clock.now())
    assert contact.says("1 18").case_id == 17
    with store.read() as session:
        assert {one.contact_id for one in session.exec(select(Reply))} == {"camille"}
