"""What mail servers and mail programs say to us: reports on our e-mails, and one click to end them."""

import base64
import hashlib
import hmac
import quopri
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from email.message import Message as Mail
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import select

from notify.bounces import is_report, read_bounces, take_bounces
from notify.consent import OptOut, has_opted_out
from notify.email import letters_of
from notify.letter import Letters
from notify.message import Delivery, Draft, Message, Recipient, queue_message
from notify.replies import Reply
from notify.templating import Templates
from notify.unsubscribing import StopLinks
from notify.webhook import sign
from prevenant.clock import epoch_seconds
from prevenant.consent import WITHDRAWN, find_consent
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from prevenant.website import Website, bind_pages
from tests.moved_clock import MovedClock
from tests.servers import wait_until

ADDRESS = "camille@home.example"
SETTINGS = Settings(
    webhook_secret=SecretStr("word"),
    email_webhook_secret=SecretStr("secret"),
    email_from="service@prevenant.example",
    public_url="https://prevenant.example",
    http="127.0.0.1:0",
    admin_token=SecretStr("admin"),
)
TEMPLATES = Templates()


class Desk:
    """The API, and an e-mail to a customer that was handed over."""

    def __init__(self, store: Store, clock: MovedClock) -> None:
        self.store, self.clock = store, clock
        self.website = Website(SETTINGS, bind_pages(SETTINGS), store, clock, TEMPLATES)
        recipient = Recipient(
            "camille",
            "Camille Roux",
            "customer",
            "fr",
            "UTC",
            {"email": ADDRESS, "sms": "+33639980041"},
        )
        draft = Draft(
            "case7:1", recipient, "job_gone", {"case": {"number": 7}}, [["email"], ["sms"]], 3
        )
        with store.write() as session:
            message = queue_message(session, TEMPLATES, draft, clock.now())
            delivery = session.exec(select(Delivery)).one()
            self.message_id = letters_of(SETTINGS).identify(delivery.key, message.key)
            delivery.state, delivery.provider_id = "sent", self.message_id
            session.add(delivery)

    def hand_in(self, mail: Mail | bytes, secret: str = "secret", late_s: int = 0) -> int:
        raw = mail if isinstance(mail, bytes) else mail.as_bytes()
        at = int(epoch_seconds(self.clock.now())) - late_s
        headers = {"Prevenant-Signature": sign(secret, at, raw)}
        return self.post("/webhooks/email", raw, headers).status_code

    def post(
        self, path: str, data: bytes | dict[str, str] = b"", headers: dict[str, str] | None = None
    ) -> requests.Response:
        url = f"{self.website.address}{path}"
        return requests.post(url, data, headers=headers, timeout=60, allow_redirects=False)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.website.address}{path}", timeout=60)

    def delivery(self, channel: str = "email") -> Delivery | None:
        with self.store.read() as session:
            return session.exec(select(Delivery).where(Delivery.channel == channel)).first()

    def stop_url(self) -> str:
        """Return the path of the link that goes out with the e-mail."""
        links = StopLinks(self.store, self.clock, SETTINGS.public_url)
        with self.store.read() as session:
            delivery = session.exec(select(Delivery)).one()
            message = session.exec(select(Message)).one()
        url = links.url_for(delivery, message)
        return url.removeprefix(SETTINGS.public_url)


@pytest.fixture
def desk(store: Store, clock: MovedClock) -> Iterator[Desk]:
    desk = Desk(store, clock)
    thread = threading.Thread(target=desk.website.run)
    thread.start()
    wait_until(lambda: desk.website.started, "web server")
    yield desk
    desk.website.stop()
    thread.join(60)


def report(
    message_id: str, action: str = "failed", status: str = "5.1.1", headers: bool = False
) -> Mail:
    """Return a report as Postfix writes it."""
    mail = MIMEMultipart("report", report_type="delivery-status")
    mail["From"] = "MAILER-DAEMON@mx.example"
    mail["To"] = "service@prevenant.example"
    mail["Subject"] = "Undelivered Mail Returned to Sender"
    mail.attach(MIMEText("This is the mail system at host mx.example."))
    whole, one = Mail(), Mail()
    whole["Reporting-MTA"] = "dns; mx.example"
    one["Final-Recipient"] = f"rfc822; {ADDRESS}"
    one["Action"] = action
    one["Status"] = status
    one["Diagnostic-Code"] = f"smtp; 550 5.1.1 <{ADDRESS}>: user unknown"
    delivery_status = Mail()
    delivery_status["Content-Type"] = "message/delivery-status"
    delivery_status.set_payload([whole, one])
    mail.attach(delivery_status)
    original = EmailMessage()
    original["Message-ID"] = message_id
    original["Subject"] = "ours"
    if headers:
        part = MIMEText(original.as_string())
        part.replace_header("Content-Type", "text/rfc822-headers")
        mail.attach(part)
    else:
        original.set_content("Bonjour")
        mail.attach(MIMEMessage(original))
    return mail


