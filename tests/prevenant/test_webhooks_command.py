"""`prevenant webhooks`: subscriptions from the command line, which stand in the trail without secrets."""

import json

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from notify.message import Delivery
from notify.subscription import ENDED, PAUSED, Subscription
from prevenant.access.tables import Act
from prevenant.cli import app
from prevenant.errors import ConfigurationError
from prevenant.store import Store

URL = "https://desk.example.com/hook?token=hidden"


@pytest.fixture
def shop(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the store that commands use."""
    monkeypatch.setenv("PREVENANT_DATABASE_URL", sqlite_url)
    return Store(sqlite_url)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["webhooks", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_webhook_is_added_tested_paused_rotated_and_removed(shop: Store) -> None:
    said = run("add", "our desk", URL, "--topic", "cases", "--kind", "case.*", "--by", "Léa")
    assert "whsec_" in said
    listed = run("list", "--json")
    [one] = json.loads(listed)
    assert (one["name"], one["topics"], one["kinds"], one["sites"]) == (
        "our desk",
        ["cases"],
        ["case.*"],
        None,
    )
    assert "hidden" not in listed + run("list")
    assert "whsec_" not in listed + run("list")
    run("test", "1", "--by", "Léa")
    [given] = json.loads(run("deliveries", "1", "--json"))
    assert (given["topic"], given["state"]) == ("test", "queued")
    run("pause", "1", "--by", "Léa")
    with shop.read() as session:
        found = session.get_one(Subscription, 1)
        assert (found.state, found.reason) == (PAUSED, "paused by Léa")
    run("resume", "1", "--by", "Léa")
    new = run("rotate", "1", "--keeps", "1h", "--by", "Léa")
    assert "whsec_" in new
    assert new.split()[-1] != said.split()[-1]
    assert "0 are queued" in run("resend", "1", "--by", "Léa")
    run("remove", "1", "--by", "Léa")
    assert json.loads(run("list", "--json")) == []
    with shop.read() as session:
        gone = session.get_one(Subscription, 1)
        assert (gone.state, gone.url, gone.secrets) == (ENDED, "", [])
        assert session.exec(select(Delivery)).all() == []
        acts = str([one.model_dump() for one in session.exec(select(Act))])
    assert "webhooks rotate 1" in acts
    assert "whsec_" not in acts
    assert "hidden" not in acts


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("add", "desk", "http://desk.example.com/"), "PREVENANT_WEBHOOK_NETWORKS"),
        (("add", "desk", "https://127.0.0.1/"), "PREVENANT_WEBHOOK_NETWORKS"),
        (("add", "desk", URL, "--topic", "caes"), "cases"),
        (("test", "7"), "prevenant webhooks list"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_remedy(
    shop: Store, words: tuple[str, ...], remedy: str
) -> None:
    del shop
    with pytest.raises(ConfigurationError, match=remedy):
        CliRunner().invoke(app, ["webhooks", *words, "--by", "Léa"], catch_exceptions=False)
