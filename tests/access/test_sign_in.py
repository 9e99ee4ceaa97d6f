"""People and tokens at a running engine: signing in, being signed out, being kept out."""

import json
from datetime import timedelta
from typing import Any

import pytest
import requests
from sqlmodel import select

from prevenant.access.tables import Account, SignIn
from prevenant.api import live
from prevenant.api.access import COOKIE, csrf_proof
from prevenant.api.rating import Rating
from prevenant.limits import parse_limit
from tests.world import World

PASSWORD = "four words are enough"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: what both have in common is tried elsewhere."""
    return sqlite_url


def call(
    world: World, method: str, path: str, token: str = "admin", **body: Any
) -> requests.Response:
    """Ask the API."""
    return requests.request(
        method,
        f"{world.engine.address}/api/v1/{path}",
        headers={"Authorization": f"Bearer {token}"},
        json=body or None,
        timeout=30,
    )


class Visitor:
    """Somebody at a browser without scripts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.browser = requests.Session()

    def sign_in(self, name: str, password: str, to: str = "/", **headers: str) -> requests.Response:
        data = {"name": name, "password": password, "to": to}
        return self._send("/login", data, headers)

    def post(self, path: str, **data: str) -> requests.Response:
        return self._send(path, {**data, "csrf": csrf_proof(self.cookie)}, {})

    def opens(self, path: str) -> str:
        """Return which page is seen, or where one is sent."""
        answer = self.browser.get(
            f"{self.world.engine.address}{path}", allow_redirects=False, timeout=30
        )
        return answer.headers.get("location", path) if answer.is_redirect else path

    @property
    def cookie(self) -> str:
        return self.browser.cookies.get(COOKIE) or ""

    def _send(self, path: str, data: dict[str, str], headers: dict[str, str]) -> requests.Response:
        return self.browser.post(
            f"{self.world.engine.address}{path}",
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=30,
        )


def add_camille(world: World) -> str:
    """Let Camille sign in; return her first password."""
    answer = call(
        world, "POST", "users", name="camille", shown_name="Camille Roux", grants=["operator"]
    )
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    password: str = answer.json()["password"]
    return password


def settled(world: World) -> Visitor:
    """Return Camille, who has a password of her own."""
    first = add_camille(world)
    camille = Visitor(world)
    camille.sign_in("camille", first)
    assert (
        camille.post("/account/password", present=first, new=PASSWORD, again=PASSWORD).headers[
            "location"
        ]
        == "/"
    )
    return camille


def test_somebody_gets_a_password_of_their_own_before_anything_else(world: World) -> None:
    first = add_camille(world)
    camille = Visitor(world)
    assert camille.sign_in("Camille ", first, to="/cases").headers["location"] == "/cases"
    assert camille.opens("/cases") == "/account"
    assert camille.opens("/account") == "/account"
    told = camille.browser.get(f"{world.engine.address}/api/v1/cases", timeout=30)
    assert told.status_code == 403
    for present, new, again in (
        ("wrong", PASSWORD, PASSWORD),
        (first, PASSWORD, f"{PASSWORD}!"),
        (first, first, first),
        (first, "short", "short"),
    ):
        camille.post("/account/password", present=present, new=new, again=again)
        assert camille.opens("/cases") == "/account"
    camille.post("/account/password", present=first, new=PASSWORD, again=PASSWORD)
    assert camille.opens("/cases") == "/cases"
    assert Visitor(world).sign_in("camille", first).status_code == 403
    with world.engine.store.read() as session:
        kept = session.get_one(Account, "camille").password
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


def test_a_sign_in_is_new_each_time_and_ends(world: World) -> None:
    camille = settled(world)
    before = camille.cookie
    assert camille.post("/logout").headers["location"] == "/login"
    camille.sign_in("camille", PASSWORD)
    assert camille.cookie != before
    with world.engine.store.read() as session:
        digests = session.exec(select(SignIn.digest)).all()
    assert camille.cookie not in digests
    stolen = Visitor(world)
    stolen.browser.cookies.set(COOKIE, before)
    assert stolen.opens("/cases").startswith("/login")
    elsewhere = Visitor(world)
    elsewhere.sign_in("camille", PASSWORD)
    assert elsewhere.opens("/cases") == "/cases"
    camille.post("/account/sign-out")
    assert camille.opens("/cases") == "/cases"
    assert elsewhere.opens("/cases").startswith("/login")
    assert call(world, "PATCH", "users/camille", is_active=False).status_code == 200
    assert camille.opens("/cases").startswith("/login")
    assert Visitor(world).sign_in("camille", PASSWORD).status_code == 403


def test_nobody_stays_for_ever(world: World) -> None:
    settings = world.engine.settings
    settings.session_lasts, settings.session_idle = "7d", "12h"
    camille = settled(world)
    for _ in range(13):
        world.clock.advance(hours=11)
        assert camille.opens("/account") == "/account"
    world.clock.advance(hours=12)
    assert camille.opens("/account").startswith("/login")
    camille.sign_in("camille", PASSWORD)
    for _ in range(16):
        world.clock.advance(hours=11)
        camille.opens("/account")
    assert camille.opens("/account").startswith("/login"), "after a week in any case"


