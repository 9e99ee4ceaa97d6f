"""Parts of pages for many browsers: made once, never waited for long, never left behind unsaid."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from prevenant.console.kept import Given, KeptParts
from prevenant.store import Store
from tests import loops
from tests.servers import wait_until

Story = Callable[[], None]


class _Bell:
    """Of a store: whom it calls when the story goes on."""

    def __init__(self) -> None:
        self.ring: Story = lambda: None

    def call(self, _: str, ring: Story) -> None:
        self.ring = ring


class _Template:
    """Makes a part, and may be held back while it does."""

    def __init__(self) -> None:
        self.made = 0
        self.error: Exception | None = None
        self.act: Story = lambda: None
        self.get: Ask
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self) -> str:
        self.made += 1
        number = self.made
        assert self.may_go_on.wait(20)
        if self.error is not None:
            raise self.error
        return f"part {number}"

    async def begin(self, number: int) -> None:
        """Wait until that part is being made: after a slow one there is a pause."""
        await asyncio.to_thread(wait_until, lambda: self.made >= number, f"part {number}", 20)


Ask = Callable[[], Awaitable[Given]]
Try = Callable[[Ask, Story, _Template], Awaitable[None]]


def tried(try_it: Try) -> None:
    """Try something with a part, the story that it follows, and the template that makes it."""

    async def run() -> None:
        bell, template = _Bell(), _Template()
        parts = KeptParts(cast(Store, bell))
        template.act = parts.note_act
        template.get = lambda: parts.get("board", template, waits=True)
        await try_it(lambda: parts.get("board", template), bell.ring, template)

    loops.run(run())


def test_all_who_ask_are_given_what_was_made_once() -> None:
    async def try_it(ask: Ask, go_on: Story, made: _Template) -> None:
        given = await asyncio.gather(*(ask() for _ in range(50)))
        assert set(given) == {Given("part 1", is_behind=False)}
        go_on()
        given = await asyncio.gather(*(made.get() for _ in range(50)))
        assert set(given) == {Given("part 2", is_behind=False)}
        assert made.made == 2

    tried(try_it)


def test_who_asks_while_it_is_made_is_given_the_last_one_and_told_so() -> None:
    async def try_it(ask: Ask, go_on: Story, made: _Template) -> None:
        await ask()
        go_on()
        made.may_go_on.clear()
        assert await ask() == Given("part 1", is_behind=True)
        await made.begin(2)
        go_on()
        made.may_go_on.set()
        # What was begun before the story went on again may lack that: the asker is told to come back.
        given = await ask()
        while given.is_behind:
            assert given.text in {"part 1", "part 2"}
            given = await ask()
        assert given == Given("part 3", is_behind=False)

    tried(try_it)


def test_who_asks_after_something_was_done_waits_for_what_shows_it() -> None:
    async def try_it(ask: Ask, go_on: Story, made: _Template) -> None:
        await ask()
        go_on()
        made.may_go_on.clear()
        assert (await ask()).is_behind
        await made.begin(2)  # that is being made, and may have looked too early
        made.act()
        asking = asyncio.ensure_future(ask())
        await asyncio.sleep(0.1)
        assert not asking.done()
        made.may_go_on.set()
        assert await asking == Given("part 3", is_behind=False)

    tried(try_it)


def test_who_waits_is_never_given_one_that_is_behind() -> None:
    async def try_it(ask: Ask, go_on: Story, made: _Template) -> None:
        await ask()
        go_on()
        made.may_go_on.clear()
        assert (await ask()).is_behind
        await made.begin(2)
        go_on()
        asking = asyncio.ensure_future(made.get())
        await asyncio.sleep(0.1)
        assert not asking.done()
        made.may_go_on.set()
        assert await asking == Given("part 3", is_behind=False)

    tried(try_it)


def test_what_cannot_be_made_is_an_error_of_who_asks_and_is_tried_again() -> None:
    async def try_it(ask: Ask, _: Story, made: _Template) -> None:
        made.error = OSError("no store")
        with pytest.raises(OSError, match="no store"):
            await ask()
        made.error = None
        assert (await ask()).text == "part 2"

    tried(try_it)
