"""What waits to be decided: of small batches more than of large ones, bounded by their frames."""

import queue
from typing import Any, TypeVar

from ingest.journal_file import Batch

MOST_FRAMES = 16_384
"""When so many wait, the broker has to hold back. They keep a processor busy for a tenth of a second."""
LEAST = 256
"""So many frames a small batch counts as, and whatever else has its place among batches."""

_One = TypeVar("_One")


class Waiting(queue.Queue[_One]):
    """A queue whose size is that of the batches in it; the last to go in may exceed the limit."""

    def __init__(self) -> None:
        super().__init__(MOST_FRAMES)

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._frames = 0

    def _qsize(self) -> int:
        return self._frames

    def _put(self, item: _One) -> None:
        super()._put(item)
        self._frames += _weigh(item)

    def _get(self) -> _One:
        item = super()._get()
        self._frames -= _weigh(item)
        return item


def _weigh(item: Any) -> int:
    return max(LEAST, len(item.frames)) if isinstance(item, Batch) else LEAST