def test_whoever_guesses_has_to_wait_and_others_do_not(world: World) -> None:
    settled(world)
    for number in range(10):
        assert Visitor(world).sign_in("camille", f"guess {number}").status_code == 403
    refused = Visitor(world).sign_in("camille", PASSWORD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "Too many tries" in refused.text
    assert Visitor(world).sign_in("nobody", PASSWORD).status_code == 403
    world.clock.advance(seconds=int(refused.headers["Retry-After"]))
    assert Visitor(world).sign_in("camille", PASSWORD).status_code == 303
    acts = call(world, "GET", "trail?route=/login&limit=1000").json()
    guesses = [one for one in acts if one["actor"] == "camille"]
    assert {one["outcome"] for one in guesses} == {"refused"}
    assert PASSWORD not in json.dumps(acts)
    assert "guess" not in json.dumps(acts)


def test_a_form_of_another_site_signs_nobody_in(world: World) -> None:
    settled(world)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        visitor = Visitor(world)
        assert visitor.sign_in("camille", PASSWORD, **headers).status_code == 403
        assert not visitor.cookie
    fine = Visitor(world).sign_in("camille", PASSWORD, Origin="null", **{"Sec-Fetch-Site": "none"})
    assert fine.status_code == 303
    for to in ("//evil.example", "/\\evil.example", "https://evil.example", "evil"):
        answer = Visitor(world).sign_in("camille", PASSWORD, to=to)
        assert answer.headers["location"] == "/"


def test_a_cookie_alone_changes_nothing(world: World) -> None:
    camille = settled(world)
    url = f"{world.engine.address}/account/sign-out"
    for proof in ("", "guessed", csrf_proof("another")):
        answer = camille.browser.post(url, data={"csrf": proof}, timeout=30)
        assert answer.status_code == 403


def test_a_token_is_kept_to_its_parts_ends_and_is_revoked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_KEEP_ALIVE_S", 0.05)
    made = call(
        world,
        "POST",
        "tokens",
        name="desk",
        grants=["operator"],
        scopes=["cases:read", "live"],
        lasts="1h",
    )
    assert made.status_code == 201
    token = made.json()["token"]
    assert token not in call(world, "GET", "tokens").text
    assert call(world, "GET", "cases", token).status_code == 200
    assert call(world, "GET", "alarms", token).status_code == 403
    assert call(world, "POST", "cases/1/take", token, by="x").status_code == 403
    assert (
        requests.get(
            f"{world.engine.address}/cases",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        ).status_code
        == 403
    )
    visitor = Visitor(world)
    assert visitor._send("/login", {"token": token}, {}).status_code == 403
    stream = requests.get(
        f"{world.engine.address}/api/v1/live",
        headers={"Authorization": f"Bearer {token}"},
        stream=True,
        timeout=60,
    )
    assert call(world, "POST", "tokens/desk/revoke").json()["revoked_by"] == "administrator"
    assert call(world, "GET", "cases", token).status_code == 401
    for _ in stream.iter_content():
        pass
    ended = call(world, "POST", "tokens", name="day", grants=["viewer"], lasts="1h").json()["token"]
    assert call(world, "GET", "cases", ended).status_code == 200
    world.clock.advance(minutes=61)
    assert call(world, "GET", "cases", ended).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("users", {"name": "Two Words"}, "no user name"),
        ("users", {"name": "zoe", "grants": ["king"]}, "no role"),
        ("users", {"name": "zoe", "shown_name": "administrator"}, "somebody else"),
        ("tokens", {"name": "desk", "grants": ["viewer"], "scopes": ["cses"]}, "no part"),
        ("tokens", {"name": "desk", "grants": ["viewer"], "lasts": "soon"}, "length of time"),
        ("tokens", {"name": "administrator", "grants": ["viewer"]}, "somebody else"),
        ("tokens", {"name": "desk", "grants": ["viewer@site:x"]}, "no site 'x'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    world: World, path: str, body: dict[str, Any], says: str
) -> None:
    answer = call(world, "POST", path, **body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_too_many_requests_are_refused_with_a_time(world: World) -> None:
    website = world.engine.website
    assert website
    website._app.state.rating = Rating(parse_limit("3/1m"))
    codes = [call(world, "GET", "me").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    refused = call(world, "GET", "me")
    assert refused.json()["detail"].startswith("too many requests: try again in")
    other = Visitor(world)
    other.browser.cookies.set(COOKIE, world.make_cookie())
    assert other.opens("/account") == "/account", "each browser and token by itself"
    world.clock.advance(seconds=int(refused.headers["Retry-After"]))
    assert call(world, "GET", "me").status_code == 200


def test_a_browser_is_remembered_for_as_long_as_it_is_signed_in(world: World) -> None:
    world.engine.settings.session_lasts = "7d"
    settled(world)
    camille = Visitor(world)
    said = camille.sign_in("camille", PASSWORD).headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said
    assert f"Max-Age={round(timedelta(days=7).total_seconds())}" in said
