"""Which channels there are with which settings, and who is asked first."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlmodel import select

from notify.failover import Providers
from notify.gateway import GatewaySms
from notify.message import Delivery
from notify.sms import Sms
from prevenant.crm.directory import find_contacts_at
from prevenant.crm.tables import Contact
from prevenant.errors import GatewayError
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from prevenant.worker import make_channels, make_worker
from tests.moved_clock import MovedClock

GATEWAY = """
send:
  url: http://127.0.0.1:9/
  fields: {to: "{to}", text: "{text}"}
"""


def with_twilio(**more: Any) -> Settings:
    """Return settings with an account at Twilio."""
    return Settings(
        twilio_account_sid="AC1",
        twilio_auth_token=SecretStr("x"),
        twilio_from="+33939980000",
        **more,
    )


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone."""
    return sqlite_url


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    """Describe a gateway."""
    path = tmp_path / "sms-gateway.yaml"
    path.write_text(GATEWAY, "utf-8")
    return path


def test_without_credentials_there_is_chat_alone(store: Store, clock: MovedClock) -> None:
    assert set(make_channels(Settings(), clock, store)) == {"chat"}


def test_twilio_alone_and_a_gateway_alone_have_nobody_to_pass_on_to(
    store: Store, clock: MovedClock, gateway: Path
) -> None:
    twilio = make_channels(with_twilio(), clock, store)
    assert set(twilio) == {"chat", "sms", "voice"}
    assert isinstance(twilio["sms"], Sms)
    alone = make_channels(Settings(sms_gateway=gateway), clock, store)
    assert set(alone) == {"chat", "sms"}
    assert isinstance(alone["sms"], GatewaySms)


@pytest.mark.parametrize("first", ["twilio", "gateway"])
def test_who_is_asked_first_is_a_setting(
    store: Store, clock: MovedClock, gateway: Path, first: str
) -> None:
    settings = with_twilio(sms_gateway=gateway, sms_first=first)
    sms = make_channels(settings, clock, store)["sms"]
    assert isinstance(sms, Providers)
    delivery = Delivery(
        key="m1-sms",
        message_id=1,
        channel="sms",
        address="+33639980041",
        severity=3,
        updated_at=clock.now(),
    )
    assert sms.choose(delivery, clock.now()) == first
    sms.close()


def test_a_provider_that_rests_is_told_in_the_story(
    store: Store, clock: MovedClock, gateway: Path
) -> None:
    settings = with_twilio(sms_gateway=gateway)
    sms = make_channels(settings, clock, store)["sms"]
    assert isinstance(sms, Providers)
    sms._tell("provider.rests", "sms: twilio rests", {"provider": "twilio"})
    with store.read() as session:
        line = session.exec(select(TimelineEntry)).one()
    assert (line.kind, line.summary) == ("provider.rests", "sms: twilio rests")
    sms.close()


def test_whatsapp_needs_its_number(store: Store, clock: MovedClock) -> None:
    settings = with_twilio(twilio_whatsapp_from="+33939980000")
    assert "whatsapp" in make_channels(settings, clock, store)


def test_a_gateway_that_cannot_be_used_is_told_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "sms-gateway.yaml"
    path.write_text("send: {url: nowhere, fields: {}}", "utf-8")
    database = tmp_path / "prevenant.db"
    settings = Settings(sms_gateway=path, database_url=f"sqlite:///{database}")
    with pytest.raises(GatewayError, match="this is no address"):
        make_worker(settings, frozenset({"engage"}))
    assert not database.exists()


def test_who_writes_is_known_by_the_number_of_that_channel(store: Store) -> None:
    with store.write() as session:
        number, other = "+33639980041", "+33639980042"
        session.add(Contact(id="ada", name="Ada", phone=number, whatsapp=other))
        session.add(Contact(id="eve", name="Eve", email="eve@home.example"))
        session.flush()
        assert find_contacts_at(session, "whatsapp", other) == ("ada",)
        assert find_contacts_at(session, "whatsapp", number) == ("ada",)
        assert find_contacts_at(session, "sms", other) == ()
        assert find_contacts_at(session, "email", "Eve@Home.example") == ("eve",)
