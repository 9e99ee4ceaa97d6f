"""Inbound e-mail: what is quoted is not said, what a machine wrote is known, and nothing fails."""

from email.message import EmailMessage
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.bounces import is_report, read_bounces
from notify.replies import read_mail, read_meaning
from notify.replies.mail import strip_quotes


def mail(text: str, subject: str = "Re: Visit", **headers: str) -> bytes:
    """Return a mail as its bytes come."""
    one = EmailMessage()
    one["From"] = "Camille Roux <camille@home.example>"
    one["Message-ID"] = "<abc@home.example>"
    one["Subject"] = subject
    for name, value in headers.items():
        one[name.replace("_", "-")] = value
    one.set_content(text)
    return one.as_bytes()


@pytest.mark.parametrize(
    "below",
    [
        "On Mon, 4 May 2026 at 10:00, Prevenant <service@x.example> wrote:\n> Reply 1",
        "On Mon, 4 May 2026 at 10:00, Prevenant\n<service@x.example> wrote:\n> Reply 1",
        "Le lun. 4 mai 2026 à 10:00, Prevenant <service@x.example> a écrit :\n> Répondez 1",
        "-----Original Message-----\nFrom: service@x.example\nReply 1",
        "-------- Message d'origine --------\nDe : service@x.example\nRépondez 1",
        "________________________________\nFrom: Prevenant",
        "From: Prevenant <service@x.example>\nSent: Monday\nReply 1",
        "-- \nCamille Roux\n06 39 98 00 41",
        "Sent from my phone",
        "Envoyé de mon iPhone",
        "> Reply 1 if that suits you, 2 for another time.",
        "From: Prevenant Service\nSent: Monday 4 May\nTo: Camille\nReply 1",
        "*From:* Prevenant <service@x.example>\n*Sent:* Monday\nReply 1",
        "De\N{NO-BREAK SPACE}: Prevenant\nEnvoyé\N{NO-BREAK SPACE}: lundi 4 mai\nRépondez 1",
        "Le 4 mai 2026 à 10:00,\nPrevenant Service\n<service@x.example> a écrit :\n> Répondez 1",
        "2026-05-04 10:00 GMT+02:00 Prevenant <service@x.example>:\nReply 1",
        "----- Mail original -----\nDe: Prevenant\nRépondez 1",
        "Sent from Yahoo Mail on Android",
        "Envoyé à partir d'Outlook pour Android",
        "Obtenir Outlook pour iOS",
    ],
)
def test_what_is_quoted_is_not_said(below: str) -> None:
    assert strip_quotes(f"Yes please\n\n{below}\n") == "Yes please"


def test_a_mail_says_whose_it_is_and_what_it_answers() -> None:
    inbound = read_mail(
        mail(
            "2",
            In_Reply_To="<m12-email.case-17-3@service.example>",
            References="<case-17@service.example> <m12-email.case-17-3@service.example>",
        )
    )
    assert (inbound.channel, inbound.address) == ("email", "camille@home.example")
    assert (inbound.text, inbound.answers, inbound.thread) == ("2", ("m12-email",), 17)
    assert inbound.provider_id == "mail:<abc@home.example>"
    assert not inbound.is_automatic
    assert not inbound.is_unproven


def test_an_empty_mail_says_its_subject() -> None:
    assert read_mail(mail("", "yes please")).text == "yes please"


def test_an_empty_answer_does_not_say_the_subject_that_is_ours() -> None:
    assert read_mail(mail("", "Re: 3 messages from Prevenant")).text == ""
    inbound = read_mail(mail("", "3 messages", In_Reply_To="<m12-email.x@service.example>"))
    assert inbound.text == ""


@pytest.mark.parametrize(
    "text",
    ["From: here it smells\nand it is loud", "On the other hand\nyou wrote that already", "1\n\n2"],
)
def test_what_only_looks_like_a_quotation_is_said(text: str) -> None:
    assert strip_quotes(text) == text


def test_html_is_read_though_its_head_has_no_end() -> None:
    html = b"<html><head><title>x</title><style>p {}</style><body><p>Oui</p></body></html>"
    head = b"From: camille@home.example\nContent-Type: text/html\n\n"
    assert read_mail(head + html).text == "Oui"


