"""What somebody may: roles, where they hold, who stands in the story, and to what a token is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from prevenant.access.grants import Wanted, give_grants, parse_grant, resolve_grants
from prevenant.access.passwords import check_password, is_password, keep_password
from prevenant.access.roles import Actor, Grant, Role
from prevenant.access.tables import AccessGrant, ApiToken
from prevenant.access.tokens import check_scopes
from prevenant.api.within import is_at
from prevenant.crm.importing import import_folder
from prevenant.crm.tables import Site
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.world import DEMO_DATA

SITES = st.frozensets(st.sampled_from(["t1", "t2", "h01"]), max_size=3)
GRANTS = st.lists(st.builds(Grant, st.sampled_from(Role), st.none() | SITES), max_size=4)


@given(GRANTS, st.sampled_from(Role), st.sampled_from(["t1", "t2", "h01", "x"]))
def test_a_role_holds_where_one_at_least_as_high_was_given(
    grants: list[Grant], role: Role, site: str
) -> None:
    actor = Actor("Camille", tuple(grants))
    held = [one for one in grants if one.role >= role]
    given_there = any(one.sites is None or site in one.sites for one in held)
    assert actor.may(role, site) == given_there
    assert actor.may_everywhere(role) == any(one.sites is None for one in held)
    assert actor.may(role) == any(one.sites is None or one.sites for one in held)
    assert not actor.may(role, "") or actor.may_everywhere(role)


@pytest.mark.parametrize(
    ("speaks", "by", "stands"),
    [
        (True, "Camille", "Camille (via desk)"),
        (True, "", "desk"),
        (True, "desk", "desk"),
        (True, "  Ca\nmille\x1b[31m ", "Ca mille [31m (via desk)"),
        (True, "x" * 200, f"{'x' * 100} (via desk)"),
        (False, "Camille", "desk"),
    ],
)
def test_only_a_program_names_somebody_else(speaks: bool, by: str, stands: str) -> None:
    assert Actor("desk", (), speaks_for_others=speaks).signs(by) == stands


@pytest.mark.parametrize(
    ("scopes", "part", "reads", "opens"),
    [
        ((), "cases", False, True),
        (("cases",), "cases", False, True),
        (("cases:read",), "cases", True, True),
        (("cases:read",), "cases", False, False),
        (("cases:write",), "cases", True, False),
        (("cases",), "alarms", True, False),
        (("cases",), "", True, False),
    ],
)
def test_a_token_opens_the_parts_to_which_it_is_kept(
    scopes: tuple[str, ...], part: str, reads: bool, opens: bool
) -> None:
    assert Actor("desk", (), scopes=frozenset(scopes)).is_in_scope(part, reads=reads) is opens


def test_scopes_are_judged() -> None:
    check_scopes(["cases", "alarms:read"], {"cases", "alarms"})
    with pytest.raises(ConfigurationError, match=r"no part 'case': did you mean 'cases'"):
        check_scopes(["case"], {"cases", "alarms"})
    with pytest.raises(ConfigurationError, match=r"write cases, cases:read or cases:write"):
        check_scopes(["cases:all"], {"cases"})


@pytest.mark.parametrize("text", ["operator", "viewer@area:north", "author@site:t2"])
def test_a_grant_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_grant(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("operater", "did you mean 'operator'"),
        ("operator@", "is no grant"),
        ("operator@t2", "write operator, or"),
        ("operator@town:x", "is no grant"),
        ("operator@site:", "is no grant"),
    ],
)
def test_a_grant_that_is_none_is_refused_with_the_form(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_grant(text)


def test_grants_follow_the_crm(store: Store, clock: MovedClock) -> None:
    now = clock.now()
    with store.write() as session:
        import_folder(session, DEMO_DATA)
        token = ApiToken(name="desk", digest="d", created_at=now)
        session.add(token)
        session.flush()
        wanted = [
            parse_grant(one) for one in ("operator@area:airport", "viewer@customer:household-01")
        ]
        give_grants(session, token, wanted, now, "test")
        with pytest.raises(ConfigurationError, match="the CRM has no site 'x'"):
            give_grants(session, token, [Wanted(Role.VIEWER, "site", "x")], now, "test")
    with store.write() as session:
        actor = Actor("desk", resolve_grants(session, session.exec(select(AccessGrant)).all()))
        assert actor.sites(Role.OPERATOR) == frozenset({"t1", "t2", "mx"})
        assert actor.sites(Role.VIEWER) == frozenset({"t1", "t2", "mx", "h01"})
        session.get_one(Site, "h02").area_id = "airport"
    with store.read() as session:
        grants = resolve_grants(session, session.exec(select(AccessGrant)).all())
        assert "h02" in (Actor("desk", grants).sites(Role.OPERATOR) or set())


@pytest.mark.parametrize("more", [0, 70_000])
def test_a_condition_takes_any_number_of_sites(store: Store, more: int) -> None:
    with store.write() as session:
        import_folder(session, DEMO_DATA)
    with store.read() as session:
        sites = frozenset({"t2", *(f"x{number}" for number in range(more))})
        found = session.exec(select(Site.id).where(is_at(session, Site.id, sites))).all()
        assert found == ["t2"]
        assert session.exec(select(Site.id).where(is_at(session, Site.id, frozenset()))).all() == []


def test_passwords_are_kept_as_argon2id_and_judged() -> None:
    kept = keep_password("a long way home")
    assert kept.startswith("$argon2id$")
    assert is_password(kept, "a long way home")
    assert not is_password(kept, "a long way homf")
    assert not is_password("", "a long way home")
    assert not is_password("not a digest", "a long way home")
    assert not is_password(kept, "x" * 100_000)
    for bad in ("short", "aaaaaaaaaaaaaaaa", "camille-12345678", "x" * 201):
        with pytest.raises(ConfigurationError):
            check_password(bad, "camille")
    check_password("four words are enough", "camille")