@pytest.mark.parametrize("headers", [False, True], ids=["whole mail", "headers alone"])
def test_a_bounce_is_a_receipt_and_the_next_channel_is_taken(desk: Desk, headers: bool) -> None:
    assert desk.hand_in(report(desk.message_id, headers=headers)) == 204
    email, sms = desk.delivery(), desk.delivery("sms")
    assert email is not None
    assert sms is not None
    assert (email.state, sms.state) == ("undelivered", "queued")
    assert "5.1.1" in email.reason
    assert "user unknown" in email.reason
    assert ADDRESS not in email.reason
    assert desk.hand_in(report(desk.message_id)) == 204


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("delivered", "delivered"),
        ("delayed", "sent"),
        ("relayed", "sent"),
        ("expanded", "sent"),
        ("FAILED", "undelivered"),
    ],
)
def test_each_word_of_a_report_means_what_it_says(desk: Desk, action: str, state: str) -> None:
    assert desk.hand_in(report(desk.message_id, action, "4.4.1")) == 204
    email = desk.delivery()
    assert email is not None
    assert email.state == state


def test_a_report_that_somebody_made_up_changes_nothing(desk: Desk) -> None:
    local, _, domain = desk.message_id.partition(".")
    forged = [
        f"{local}.{'0' * 24}@prevenant.example>",
        f"<m99-email.{domain}",
        f"<m1-sms.{domain}",
        "<20260504.ABC@elsewhere.example>",
        "",
    ]
    for message_id in forged:
        assert desk.hand_in(report(message_id)) == 204
    email = desk.delivery()
    assert email is not None
    assert email.state == "sent"


def test_without_a_secret_of_ours_nobodys_report_is_believed(desk: Desk) -> None:
    guessed = Letters("service@prevenant.example", "")
    with desk.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        message = session.get_one(Message, delivery.message_id)
        raw = report(guessed.identify(delivery.key, message.key), "delivered").as_bytes()
        assert take_bounces(session, guessed, raw, desk.clock.now()) == 0
        assert delivery.state == "sent"


def test_what_is_not_signed_by_our_mail_server_is_refused(desk: Desk) -> None:
    mail = report(desk.message_id)
    assert desk.hand_in(mail, secret="another") == 403
    assert desk.hand_in(mail, late_s=301) == 403
    assert desk.hand_in(mail, late_s=-301) == 403
    assert desk.post("/webhooks/email", mail.as_bytes()).status_code == 403
    signed = {"Prevenant-Signature": sign("secret", int(epoch_seconds(desk.clock.now())), b"x")}
    answer = desk.post("/webhooks/email", mail.as_bytes(), signed)
    assert answer.status_code == 403
    assert desk.hand_in(b"x" * (10 * 1024 * 1024 + 1)) == 413
    email = desk.delivery()
    assert email is not None
    assert email.state == "sent"


def test_an_ordinary_mail_is_a_reply_and_no_receipt(desk: Desk) -> None:
    mail = EmailMessage()
    mail["From"] = ADDRESS
    mail["In-Reply-To"] = desk.message_id
    mail.set_content("Merci !")
    assert desk.hand_in(mail) == 204
    email = desk.delivery()
    assert email is not None
    assert email.state == "sent"
    with desk.store.read() as session:
        assert [one.text for one in session.exec(select(Reply))] == ["Merci !"]


@pytest.mark.parametrize(
    ("late_s", "code"), [(0, 204), (600, 204), (901, 403), (-901, 403), (None, 403)]
)
def test_a_mail_from_mailgun_is_taken_within_some_minutes(
    desk: Desk, late_s: int | None, code: int
) -> None:
    at = "" if late_s is None else str(int(epoch_seconds(desk.clock.now())) - late_s)
    signature = hmac.new(b"secret", f"{at}token".encode(), hashlib.sha256).hexdigest()
    form = {"timestamp": at, "token": "token", "signature": signature}
    form["body-mime"] = f"From: {ADDRESS}\nIn-Reply-To: {desk.message_id}\n\nMerci !\n"
    assert desk.post("/webhooks/email/mailgun/mime", form).status_code == code
    with desk.store.read() as session:
        assert len(session.exec(select(Reply)).all()) == (code == 204)


EXCHANGE = """\
Content-Type: multipart/report; boundary="b"
In-Reply-To: {ours}
References: <case-7@prevenant.example> {ours}
From: Microsoft Outlook <MicrosoftExchange329e71@home.example>

--b
Content-Type: text/html

<p>Your message couldn't be delivered.</p>
--b
Content-Type: message/delivery-status

Reporting-MTA: dns;mail.home.example

Final-Recipient: rfc822;camille@home.example
Action: failed (bounced)
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; user unknown
--b--
"""
EXIM = """\
X-Failed-Recipients: camille@home.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.example>
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

  camille@home.example
    host mx.home.example [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<camille@home.example>:
    550 5.1.10 user unknown

------ This is a copy of the message, including all the headers. ------

From: service@prevenant.example
Message-ID: {ours}
Subject: ours
"""
QMAIL = """\
From: MAILER-DAEMON@mx.example
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<camille@home.example>:
550 5.1.10 user unknown

--- Below this line is a copy of the message.

Message-Id: {ours}
"""


