"""Parts of pages that many browsers ask for at the same moment: each is made once, and given to all.

A part is good until the story goes on. Nobody waits for long: who asks while the next one is being made is
given the last one after a moment, and told that it is behind, so as to ask again. After something was done
on a page everybody waits for the next one, which shows it; a whole page, which may not ask again, always
waits. While the story goes on all the time, a part is made anew after a pause that is a few times as
long as it took to make.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from prevenant.store import Store
from prevenant.tables import TIMELINE

_KEPT = 128
_GOOD_FOR_S = 10.0
"""Ages are told in it, so that it is made anew also while nothing happens."""
_PATIENCE_S = 0.05
"""So long one waits for a part that is newer than the last one."""
_PAUSES = 2.0
"""So many times as long as a part took to make, nobody makes it again: a third of the time at most."""


class Given(NamedTuple):
    """A part, as it was when it was made last."""

    text: str
    is_behind: bool
    """Whether the story has gone on since: ask again."""


@dataclass(eq=False)
class _Part:
    text: str = ""
    story: int = -1
    """At which count of the story it was made."""
    acts: int = -1
    """After how many acts."""
    made_at: float = -math.inf
    took_s: float = 0.0
    being_made: asyncio.Task[None] | None = None


class KeptParts:
    """The parts that were asked for last, each under what it depends on."""

    def __init__(self, store: Store) -> None:
        self._parts: OrderedDict[Hashable, _Part] = OrderedDict()
        self._story = 0
        self._acts = 0
        store.call(TIMELINE, self._go_on)

    async def get(self, key: Hashable, make: Callable[[], str], *, waits: bool = False) -> Given:
        """Return the part under `key`, which `make` makes where it is out of date.

        Who `waits` is never given one that is behind: a browser without scripts does not ask again.
        """
        part = self._parts.setdefault(key, _Part())
        self._parts.move_to_end(key)
        while len(self._parts) > _KEPT:
            self._parts.popitem(last=False)
        wanted, acts = self._story, self._acts
        while part.story < wanted or self._is_old(part, acts):
            is_old = waits or self._is_old(part, acts)
            making = self._begin(part, make)
            if is_old or self._rest_of(part) < _PATIENCE_S:
                await asyncio.wait({making}, timeout=None if is_old else _PATIENCE_S)
            if making.done():
                making.result()
            # What was made may have been begun before what is wanted: it is not waited for again.
            if not is_old:
                break
        return Given(part.text, is_behind=part.story < wanted)

    def note_act(self) -> None:
        """Let nobody who asks from now on be given what was before something that has been done."""
        self._acts += 1

    def _begin(self, part: _Part, make: Callable[[], str]) -> asyncio.Task[None]:
        if part.being_made is None or part.being_made.done():
            part.being_made = asyncio.create_task(self._make(part, make))
            # Of whoever was given the last one, nobody is left to hear what went wrong.
            part.being_made.add_done_callback(lambda task: task.cancelled() or task.exception())
        return part.being_made

    async def _make(self, part: _Part, make: Callable[[], str]) -> None:
        await asyncio.sleep(self._rest_of(part))
        # Before it is made: what happens meanwhile may be in it, or not.
        story, acts, began_at = self._story, self._acts, time.monotonic()
        part.text = await run_in_threadpool(make)
        part.made_at = time.monotonic()
        part.story, part.acts, part.took_s = story, acts, part.made_at - began_at

    @staticmethod
    def _rest_of(part: _Part) -> float:
        return max(0.0, part.made_at + _PAUSES * part.took_s - time.monotonic())

    @staticmethod
    def _is_old(part: _Part, acts: int) -> bool:
        return part.acts < acts or time.monotonic() - part.made_at >= _GOOD_FOR_S

    def _go_on(self) -> None:
        self._story += 1
