"""`prevenant deliveries`: what did not arrive is listed without addresses, and given again to machines."""

import json

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from notify.delivery import move
from notify.email import letters_of
from notify.message import (
    FAILED,
    WEBHOOK,
    Delivery,
    Draft,
    Errand,
    Recipient,
    queue_errand,
    queue_message,
)
from notify.templating import Templates
from prevenant.cli import app
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import Store
from tests.moved_clock import MovedClock

REPORT = """\
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; zoe@home.example
Action: failed
Status: 5.1.1

--b
Content-Type: text/rfc822-headers

Message-ID: {message_id}

--b--
"""
URL = "https://desk.example.com/hooks/secret-token"


@pytest.fixture
def store_of_commands(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the store that commands use, with a failed call and a failed text in it."""
    monkeypatch.setenv("PREVENANT_DATABASE_URL", sqlite_url)
    store = Store(sqlite_url)
    now = MovedClock().now()
    recipient = Recipient("c", "Zoe", "customer", "en", "UTC", {"sms": "+33639980041"})
    with store.write() as session:
        errand = Errand("one", WEBHOOK, URL, "{}", "desk.example.com", 3, 7)
        queue_errand(session, errand, now)
        draft = Draft("two", recipient, "reply_stopped", {}, [["sms"]], 3, 7)
        queue_message(session, Templates(), draft, now)
        for delivery in session.exec(select(Delivery)).all():
            move(session, delivery, FAILED, now, "it was refused with 410")
    return store


def test_a_report_from_the_mail_server_is_taken(
    store_of_commands: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVENANT_EMAIL_FROM", "us@prevenant.example")
    monkeypatch.setenv("PREVENANT_WEBHOOK_SECRET", "a word of ours")
    now = MovedClock().now()
    recipient = Recipient("c", "Zoe", "customer", "en", "UTC", {"email": "zoe@home.example"})
    with store_of_commands.write() as session:
        draft = Draft("mail", recipient, "reply_stopped", {}, [["email"]], 3)
        message = queue_message(session, Templates(), draft, now)
        query = select(Delivery).where(Delivery.channel == "email")
        key = session.exec(query).one().key
        message_id = letters_of(load_settings()).identify(key, message.key)
    report = REPORT.format(message_id=message_id)
    result = CliRunner().invoke(app, ["deliveries", "take-report"], input=report)
    assert result.stdout == "taken\n", result.output
    with store_of_commands.read() as session:
        delivery = session.exec(query).one()
    assert (delivery.state, "5.1.1" in delivery.reason) == ("undelivered", True)
    forged = REPORT.format(message_id="<m1-email.000@prevenant.example>")
    result = CliRunner().invoke(app, ["deliveries", "take-report"], input=forged)
    assert result.stdout.startswith("left alone")
    too_long = CliRunner().invoke(app, ["deliveries", "take-report"], input="x" * 1_000_001)
    assert isinstance(too_long.exception, ConfigurationError)


def test_what_did_not_arrive_is_listed_without_addresses(store_of_commands: Store) -> None:
    result = CliRunner().invoke(app, ["deliveries", "list", "--failed", "--json"])
    rows = json.loads(result.output)
    assert [(row["channel"], row["to"], row["state"]) for row in rows] == [
        ("sms", "Zoe (customer)", "failed"),
        ("webhook", "desk.example.com (machine)", "failed"),
    ]
    table = CliRunner().invoke(app, ["deliveries", "list", "--channel", "webhook"])
    assert "410" in table.output
    assert "secret-token" not in table.output + result.output
    assert "+336" not in table.output + result.output
    store_of_commands.close()


def test_only_a_machine_is_given_something_again(store_of_commands: Store) -> None:
    again = CliRunner().invoke(app, ["deliveries", "resend", "1", "--by", "Camille"])
    assert again.exit_code == 0, again.output
    with store_of_commands.read() as session:
        delivery = session.get_one(Delivery, 1)
    assert (delivery.state, delivery.attempts) == ("queued", 0)
    person = CliRunner().invoke(app, ["deliveries", "resend", "2"])
    assert isinstance(person.exception, ConfigurationError)
    assert "too late" in str(person.exception)
    store_of_commands.close()


def test_dead_letters_are_machines_alone_and_are_all_given_again(store_of_commands: Store) -> None:
    shown = CliRunner().invoke(app, ["deliveries", "dead-letters", "--json"])
    (row,) = json.loads(shown.output)
    assert (row["id"], row["channel"], row["to"], row["body"]) == (
        1,
        "webhook",
        "desk.example.com",
        "{}",
    )
    assert "secret-token" not in shown.output
    assert "410" in CliRunner().invoke(app, ["deliveries", "dead-letters"]).output
    neither = CliRunner().invoke(app, ["deliveries", "resend"])
    assert isinstance(neither.exception, ConfigurationError)
    again = CliRunner().invoke(app, ["deliveries", "resend", "--all"])
    assert "1 are queued again" in again.output
    with store_of_commands.read() as session:
        states = session.exec(select(Delivery.channel, Delivery.state)).all()
    assert sorted(states) == [("sms", "failed"), ("webhook", "queued")]
    left = CliRunner().invoke(app, ["deliveries", "dead-letters", "--json"])
    assert json.loads(left.output) == []
    store_of_commands.close()