@pytest.mark.parametrize("words", [EXCHANGE, EXIM, QMAIL], ids=["Exchange", "Exim", "qmail"])
def test_a_failure_is_known_as_each_server_writes_it(words: str) -> None:
    ours = f"<m1-email.{'0' * 24}@prevenant.example>"
    raw = words.replace("{ours}", ours).encode()
    assert is_report(raw)
    (bounce,) = read_bounces(raw)
    assert (bounce.message_id, bounce.action, bounce.status) == (ours, "failed", "5.1.10")
    assert bounce.diagnostic.startswith("550 5.1.10 ")
    assert bounce.diagnostic.endswith("user unknown")
    assert read_bounces(words.replace("{ours}", "<a@elsewhere.example>").encode()) in (
        [],
        [replace(bounce, message_id="<a@elsewhere.example>")],
    )


GLOBAL_STATUS = """\
Reporting-MTA: dns; mx.home.example

Final-Recipient: utf-8; zoë@château.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp; 550 5.1.10 <zoë@château.example>: user unknown
"""


def make_global(original: EmailMessage | str, kind: str, encoding: str) -> bytes:
    """Return a report as RFC 6533 has it, with parts in an encoding."""
    ways: dict[str, Callable[[str], bytes]] = {
        "8bit": lambda text: text.encode(),
        "base64": lambda text: base64.encodebytes(text.encode()),
        "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    }
    encode = ways[encoding]
    head = f"Content-Transfer-Encoding: {encoding}\n\n"
    return b"".join((
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n",
        b"From: MAILER-DAEMON@mx.example\n\n--b\n\nIt did not arrive.\n--b\n",
        f"Content-Type: message/global-delivery-status\n{head}".encode(),
        encode(GLOBAL_STATUS), f"\n--b\nContent-Type: {kind}\n{head}".encode(),
        encode(str(original)), b"\n--b--\n",
    ))  # fmt: skip


@pytest.mark.parametrize("kind", ["message/global", "message/global-headers"])
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_a_failure_at_an_international_address_is_known(kind: str, encoding: str) -> None:
    ours = f"<m1-email.{'0' * 24}@prevenant.example>"
    original = f"From: service@prevenant.example\nSubject: Été\nMessage-ID: {ours}\n\nBonjour Zoë\n"
    raw = make_global(original, kind, encoding)
    assert is_report(raw)
    (bounce,) = read_bounces(raw)
    assert (bounce.message_id, bounce.action, bounce.status) == (ours, "failed", "5.1.10")
    assert bounce.diagnostic == "550 5.1.10 <zoë@château.example>: user unknown"


@given(st.binary(max_size=2_000))
def test_no_bytes_break_the_reader(junk: bytes) -> None:
    head = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    parts = b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + junk + b"\r\n--b--"
    for raw in (junk, head + junk, head + parts, b"X-Failed-Recipients: a\r\n\r\n" + junk):
        is_report(raw)
        assert isinstance(read_bounces(raw), list)


def test_one_click_ends_e_mail_with_proof_and_without_a_login(desk: Desk) -> None:
    path = desk.stop_url()
    answer = desk.post(path, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "Vous ne recevrez plus" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    with desk.store.read() as session:
        assert has_opted_out(session, "email", ADDRESS)
        assert not has_opted_out(session, "sms", "+33639980041")
        word = find_consent(session, "camille", "email")
        stop = session.exec(select(OptOut)).one()
        lines = [one.summary for one in session.exec(select(TimelineEntry))]
    assert word is not None
    assert (word.state, word.source) == (WITHDRAWN, "link")
    assert word.proof == stop.proof == "one-click unsubscribe (RFC 8058), by the link of message 1"
    assert lines[-1] == "e-mail ended by link, used once"
    assert path.rpartition("/")[2] not in str(lines)
    assert desk.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200


def test_opening_the_link_asks_first(desk: Desk) -> None:
    path = desk.stop_url()
    answer = desk.get(path)
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    with desk.store.read() as session:
        assert not has_opted_out(session, "email", ADDRESS)
    answer = desk.post(path)
    with desk.store.read() as session:
        stop = session.exec(select(OptOut)).one()
    assert stop.proof.startswith("unsubscribe page")


def test_a_link_that_has_ended_or_never_was_says_so(desk: Desk) -> None:
    path = desk.stop_url()
    desk.clock.advance(days=181)
    for answer in (desk.get(path), desk.post(path)):
        assert answer.status_code == 404
        assert "has expired" in answer.text
    for unknown in ("/l/abc", "/l/" + "x" * 500):
        for answer in (desk.get(unknown), desk.post(unknown)):
            assert answer.status_code == 404
            assert "There is no such link" in answer.text
    with desk.store.read() as session:
        assert session.exec(select(OptOut)).first() is None
