"""People for whom an OpenID provider vouches, and providers that lie."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import Session, select

from prevenant.access import openid
from prevenant.access.grants import as_wanted, find_grants
from prevenant.access.openid import PATH_BACK, Attempt, Client, Provider, make_provider
from prevenant.access.tables import Account
from prevenant.access.vouching import Groups
from prevenant.api.access import COOKIE
from prevenant.errors import NotVouched
from simulators.openid_provider import OpenIdProvider
from tests.moved_clock import MovedClock
from tests.world import World

BACK = f"http://127.0.0.1:1{PATH_BACK}"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: what both have in common is tried elsewhere."""
    return sqlite_url


@pytest.fixture
def provider(clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenIdProvider]:
    """Run a provider, which on a busy machine is given time to answer."""
    monkeypatch.setattr(openid, "_TIMEOUT_S", 60.0)
    provider = OpenIdProvider(clock).start()
    yield provider
    provider.stop()


def make_ours(provider: OpenIdProvider, **changed: str) -> Provider:
    """Return our side of a provider."""
    values = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "back_url": BACK,
    }
    return Provider(Client(**{**values, **changed}))


def come_back(address: str) -> dict[str, str]:
    """Let a browser go to the provider; return what it comes back with."""
    answer = requests.get(address, allow_redirects=False, timeout=30)
    return {n: v[-1] for n, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def sign_in(ours: Provider, clock: MovedClock, attempt: Attempt | None = None) -> dict[str, Any]:
    """Go to the provider and back; return what it says of the person."""
    attempt = attempt or Attempt.begin("/")
    now = clock.now()
    back = come_back(ours.address_for(attempt, now))
    return ours.redeem(attempt, back["state"], back.get("code", ""), back["iss"], now).claims


def test_whoever_is_vouched_for_is_believed(provider: OpenIdProvider, clock: MovedClock) -> None:
    claims = sign_in(make_ours(provider), clock)
    assert (claims["sub"], claims["name"]) == ("1", "Camille Roux")
    assert sign_in(make_ours(provider), clock)["sub"] == "1"
    provider.signs = "PS256"
    assert sign_in(make_ours(provider), clock)["sub"] == "1"


LIES: list[dict[str, Any]] = [
    {"iss": "https://evil.example"},
    {"iss": None},
    {"aud": "another"},
    {"aud": ["prevenant", "another"]},
    {"aud": ["prevenant", "another"], "azp": "another"},
    {"azp": "another"},
    {"aud": None},
    {"nonce": "another"},
    {"nonce": None},
    {"exp": 1},
    {"exp": None},
    {"exp": "soon"},
    {"iat": 4_000_000_000},
    {"nbf": 4_000_000_000},
    {"sub": None},
    {"sub": 7},
]


@pytest.mark.parametrize("lies", LIES, ids=str)
def test_what_does_not_fit_is_not_believed(
    provider: OpenIdProvider, clock: MovedClock, lies: dict[str, Any]
) -> None:
    provider.lies = lies
    with pytest.raises(NotVouched):
        sign_in(make_ours(provider), clock)


@pytest.mark.parametrize("how", ["none", "HS256"])
def test_a_signature_that_anybody_can_make_is_none(
    provider: OpenIdProvider, clock: MovedClock, how: str
) -> None:
    provider.signs = how
    with pytest.raises(NotVouched, match="cannot be believed"):
        sign_in(make_ours(provider), clock)


def test_a_new_key_is_asked_for_and_one_that_nobody_published_is_not_believed(
    provider: OpenIdProvider, clock: MovedClock
) -> None:
    ours = make_ours(provider)
    sign_in(ours, clock)
    provider.change_key()
    with pytest.raises(NotVouched):
        sign_in(ours, clock)
    clock.advance(seconds=61)
    sign_in(ours, clock)
    provider.change_key(publish=False)
    clock.advance(seconds=61)
    with pytest.raises(NotVouched):
        sign_in(ours, clock)


def test_a_code_is_good_once_in_the_browser_that_began(
    provider: OpenIdProvider, clock: MovedClock
) -> None:
    ours, now = make_ours(provider), clock.now()
    mine, theirs = Attempt.begin("/"), Attempt.begin("/")
    back = come_back(ours.address_for(mine, now))
    with pytest.raises(NotVouched, match="not begun in this browser"):
        ours.redeem(theirs, back["state"], back["code"], back["iss"], now)
    with pytest.raises(NotVouched, match="another provider"):
        ours.redeem(mine, back["state"], back["code"], "https://evil.example", now)
    ours.redeem(mine, back["state"], back["code"], back["iss"], now)
    with pytest.raises(NotVouched, match="refuses"):
        ours.redeem(mine, back["state"], back["code"], back["iss"], now)
    stolen = come_back(ours.address_for(mine, now))
    forged = Attempt(theirs.state, theirs.nonce, theirs.verifier, "/")
    with pytest.raises(NotVouched, match="refuses"):
        ours.redeem(forged, forged.state, stolen["code"], "", now)


def test_a_provider_that_is_another_or_away_lets_nobody_in(
    provider: OpenIdProvider, clock: MovedClock
) -> None:
    elsewhere = make_ours(provider, issuer=provider.issuer.replace("127.0.0.1", "localhost"))
    with pytest.raises(NotVouched, match="calls itself otherwise"):
        sign_in(elsewhere, clock)
    with pytest.raises(NotVouched, match="refuses"):
        sign_in(make_ours(provider, client_secret="wrong"), clock)
    away = make_ours(provider, issuer="http://127.0.0.1:9")
    with pytest.raises(NotVouched, match="does not answer"):
        sign_in(away, clock)
    provider.knows_person = False
    with pytest.raises(NotVouched, match="did not let you in"):
        sign_in(make_ours(provider), clock)


@given(st.text(max_size=50))
def test_an_attempt_is_read_as_it_was_written(to: str) -> None:
    attempt = Attempt.begin(to.encode(errors="replace").decode())
    assert Attempt.read(attempt.write()) == attempt


@given(st.text(max_size=80))
def test_a_cookie_that_is_no_attempt_is_none(cookie: str) -> None:
    assert Attempt.read(cookie) is None


def test_groups_say_what_somebody_may() -> None:
    groups = Groups.parse("groups", "a=b=viewer, admins=administrator, desk=operator@area:north")
    assert [str(one) for one in groups.of({"groups": ["desk", "a=b"]})] == [
        "viewer",
        "operator@area:north",
    ]
    for nothing in ({}, {"groups": None}, {"groups": {"desk": 1}}, {"groups": ["Desk"]}):
        assert groups.of(nothing) == []


def visit(world: World) -> requests.Session:
    """Let a browser sign in through the provider."""
    browser = requests.Session()
    answer = browser.get(f"{world.engine.address}/login/openid?to=/cases", timeout=30)
    # Without a role there is nothing to see, and it is said so.
    assert answer.status_code in {200, 403}
    return browser


def test_somebody_signs_in_through_the_provider(
    world: World, provider: OpenIdProvider, clock: MovedClock
) -> None:
    del clock
    website, settings = world.engine.website, world.engine.settings
    assert website
    settings.openid_issuer, settings.openid_client_id = provider.issuer, provider.client_id
    settings.openid_client_secret = SecretStr(provider.client_secret)
    settings.openid_groups = "desk=operator@area:airport, lost=viewer@area:nowhere"
    website._app.state.openid = make_provider(settings)

    def held(session: Session, name: str) -> list[str]:
        account = session.get_one(Account, name)
        return [str(as_wanted(one)) for one in find_grants(session, account)]

    provider.person = {
        "sub": "1",
        "name": "Camille Roux",
        "preferred_username": "Camille.Roux",
        "groups": ["desk", "lost"],
    }
    browser = visit(world)
    assert browser.get(f"{world.engine.address}/cases", timeout=30).url.endswith("/cases")
    with world.engine.store.read() as session:
        assert held(session, "camille.roux") == ["operator@area:airport"]
    provider.person["groups"] = []
    browser = visit(world)
    assert (
        "ask an administrator for a role"
        in browser.get(f"{world.engine.address}/account", timeout=30).text
    )
    with world.engine.store.read() as session:
        assert held(session, "camille.roux") == []
    # The same name is another person, who gets neither the account nor the name in the story.
    provider.person = {**provider.person, "sub": "2"}
    visit(world)
    with world.engine.store.write() as session:
        accounts = session.exec(select(Account).order_by(Account.name)).all()
        assert [(one.name, one.shown_name) for one in accounts] == [
            ("camille.roux", "Camille Roux"),
            ("camille.roux-2", "Camille Roux (camille.roux-2)"),
        ]
        accounts[1].is_active = False
        session.add(accounts[1])
    browser = requests.Session()
    page = browser.get(f"{world.engine.address}/login/openid", timeout=30)
    assert "closed this account" in page.text
    assert COOKIE not in browser.cookies
    answer = requests.get(
        f"{world.engine.address}{PATH_BACK}?state=x&code=y", allow_redirects=False, timeout=30
    )
    assert answer.headers["location"] == "/login"
    trail = requests.get(
        f"{world.engine.address}/api/v1/trail?route=/login/openid",
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    ).json()
    assert [one["outcome"] for one in trail] == ["refused", "refused", "done", "done", "done"]
    assert [one["actor"] for one in trail[2:]] == [
        "Camille Roux (camille.roux-2)",
        "Camille Roux",
        "Camille Roux",
    ]
