"""The engine at full speed for minutes, its store blocked for a while: memory, and what is lost.

python -m benchmarks.listening_memory URL FOLDER SECONDS     prints its figures once all has been decided
"""

import json
import sqlite3
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import psutil

from benchmarks.listening_engine import make_engine
from benchmarks.publisher import payloads
from ingest.mqtt import Frame
from prevenant.stream.embedded import EmbeddedHost

_WARM_UP, _BLOCKED_S, _LAST = 0.1, 30.0, 0.1
"""Memory is compared between the end of the warm-up and the last tenth of the time."""
_SAMPLE_S, _PATIENCE_S = 0.5, 30.0
_AT_ONCE = """
  hot: {on: unit, when: temperature > 34, severity: minor}
"""


def listen(url: str, folder: Path, seconds: float) -> dict[str, float]:
    """Run the engine until the publisher has ended and all that it sent was decided.

    The number that it sent comes in on a line of standard input, after `stop` went out.
    """
    taken: Counter[bytes] = Counter()
    _count_what_is_taken(taken)
    engine = make_engine(url, folder, _AT_ONCE)
    engine.start()
    engine.listening.wait()
    print("ready", flush=True)  # noqa: T201  for the one who started us
    began = time.monotonic()
    blocked = threading.Timer(seconds / 2, _block, [folder / "bench.db"])
    blocked.start()
    samples = []
    while (elapsed := time.monotonic() - began) < seconds:
        samples.append((elapsed / seconds, psutil.Process().memory_info().rss))
        time.sleep(_SAMPLE_S)
    rate = engine.host.frames / seconds
    blocked.join()
    print("stop", flush=True)  # noqa: T201  as above
    sent = int(sys.stdin.readline())
    decided, patience = -1, _PATIENCE_S
    while engine.host.frames < sent and patience > 0:
        patience = _PATIENCE_S if engine.host.frames > decided else patience - _SAMPLE_S
        decided = engine.host.frames
        time.sleep(_SAMPLE_S)
    engine.stop()
    expected = _what_was_sent(sent)
    first = [rss for share, rss in samples if _WARM_UP <= share < 2 * _WARM_UP]
    last = [rss for share, rss in samples if share >= 1 - _LAST]
    usual = statistics.median(first)
    return {
        "growth": statistics.median(last) / usual,
        "highest": max(rss for share, rss in samples if share >= _WARM_UP) / usual,
        "rss_mb": usual / 1e6,
        "rate": rate,
        "sent": sent,
        "lost": (expected - taken).total(),
        "repeated": (taken - expected).total(),
    }


def _count_what_is_taken(taken: Counter[bytes]) -> None:
    """Count each payload that was taken, from now on: several are sent again and again."""
    accept = EmbeddedHost.accept

    def accept_and_count(self: EmbeddedHost, frames: Sequence[Frame]) -> None:
        accept(self, frames)
        taken.update(map(itemgetter(1), frames))

    EmbeddedHost.accept = accept_and_count  # type: ignore[method-assign]


def _what_was_sent(count: int) -> Counter[bytes]:
    """Return how often each payload is among the first `count` that the publisher sends."""
    all_payloads = [payload for _, payload in payloads()]
    laps, more = divmod(count, len(all_payloads))
    sent = Counter(all_payloads[:more])
    for payload in all_payloads:
        sent[payload] += laps
    return sent


def _block(database: Path) -> None:
    """Let nobody write to the store for a while."""
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(_BLOCKED_S)
    connection.execute("ROLLBACK")
    connection.close()


if __name__ == "__main__":
    print(json.dumps(listen(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))), flush=True)  # noqa: T201  the answer
