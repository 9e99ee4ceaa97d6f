"""Links without a login: random, kept as digests, ending, and every use in the story."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from notify.links import (
    Link,
    LinkFor,
    end_links,
    find_link,
    forget_links,
    issue_link,
    link_url,
    use_link,
)
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.moved_clock import MovedClock

DAY = timedelta(days=1)
WANTED = LinkFor("confirm", "camille", DAY, case_id=7, message_id=3, data={"visit": 1})


def story(store: Store) -> list[tuple[str, str]]:
    with store.read() as session:
        return [(line.kind, line.summary) for line in session.exec(select(TimelineEntry))]


def test_a_link_is_used_and_every_use_is_told(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        token = issue_link(session, WANTED, clock.now())
    with store.write() as session:
        looked = find_link(session, token, clock.now())
        assert looked.link is not None
        assert looked.link.uses == 0
        for _ in range(2):
            found = use_link(session, token, "confirm", "visit confirmed", clock.now())
            assert found.link is not None
            assert (found.link.contact_id, found.link.case_id) == ("camille", 7)
            assert found.link.data == {"visit": 1}
    assert story(store) == [
        ("link.used", "visit confirmed by link, used once"),
        ("link.used", "visit confirmed by link, used 2 times"),
    ]
    assert link_url("https://x.example", token) == f"https://x.example/l/{token}"
    assert len(token) == 24


def test_a_link_ends_when_its_time_is_over(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        token = issue_link(session, WANTED, clock.now())
    clock.advance(hours=24)
    with store.write() as session:
        assert find_link(session, token, clock.now()).why_not == "expired"
        used = use_link(session, token, "confirm", "visit confirmed", clock.now())
        assert (used.link, used.why_not) == (None, "expired")
    assert story(store) == [("link.expired", "a link (confirm) was tried after its end")]
    clock.advance(days=91)
    with store.write() as session:
        forget_links(session, clock.now())
        assert find_link(session, token, clock.now()).why_not == "unknown"


def test_a_link_is_good_for_its_own_purpose_alone(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        token = issue_link(session, WANTED, clock.now())
        assert use_link(session, token, "rate", "rated", clock.now()).why_not == "unknown"
        end_links(session, "rate", 7, clock.now())
        assert find_link(session, token, clock.now()).link is not None
        end_links(session, "confirm", 7, clock.now())
        assert find_link(session, token, clock.now()).why_not == "expired"


def test_what_is_kept_opens_nothing(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        tokens = [issue_link(session, WANTED, clock.now()) for _ in range(50)]
    assert len(set(tokens)) == 50
    with store.read() as session:
        rows = session.exec(select(Link)).all()
        for row in rows:
            assert not any(token in row.model_dump_json() for token in tokens)
            assert find_link(session, row.digest, clock.now()).why_not == "unknown"
    assert not any(token in summary for _, summary in story(store) for token in tokens)


def test_no_guess_is_a_link(sqlite_url: str, clock: MovedClock) -> None:
    store = Store(sqlite_url)
    with store.write() as session:
        real = issue_link(session, WANTED, clock.now())

    @given(st.text(max_size=400).filter(lambda one: one != real))
    def guess(token: str) -> None:
        with store.write() as session:
            assert find_link(session, token, clock.now()).link is None
            assert use_link(session, token, "confirm", "x", clock.now()).link is None

    guess()
    store.close()