def test_html_alone_is_read_without_its_tags() -> None:
    one = EmailMessage()
    one["From"] = "camille@home.example"
    one.set_content(
        "<html><head><style>p {}</style></head><body><p>Oui, <b>parfait</b></p>"
        "<blockquote>Répondez 1</blockquote></body></html>",
        subtype="html",
    )
    assert " ".join(read_mail(one.as_bytes()).text.split()) == "Oui, parfait"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            f"<style>{'p {color: red} ' * 3_000}</style><p>Oui &eacute;videmment</p>",
            "Oui évidemment",
        ),
        ("<p>1<!-- 2 --></p><!DOCTYPE x><script>if (a < b) 3</script>", "1"),
        ("<P>Oui<BR>merci</P>", "Oui merci"),
        ("2 < 3 &amp; <b>4</b>", "2 < 3 & 4"),
        ("<p>Non <!-- never closed 1", "Non"),
    ],
)
def test_a_page_says_what_it_shows(page: str, said: str) -> None:
    raw = f"From: a@b.example\nContent-Type: text/html; charset=utf-8\n\n{page}".encode()
    assert " ".join(read_mail(raw).text.split()) == said


@pytest.mark.parametrize("junk", ["<a ", "<a b='", "<!--", "<a b=c ", "</", "<div>", "9", "1 but "])
def test_a_text_that_somebody_made_long_is_read_soon(junk: str) -> None:
    page = (junk * 200_000)[:200_000]
    begun = process_time()
    text = read_mail(f"From: a@b.example\nContent-Type: text/html\n\n{page}".encode()).text
    read_meaning(text)
    assert process_time() - begun < 3, "by Python's reader it took minutes"


def test_parts_within_parts_without_end_are_no_end_of_the_reader() -> None:
    inner = "".join(f"Content-Type: multipart/x; boundary=b{i}\n\n--b{i}\n" for i in range(3_000))
    raw = f"From: a@b.example\nMessage-ID: <1@b.example>\n{inner}\nhi".encode()
    one = read_mail(raw)
    assert (one.address, one.provider_id) == ("a@b.example", "mail:<1@b.example>")
    assert not is_report(raw)
    assert read_bounces(b"Content-Type: multipart/report; boundary=b\n\n--b\n" + raw) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"List_Id": "<news.example>"},
        {"Return_Path": "<>"},
        {"X_Autoreply": "yes"},
    ],
)
def test_what_a_machine_wrote_is_known(headers: dict[str, str]) -> None:
    assert read_mail(mail("I am away", **headers)).is_automatic


def test_a_sender_that_fails_dmarc_is_not_believed() -> None:
    forged = mail("1", Authentication_Results="mx.example; dmarc=fail header.from=home.example")
    assert read_mail(forged).is_unproven


def test_a_mail_without_an_id_is_known_by_what_it_says() -> None:
    first, second = read_mail(b"From: a@b.example\n\n1"), read_mail(b"From: a@b.example\n\n2")
    assert first.provider_id == read_mail(b"From: a@b.example\n\n1").provider_id
    assert first.provider_id != second.provider_id


HEADER = st.sampled_from(
    [
        "From",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Content-Type",
        "Return-Path",
        "Auto-Submitted",
        "Content-Transfer-Encoding",
        "Authentication-Results",
    ]
)
VALUE = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"=?utf-8?q?=ff=fe?=",
            b"=?nope?b?!!!?=",
            b"text/plain; charset=nope",
            b"multipart/mixed; boundary=x",
            b"text/html; charset=utf-16",
            b"base64",
            b"<m1-email.x@y> <case-99999999999999999999@y>",
            b'"unclosed <a@b',
        ]
    ),
)


@given(st.lists(st.tuples(HEADER, VALUE), max_size=6), st.binary(max_size=300))
def test_no_mail_makes_the_reader_fail(headers: list[tuple[str, bytes]], body: bytes) -> None:
    lines = [name.encode() + b": " + value for name, value in headers]
    inbound = read_mail(b"\n".join([*lines, b"", body]))
    inbound.text.encode("utf-8")
    inbound.address.encode("utf-8")
    assert len(inbound.provider_id) < 400
