"""The story as it happens: everything once, to each what is theirs, also to who was away for long."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from prevenant.api import live
from prevenant.api.access import Actor, Grant, Role
from prevenant.api.live import FROM_NOW_ON, LiveStory
from prevenant.api.live_topics import Told, Wanted
from prevenant.store import Store
from prevenant.tables import Alarm, add_timeline
from tests import loops
from tests.asking import Asking, website_on
from tests.moved_clock import MovedClock
from tests.servers import Databases

EVERYWHERE = Actor("Camille", (Grant(Role.VIEWER),))
AT_T1 = Actor("Tom", (Grant(Role.VIEWER, frozenset({"t1"})),))


class Asker:
    """A request that comes from somebody who is there."""

    def __init__(self) -> None:
        self.is_gone = False

    async def is_disconnected(self) -> bool:
        return self.is_gone


class Heard:
    """What one stream has told so far."""

    def __init__(self, story: LiveStory, actor: Actor, after: int, wanted: Wanted) -> None:
        self.events: list[tuple[str, Any]] = []
        self.ids: list[int] = []
        self.is_open = asyncio.Event()
        self._stream: AsyncIterator[str] = story.stream(Asker(), after, actor, wanted)  # type: ignore[arg-type]
        self.task = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        async for text in self._stream:
            self.is_open.set()
            for said in text.strip().split("\n\n"):
                if said.startswith("id: "):
                    number, event, data = said.split("\n")
                    self.ids.append(int(number[4:]))
                    self.events.append((event[7:], json.loads(data[6:])))

    async def has(self, count: int) -> None:
        """Wait until so many events have come."""
        for _ in range(12_000):
            if len(self.events) >= count:
                return
            await asyncio.sleep(0.005)
        pytest.fail(f"{len(self.events)} events of {count} have come")


def say(store: Store, clock: MovedClock, count: int, **about: Any) -> None:
    with store.write() as session:
        for number in range(count):
            add_timeline(session, clock.now(), "note", f"line {number}", **about)


def add_alarm(store: Store, clock: MovedClock, site: str) -> int:
    now = clock.now()
    with store.write() as session:
        alarm = Alarm(
            rule="warm",
            device_type="fridge",
            site_id=site,
            device_id=f"{site}/R1",
            severity=3,
            onset_at=now,
            raised_at=now,
            reason="it is warm",
        )
        session.add(alarm)
    return alarm.id or 0


def test_each_stream_hears_every_line_once_from_where_it_left_off(
    store: Store, clock: MovedClock
) -> None:
    async def story() -> None:
        feed = LiveStory(store)
        say(store, clock, 5)
        all_, new = (Heard(feed, EVERYWHERE, n, Wanted()) for n in (0, FROM_NOW_ON))
        await all_.has(5)
        await new.is_open.wait()
        rest = Heard(feed, EVERYWHERE, all_.ids[2], Wanted())
        await rest.has(2)
        say(store, clock, 3)
        await all_.has(8)
        await rest.has(5)
        await new.has(3)
        feed.close()
        await asyncio.gather(all_.task, rest.task, new.task)
        first = all_.ids[0]
        assert all_.ids == list(range(first, first + 8))
        assert (rest.ids, new.ids) == (all_.ids[3:], all_.ids[5:])

    loops.run(story())


def test_who_was_away_for_longer_than_is_kept_hears_it_out_of_the_store(
    store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_AT_ONCE", 7)

    async def story() -> None:
        feed = LiveStory(store)
        feed._feed = type(feed._feed)(maxlen=4)
        heard = Heard(feed, EVERYWHERE, FROM_NOW_ON, Wanted())
        other = Heard(feed, EVERYWHERE, FROM_NOW_ON, Wanted())
        await asyncio.gather(heard.is_open.wait(), other.is_open.wait())
        say(store, clock, 1)
        await heard.has(1)
        await other.has(1)
        for count in (30, 2, 9):
            say(store, clock, count)
        await heard.has(42)
        await other.has(42)
        feed.close()
        await asyncio.gather(heard.task, other.task)
        assert heard.ids == other.ids == list(range(heard.ids[0], heard.ids[0] + 42))

    loops.run(story())


def test_who_reads_the_store_while_the_story_goes_on_soon_hears_it_with_everybody(
    store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    usual = LiveStory._read

    def read(self: LiveStory, after: int, topics: frozenset[str]) -> tuple[list[int], list[Told]]:
        reads.append(after)
        if len(reads) < 50:
            say(store, clock, 1)  # there is always one more
        return usual(self, after, topics)

    monkeypatch.setattr(LiveStory, "_read", read)

    async def story() -> None:
        feed = LiveStory(store)
        heard = Heard(feed, EVERYWHERE, 0, Wanted())
        await heard.has(1)
        say(store, clock, 5)
        await heard.has(6)
        feed.close()
        await heard.task
        assert heard.ids == list(range(heard.ids[0], heard.ids[0] + 6))
        assert len(reads) == 1

    loops.run(story())


def test_a_line_that_is_committed_late_is_told_by_a_shared_store(
    databases: Databases, clock: MovedClock
) -> None:
    # One process after another writes to SQLite; here two are at it.
    with databases.lent() as url:
        store = Store(url)
        hear_late(store, clock)
        store.close()


def hear_late(store: Store, clock: MovedClock) -> None:
    """Have a line committed after one that was begun later, and hear both."""

    async def story() -> None:
        feed = LiveStory(store)
        say(store, clock, 2)
        heard = Heard(feed, EVERYWHERE, FROM_NOW_ON, Wanted())
        await heard.is_open.wait()
        is_written, may_commit = threading.Event(), threading.Event()

        def write_late() -> None:
            with store.write() as session:
                add_timeline(session, clock.now(), "note", "begun first")
                live_lines(session)
                is_written.set()
                assert may_commit.wait(120)

        late = threading.Thread(target=write_late)
        late.start()
        assert is_written.wait(120)
        other = Store(store.url)
        say(other, clock, 1)
        other.close()
        store.ring("timeline")
        await heard.has(1)
        may_commit.set()
        late.join()
        await heard.has(2)
        feed.close()
        await heard.task
        assert heard.ids[0] == heard.ids[1] + 1

    loops.run(story())


def live_lines(session: Any) -> None:
    """Give lines their numbers before the commit."""
    from prevenant.tables import write_timeline  # noqa: PLC0415  beside its one use

    write_timeline(session)


def test_nobody_hears_of_a_site_that_is_not_theirs(store: Store, clock: MovedClock) -> None:
    here, there = add_alarm(store, clock, "t1"), add_alarm(store, clock, "t2")

    async def story() -> None:
        feed = LiveStory(store)
        wanted = Wanted(frozenset({"story", "alarms"}))
        mine = Heard(feed, AT_T1, 0, wanted)
        everything = Heard(feed, EVERYWHERE, 0, wanted)
        one_site = Heard(feed, EVERYWHERE, 0, Wanted(wanted.topics, site="t2"))
        one_alarm = Heard(feed, EVERYWHERE, 0, Wanted(wanted.topics, alarm=here))
        streams = (mine, everything, one_site, one_alarm)
        await asyncio.gather(*(one.is_open.wait() for one in streams))
        say(store, clock, 1, alarm_id=there)
        say(store, clock, 1)
        say(store, clock, 1, alarm_id=here)
        await everything.has(5)
        for one in (mine, one_site, one_alarm):
            await one.has(2)
        feed.close()
        await asyncio.gather(everything.task, mine.task, one_site.task, one_alarm.task)
        assert [event for event, _ in mine.events] == ["story", "alarm"]
        assert mine.events[0][1]["alarm"] == here
        assert mine.events[1][1]["site_id"] == "t1"
        assert [event for event, _ in everything.events] == [
            "story",
            "alarm",
            "story",
            "story",
            "alarm",
        ]
        assert {data["alarm"] for event, data in one_site.events if event == "story"} == {there}
        assert {data["alarm"] for event, data in one_alarm.events if event == "story"} == {here}

    loops.run(story())


@pytest.fixture
def api(store: Store, clock: MovedClock) -> Iterator[Asking]:
    with website_on(store, clock) as asking:
        yield asking


def test_what_is_asked_for_is_judged(api: Asking) -> None:
    wrong = api.get("live?topics=story,gossip")
    assert wrong.status_code == 422
    assert "no topic 'gossip'" in wrong.json()["detail"]
    assert api.get("live?after=-2").status_code == 422
    say(api.store, api.clock, 1)
    url = f"{api.address}/api/v1/live?topics=story,cases&site="
    with api.session.get(
        url, headers={"Authorization": "Bearer admin"}, stream=True, timeout=60
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1)
        assert next(one for one in lines if one.startswith(b"event")) == b"event: story"
