"""One conversation: a customer answers by SMS or e-mail, says thanks, is angry, and gets a person."""

import zlib
from email.message import EmailMessage
from typing import Any

import requests
from sqlmodel import col, select

from notify.replies import Reply
from notify.webhook import sign
from prevenant.clock import epoch_seconds
from tests.world import World

JULES, CAMILLE, PAUL = "+33639980022", "+33639980041", "+33639980008"
OLIVER = "oliver-bennett@home.example"
CAMILLE_MAIL = "camille-roux@home.example"
SECRET = "mail-secret"


def warm_up(world: World, home: str) -> None:
    """Let a refrigerator be too warm for twenty minutes."""
    values = {"setpoint": 4.0, "compressor_amps": 0.1, "door_open": False}
    for _ in range(5):
        world.publish(f"homes/{home}/fridges/fridge", cabinet=9.3, **values)
        world.clock.advance(minutes=5)


def hand_in(world: World, mail: EmailMessage, secret: str = SECRET) -> int:
    """Hand a mail in, as a mail server does; return the status."""
    data = mail.as_bytes()
    at = int(epoch_seconds(world.clock.now()))
    headers = {"Prevenant-Signature": sign(secret, at, data), "Content-Type": "message/rfc822"}
    address = f"{world.engine.address}/webhooks/email"
    return requests.post(address, data=data, headers=headers, timeout=30).status_code


def answer(sender: str, text: str, to: EmailMessage | None = None) -> EmailMessage:
    """Return a mail that answers another as a mail program does."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = "service@prevenant.example"
    mail["Message-ID"] = f"<{zlib.crc32(text.encode())}@home.example>"
    mail["Subject"] = f"Re: {to['Subject']}" if to else "Refrigerator"
    quoted = ""
    if to is not None:
        mail["In-Reply-To"] = to["Message-ID"]
        mail["References"] = f"{to['References']} {to['Message-ID']}"
        lines = to.get_body(("plain",)).get_content().splitlines()  # type: ignore[union-attr]
        quoted = "\n\nOn Monday, Prevenant wrote:\n" + "\n".join(f"> {line}" for line in lines)
    mail.set_content(text + quoted)
    return mail


def test_a_mail_answers_a_mail(world: World) -> None:
    warm_up(world, "h02")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    mail = world.expect_mail(OLIVER, "Hello Oliver", "comes")
    assert hand_in(world, answer(OLIVER, "Yes, that suits me.", mail)) == 204
    world.expect_story("customer.confirmed", "Oliver Bennett")


def test_a_mail_answers_a_question_asked_by_sms(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    world.phone(CAMILLE).expects_sms("Bonjour Camille", "Répondez 1 si cela vous convient")
    assert hand_in(world, answer(CAMILLE_MAIL, "Un autre jour s'il vous plaît")) == 204
    world.phone(PAUL).expects_sms("Camille Roux demande un autre moment")
    world.expect_story("customer.moved", "Camille Roux")


def test_a_mail_without_our_signature_is_refused(world: World) -> None:
    assert hand_in(world, answer(OLIVER, "Yes"), "guessed") == 403
    with world.engine.store.read() as session:
        assert session.exec(select(Reply)).all() == []


def test_an_absence_is_answered_by_nothing(world: World) -> None:
    warm_up(world, "h02")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    mail = world.expect_mail(OLIVER, "Hello Oliver", "comes")
    absent = answer(OLIVER, "I am on holiday until the 12th.", mail)
    absent["Auto-Submitted"] = "auto-replied"
    assert hand_in(world, absent) == 204
    world.expect_story("reply", "automatic")
    assert len(world.mailbox.mails_to(OLIVER)) == 1


def test_anger_reaches_a_person_with_what_was_said(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    camille = world.phone(CAMILLE).expects_sms("Bonjour Camille")
    camille.replies("C'est inadmissible, troisième panne !")
    world.phone(PAUL).expects_sms("en colère", "troisième panne").replies("1")
    camille.expects_sms("Nous sommes désolés, Camille", "va vous rappeler")
    world.expect_story("person.found", "calls Camille Roux back")


def test_two_misunderstandings_reach_a_person(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    camille = world.phone(CAMILLE).expects_sms("Bonjour Camille")
    camille.replies("bleu je crois")
    camille.expects_sms("nous n'avons pas compris", "Répondez 1").replies("il est dans la cuisine")
    world.phone(PAUL).expects_sms("deux réponses incomprises", "dans la cuisine")
    camille.expects_sms("Une personne va vous rappeler")


def test_thanks_is_answered_by_nothing_and_the_question_stands(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    camille = world.phone(CAMILLE).expects_sms("Bonjour Camille")
    camille.replies("Merci beaucoup !")
    world.expect_story("reply", "Camille Roux", "thanks")
    camille.has_no_sms("compris").replies("ça me convient")
    world.expect_story("customer.confirmed", "Camille Roux")


def test_a_number_outside_the_scale_is_asked_again_and_the_result_can_be_read(world: World) -> None:
    warm_up(world, "h01")
    jules = world.phone(JULES).expects_sms("Répondez 1").replies("1")
    camille = world.phone(CAMILLE).expects_sms("Bonjour Camille")
    jules.expects_sms("Elle est à vous").replies("3 relais remplacé")
    camille.expects_sms("C'est fait, Camille", "de 1 (mauvais) à 5").replies("9")
    camille.expects_sms("un chiffre de 1 à 5").replies("4 très aimable")
    world.expect_story("customer.rated", "4 of 5")
    scores = _get(world, "/api/v1/surveys/scores")
    assert scores["csat"] == {
        "sent": 1,
        "answered": 1,
        "score": 100.0,
        "means": "percentage of answers that are 4 or 5 of 5",
    }
    (survey,) = _get(world, "/api/v1/surveys?kind=csat&answered=true")
    assert (survey["rating"], survey["comment"]) == (4, "très aimable")
    assert _get(world, "/api/v1/surveys?kind=nps") == []


def test_somebody_unknown_is_kept_and_answered_by_nothing(world: World) -> None:
    world.phone("+33639989999").replies("Mon frigo chauffe")
    world.expect_story("reply", "somebody unknown", "unknown sender")
    with world.engine.store.read() as session:
        (reply,) = session.exec(select(Reply).order_by(col(Reply.id)))
    assert (reply.outcome, reply.case_id, reply.contact_id) == ("unknown sender", None, "")
    world.phone("+33639989999").has_no_sms()


def _get(world: World, path: str) -> Any:
    headers = {"Authorization": "Bearer admin"}
    return requests.get(f"{world.engine.address}{path}", headers=headers, timeout=30).json()
