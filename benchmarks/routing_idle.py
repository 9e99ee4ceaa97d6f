"""A worker beside a hundred thousand waiting cases: what it costs, and how soon an event reaches its case.

python -m benchmarks.routing_idle URL COUNT SECONDS WAKES
"""

import json
import statistics
import sys
import threading
import time

import psutil
from sqlmodel import func, select

from benchmarks.routing import Provider, acknowledge, fill_with_waiting, raise_alarms, working
from prevenant.clock import SystemClock
from prevenant.store import Store
from prevenant.tables import TIMELINE
from workflows.tables import Case

_SETTLE_S = 3.0
_PATIENCE_S = 60.0


def measure(url: str, count: int, seconds: float, wakes: int) -> dict[str, float]:
    """Return the processor's share in percent, memory in MB with and without cases, and the wake."""
    store = Store(url)
    provider = Provider()
    with store.write() as session:
        raise_alarms(session, 0, 1, SystemClock().now())
    with working(store, provider):
        while not provider.taken:
            time.sleep(0.01)
        time.sleep(_SETTLE_S)
        before = psutil.Process().memory_info().rss
    fill_with_waiting(store, count, SystemClock().now())
    with working(store, Provider()):
        time.sleep(_SETTLE_S)
        share = _share_of_a_core(seconds)
        after = psutil.Process().memory_info().rss
        # Across processes where there can be others: another store hears nothing from inside.
        outside = Store(url) if store.is_shared else store
        times = [_wake(store, outside, 1_001 + number) for number in range(wakes)]
        if outside is not store:
            outside.close()
    with store.read() as session:
        waiting = session.exec(select(func.count()).where(Case.state == "open")).one()
    store.close()
    return {
        "percent": share,
        "memory_mb": after / 1e6,
        "memory_mb_before": before / 1e6,
        "wake_ms": statistics.median(times) * 1_000,
        "waiting": waiting,
    }


def _share_of_a_core(seconds: float) -> float:
    process = psutil.Process()
    began, used = time.perf_counter(), sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - began) * 100


def _wake(store: Store, outside: Store, case_id: int) -> float:
    """Return the seconds from an event's commit to that of what its case made of it."""
    moved = threading.Event()
    store.call(TIMELINE, moved.set)
    with outside.write() as session:
        acknowledge(session, case_id, SystemClock().now())
        began = time.perf_counter()
    if not moved.wait(_PATIENCE_S):
        message = f"case {case_id} was not woken"
        raise TimeoutError(message)
    took = time.perf_counter() - began
    time.sleep(0.05)
    return took


if __name__ == "__main__":
    address, cases, idle_s, woken = sys.argv[1:]
    print(json.dumps(measure(address, int(cases), float(idle_s), int(woken))))  # noqa: T201  the answer
