"""A whole small world for stories: engine, broker, carrier, mailbox, and a clock that the story moves."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import requests
from sqlmodel import Session, col, select

from notify.message import Delivery
from prevenant import parts
from prevenant.access.sign_ins import TOKEN, From, Lasting, begin_sign_in
from prevenant.access.tables import ApiToken
from prevenant.api.access import COOKIE, CSRF_HEADER, csrf_proof
from prevenant.app import Engine
from prevenant.crm.importing import import_folder
from prevenant.settings import Settings
from prevenant.tables import CaseEvent, TimelineEntry
from simulators.carrier import Carrier, Sent
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until
from workflows.tables import Case

DEMO_DATA = Path("prevenant/crm/demo")
PATIENCE_S = 60.0
_FOR_LONG = Lasting(timedelta(days=3_650), timedelta(days=3_650))


@dataclass
class Phone:
    """Somebody's phone, as a story reads it."""

    carrier: Carrier
    number: str
    seen: set[str] = field(default_factory=set)

    def expects_sms(self, *words: str) -> "Phone":
        """Wait for a text that holds all of `words` and was not expected before."""
        self._expect("Messages", words)
        return self

    def expects_call(self, *words: str) -> "Phone":
        """Wait for a call in which all of `words` were spoken."""
        self._expect("Calls", words)
        return self

    def replies(self, text: str) -> "Phone":
        """Answer by text."""
        self.carrier.text_from(self.number, text)
        return self

    def has_no_sms(self, *words: str) -> "Phone":
        """Make sure that no text with all of `words` has come so far."""
        found = [one.body for one in self._matching("Messages", words)]
        assert not found, f"{self.number} was sent {found}"
        return self

    def _expect(self, kind: str, words: tuple[str, ...]) -> None:
        def unseen() -> list[Sent]:
            return [one for one in self._matching(kind, words) if one.sid not in self.seen]

        found = self.carrier.wait_for(unseen, PATIENCE_S)
        if not found:
            got = [one.body for one in self.carrier.sent_to(self.number, kind)]
            pytest.fail(f"{self.number} got nothing with {words} among {kind}; it got {got}")
        self.seen.add(found[0].sid)

    def _matching(self, kind: str, words: tuple[str, ...]) -> list[Sent]:
        sent = self.carrier.sent_to(self.number, kind)
        return [one for one in sent if all(word in one.body for word in words)]


def sign_in(browser: requests.Session, world: "World") -> None:
    """Let a browser without scripts be the administrator, with the proof that its forms carry."""
    cookie = world.make_cookie()
    browser.cookies.set(COOKIE, cookie)
    browser.headers[CSRF_HEADER] = csrf_proof(cookie)


def end(engine: Engine) -> None:
    """Stop an engine, and wait for all its parts, however slow the machine is.

    It would not wait for long, as somebody wants to start it again; but what is left of it would write
    into the store of the next test, or keep the journal from the next engine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PATIENCE", timedelta(seconds=PATIENCE_S))
        engine.stop()


class World:
    """Everything around one engine that runs in this process."""

    def __init__(
        self,
        settings: Settings,
        clock: MovedClock,
        broker: Broker,
        carrier: Carrier,
        mailbox: Mailbox,
    ) -> None:
        self.clock = clock
        self.carrier = carrier
        self.mailbox = mailbox
        self.broker = broker
        self.engine = Engine(settings, clock)
        with self.engine.store.write() as session:
            import_folder(session, DEMO_DATA)
        self.engine.start()
        wait_until(self.engine.listening.is_set, "subscription")
        website = self.engine.website
        assert website is not None
        wait_until(lambda: website.started, "web server")
        self._client: paho.Client = connect(broker.url)
        self._published = 0
        self._phones: dict[str, Phone] = {}

    def stop(self) -> None:
        """Stop the engine and the devices."""
        take_leave(self._client)
        end(self.engine)

    def make_cookie(self, token: str = "administrator") -> str:
        """Sign a browser in by the name of a token, for as long as a story lasts; return its cookie."""
        with self.engine.store.write() as session:
            who, now = session.get_one(ApiToken, token), self.clock.now()
            return begin_sign_in(session, who, TOKEN, now, _FOR_LONG, From())

    def publish(self, topic: str, /, *payload: bytes, **values: Any) -> None:
        """Publish fields (or raw bytes), and wait until the engine has decided on them."""
        data = payload[0] if payload else json.dumps(values).encode()
        self._client.publish(topic, data, qos=1).wait_for_publish(PATIENCE_S)
        self._published += 1
        wait_until(lambda: self.engine.host.frames >= self._published, "decision on the reading")

    def badge(self, site: str, door: str) -> None:
        """Let somebody badge at a door."""
        self.publish(f"airport/{site}/badges/B{door[1:]}", door=door, granted=True)

    def phone(self, number: str) -> Phone:
        """Return somebody's phone."""
        return self._phones.setdefault(number, Phone(self.carrier, number))

    def expect_mail(self, address: str, *words: str) -> EmailMessage:
        """Wait for an e-mail whose subject or text holds all of `words`."""

        def found() -> EmailMessage | None:
            for mail in self.mailbox.mails_to(address):
                text = str(mail["Subject"]) + mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
                if all(word in text for word in words):
                    return mail
            return None

        mail = self.mailbox.wait_for(found, PATIENCE_S)
        assert mail is not None, f"{address} got no mail with {words}"
        result: EmailMessage = mail
        return result

    def expect(self, found: Callable[[Session], Any], what: str) -> Any:
        """Wait until something can be read from the store."""

        def look() -> Any:
            with self.engine.store.read() as session:
                return found(session)

        return wait_until(look, what, PATIENCE_S)

    def expect_case(self, rule: str, **values: Any) -> Case:
        """Wait for a case of `rule` with these values."""

        def found(session: Session) -> Case | None:
            cases = session.exec(
                select(Case).where(Case.rule == rule).order_by(col(Case.id).desc())
            )
            return next(
                (c for c in cases if all(getattr(c, k) == v for k, v in values.items())), None
            )

        case: Case = self.expect(found, f"case of {rule} with {values}")
        return case

    def expect_story(self, kind: str, *words: str) -> TimelineEntry:
        """Wait for a line of the story."""

        def found(session: Session) -> TimelineEntry | None:
            lines = session.exec(select(TimelineEntry).where(TimelineEntry.kind == kind))
            return next((x for x in lines if all(word in x.summary for word in words)), None)

        line: TimelineEntry = self.expect(found, f"line {kind} with {words}")
        return line

    def expect_quiet(self) -> None:
        """Wait until all is heard, nothing is on its way, and the receipt of everything sent is there."""
        unheard = select(CaseEvent).where(col(CaseEvent.heard_at).is_(None))
        on_its_way = select(Delivery).where(
            col(Delivery.state).in_(["queued", "sending", "uncertain"])
            | (col(Delivery.channel).in_(["sms", "voice"]) & (Delivery.state == "sent"))
        )
        self.expect(
            lambda s: s.exec(unheard).first() is None and s.exec(on_its_way).first() is None,
            "every delivery's end",
        )
