"""E-mail as mail programs see it: threads, invitations, the way out of it, and hostile names."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email.message import EmailMessage

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import select

from notify import claims
from notify.email import Email, letters_of
from notify.links import Link
from notify.message import Delivery, Draft, Message, Recipient, queue_message
from notify.templating import Templates
from notify.unsubscribing import StopLinks
from prevenant.book_uses import EXTRAS, sample_variables
from prevenant.errors import Refused
from prevenant.settings import Settings
from prevenant.store import Store
from simulators.mailbox import Mailbox
from tests.moved_clock import MovedClock

ADDRESS = "camille@home.example"
TEMPLATES = Templates()
SAMPLES = sample_variables(after_dispatch=True, extra=EXTRAS)
SETTINGS = Settings(
    smtp_url=SecretStr("smtp://127.0.0.1"),
    email_from="Prevenant <service@prevenant.example>",
    webhook_secret=SecretStr("secret"),
)


class Post:
    """Sends e-mails one by one, as the outbox does."""

    def __init__(self, store: Store, clock: MovedClock, mailbox: Mailbox, public_url: str) -> None:
        self.store, self.clock, self.mailbox = store, clock, mailbox
        url = SecretStr(f"smtp://127.0.0.1:{mailbox.port}")
        settings = SETTINGS.model_copy(update={"smtp_url": url})
        self.email = Email(settings, StopLinks(store, clock, public_url))
        self._count = 0

    def queue(
        self,
        template: str,
        case_id: int | None = 17,
        contact: str = "camille",
        role: str = "customer",
        visit: tuple[datetime, datetime] | None = None,
    ) -> None:
        self._count += 1
        variables = dict(SAMPLES)
        if visit is not None:
            variables["visit"] = {"start": visit[0], "end": visit[1]}
        recipient = Recipient(
            contact, "Camille Roux", role, "en", "Europe/Paris", {"email": ADDRESS}
        )
        key = f"case17:{self._count}"
        draft = Draft(key, recipient, template, variables, [["email"]], 3, case_id)
        with self.store.write() as session:
            queue_message(session, TEMPLATES, draft, self.clock.now())

    def send(self) -> EmailMessage:
        """Claim the next e-mail, hand it over and record it; return what arrived."""
        now = self.clock.now()
        with self.store.write() as session:
            room = dict.fromkeys(range(6), 1)
            (one,) = claims.claim(session, "post", (), room, (now, 0.0), {"email"}).claims
            session.flush()
            session.refresh(one.message)
            session.expunge_all()
        sent = claims.Sent(self.email.send(one.delivery, one.message))
        with self.store.write() as session:
            claims.record(session, "post", [claims.Result(one, sent)], now)
        return self.mailbox.mails[-1]

    def say(self, template: str, **options: object) -> EmailMessage:
        self.queue(template, **options)  # type: ignore[arg-type]
        return self.send()


@pytest.fixture
def post(store: Store, clock: MovedClock, mailbox: Mailbox) -> Iterator[Post]:
    post = Post(store, clock, mailbox, "https://prevenant.example")
    yield post
    post.email.close()


def calendar_of(mail: EmailMessage) -> tuple[str, icalendar.Event] | None:
    """Return the method and the visit of an e-mail that changes a calendar."""
    for part in mail.walk():
        if part.get_content_type() == "text/calendar":
            text = part.get_content()
            calendar = icalendar.Calendar.from_ical(text)
            (event,) = calendar.events
            assert part.get_param("method") == str(calendar["METHOD"])
            return str(calendar["METHOD"]), event
    return None


def test_a_visit_is_put_into_the_calendar_moved_and_taken_out(post: Post) -> None:
    start = datetime.fromisoformat("2026-05-04T12:30:00+00:00")
    end = start + timedelta(hours=2)
    method, planned = calendar_of(post.say("visit_planned", visit=(start, end))) or ("", None)
    assert planned is not None
    assert (method, planned["SEQUENCE"], planned["STATUS"]) == ("REQUEST", 0, "CONFIRMED")
    assert (planned.start, planned.end) == (start, end)
    assert str(planned["ATTENDEE"]) == f"mailto:{ADDRESS}"
    assert str(planned["ORGANIZER"]) == "mailto:service@prevenant.example"
    assert planned["LOCATION"] == "1 Runway Road"

    later = (start + timedelta(days=1), end + timedelta(days=1))
    method, moved = calendar_of(post.say("visit_moved", visit=later)) or ("", None)
    assert moved is not None
    assert (method, moved["UID"], moved["SEQUENCE"]) == ("REQUEST", planned["UID"], 1)
    assert moved.start == later[0]

    method, over = calendar_of(post.say("visit_cancelled", visit=(start, end))) or ("", None)
    assert over is not None
    assert (method, over["UID"], over["SEQUENCE"]) == ("CANCEL", planned["UID"], 2)
    assert (over["STATUS"], over.start) == ("CANCELLED", later[0])

    assert calendar_of(post.say("visit_cancelled")) is None, "there is nothing left to take out"
    _, again = calendar_of(post.say("visit_planned", visit=(start, end))) or ("", None)
    assert again is not None
    assert again["UID"] != planned["UID"]
    assert again["SEQUENCE"] == 0


@pytest.mark.parametrize(
    ("begins", "shown"),
    [
        ("2026-10-25T02:30:00+01:00", "20261025T013000Z"),
        ("2026-05-04T14:30+02:00", "20260504T123000Z"),
    ],
)
def test_a_visit_at_a_time_with_an_offset_is_the_same_moment_in_every_calendar(
    post: Post, begins: str, shown: str
) -> None:
    start = datetime.fromisoformat(begins)
    mail = post.say("visit_planned", visit=(start, start + timedelta(hours=2)))
    _, planned = calendar_of(mail) or ("", None)
    assert planned is not None
    assert f"DTSTART:{shown}\r\n".encode() in planned.to_ical()
    assert planned.start == start
    assert planned.end == start + timedelta(hours=2)


def test_the_calendars_of_two_people_are_their_own(post: Post) -> None:
    _, customer = calendar_of(post.say("visit_planned")) or ("", None)
    _, technician = calendar_of(post.say("job_accepted", contact="lea", role="technician")) or (
        "",
        None,
    )
    assert customer is not None
    assert technician is not None
    assert customer["UID"] != technician["UID"]
    assert technician["SEQUENCE"] == 0
    assert calendar_of(post.say("visit_planned", case_id=18)) is not None


def test_what_says_nothing_of_a_visit_changes_no_calendar(post: Post) -> None:
    assert calendar_of(post.say("technician_on_the_way")) is None
    assert calendar_of(post.say("job_over", contact="omar", role="technician")) is None


def test_an_attempt_that_is_made_again_says_the_same(post: Post) -> None:
    first = post.say("visit_planned")
    with post.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        delivery.state = "queued"
        session.add(delivery)
    second = post.send()
    assert second["Message-ID"] == first["Message-ID"]
    calendars = [calendar_of(mail) for mail in (first, second)]
    assert all(one is not None for one in calendars)
    assert len({one[1]["SEQUENCE"] for one in calendars if one is not None}) == 1


def test_the_mails_of_a_case_are_one_thread_for_each_reader(post: Post) -> None:
    first, second = post.say("visit_planned"), post.say("visit_moved")
    third = post.say("technician_on_the_way")
    assert first["In-Reply-To"] is None
    assert first["References"] == "<case-17@prevenant.example>"
    assert second["In-Reply-To"] == first["Message-ID"]
    assert third["In-Reply-To"] == second["Message-ID"]
    root = "<case-17@prevenant.example>"
    assert str(third["References"]).split() == [root, first["Message-ID"], second["Message-ID"]]
    other = post.say("job_accepted", contact="lea", role="technician")
    assert other["In-Reply-To"] is None
    assert post.say("visit_planned", case_id=18)["In-Reply-To"] is None
    assert post.say("visit_done", case_id=None)["References"] is None


def test_a_customer_gets_a_way_out_and_staff_do_not(post: Post) -> None:
    mail = post.say("visit_planned")
    url = str(mail["List-Unsubscribe"]).strip("<>")
    assert url.startswith("https://prevenant.example/l/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",))
    html = mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert f"No more e-mails from us: {url}" in text.get_content()
    assert f'<a href="{url}">' in html.get_content()
    token = url.rpartition("/")[2]
    with post.store.read() as session:
        link = session.exec(select(Link)).one()
        message = session.exec(select(Message)).one()
    assert token not in link.model_dump_json()
    assert token not in message.model_dump_json()
    staff = post.say("escalation", contact="zoe", role="dispatcher")
    assert staff["List-Unsubscribe"] is None


def test_one_click_needs_https_and_a_link_an_address(
    store: Store, clock: MovedClock, mailbox: Mailbox
) -> None:
    for public_url, header in (("http://prevenant.example", True), ("", False)):
        post = Post(store, clock, mailbox, public_url)
        mail = post.say("visit_planned", case_id=None if header else 3)
        assert (mail["List-Unsubscribe"] is not None) is header
        assert mail["List-Unsubscribe-Post"] is None
        post.email.close()
        with store.write() as session:
            for message in session.exec(select(Message)):
                message.key = f"before:{message.id}"
                session.add(message)


def letter(name: str, address: str = ADDRESS) -> tuple[Delivery, Message]:
    now = MovedClock().now()
    message = Message(
        id=1,
        key="k",
        contact_id="c",
        name=name,
        role="customer",
        template="t",
        language="en",
        severity=3,
        turns=[["email"]],
        texts={"email": {"subject": "S", "text": "T", "html": "<p>T</p>"}},
        created_at=now,
    )
    delivery = Delivery(
        key="m1-email", message_id=1, channel="email", address=address, severity=3, updated_at=now
    )
    return delivery, message


def test_long_addresses_and_identities_stand_in_headers_as_they_are() -> None:
    settings = SETTINGS.model_copy(update={"email_from": f"service@{'long.' * 12}example"})
    delivery, message = letter("Camille")
    message.case_id = 17
    before = [f"<m{one}-email.{'0' * 24}@{'long.' * 12}example>" for one in (1, 2)]
    delivery.letter = {"follows": before}
    url = f"https://{'long.' * 12}example/l/{'a' * 24}"
    raw = letters_of(settings).write(delivery, message, url).as_bytes().decode()
    head = " ".join(raw.split("\n\n")[0].split())
    assert f"List-Unsubscribe: <{url}> " in head
    assert f"In-Reply-To: {before[1]} " in head
    assert f"References: <case-17@{'long.' * 12}example> {before[0]} {before[1]} " in head


@given(st.text(max_size=300))
def test_no_name_can_write_a_header(name: str) -> None:
    mail = letters_of(SETTINGS).write(*letter(name))
    raw = mail.as_bytes()
    head = raw.split(b"\n\n")[0]
    names = [
        line.split(b":")[0] for line in head.splitlines() if not line.startswith((b" ", b"\t"))
    ]
    assert len(names) == len(set(names))
    assert set(names) == {
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"Auto-Submitted",
        b"MIME-Version",
        b"Content-Type",
        b"Content-Language",
    }
    assert mail["To"].addresses[0].addr_spec == ADDRESS


@pytest.mark.parametrize(
    "name",
    ["Zoë <other@home.example>", 'José "Pepe" Ruiz', "Évry (accueil)", "Zoë, ou a@b.example"],
)
def test_a_name_with_an_accent_stays_a_name_for_every_reader(name: str) -> None:
    raw = letters_of(SETTINGS).write(*letter(name)).as_bytes()
    line = next(one for one in raw.decode().split("\n") if one.startswith("To: "))
    words, _, address = line.removeprefix("To: ").rpartition(" ")
    assert address == f"<{ADDRESS}>"
    assert not set(words) & set('<>()"@'), "it stands in encoded words"


@pytest.mark.parametrize("address", ["x@y.example\r\nBcc: z@y.example", "camille@höme.example"])
def test_an_address_that_no_mail_can_go_to_is_refused_for_good(
    address: str, post: Post, mailbox: Mailbox
) -> None:
    with pytest.raises(Refused):
        post.email.send(*letter("Camille", address))
    assert mailbox.mails == []
