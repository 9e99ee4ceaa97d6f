"""A storm through the whole chain of one process, from frames to the hand-over at the provider.

Journal, decoding, rules, alarms, cases and messages, on disk as `prevenant run` has them; only the broker
and the provider's network are left out.
"""

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.routing import Provider, device_id, make_store, severity_of, working
from ingest.journal import Journal
from prevenant.clock import SystemClock
from prevenant.domain import Severity
from prevenant.publishing import find_active
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost

_PARTS = 100
_PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Storm:
    """What a storm took."""

    life_safety_s: list[float]
    """From each alarm of life-safety to the hand-over of its message."""
    others_waiting: int
    """How many of the others had not been told yet when the last of life-safety had."""
    last_s: float
    """From the first alarm to the hand-over of the last first message."""


def storm(url: str, folder: Path, count: int) -> Storm:
    """Let `count` devices raise an alarm each within one second."""
    store = make_store(url, folder, count)
    provider = Provider()
    host, journal = _make_host(store, folder)
    decide = threading.Thread(target=host.run, daemon=True)
    try:
        with working(store, provider):
            decide.start()
            said = _say(host, count)
            deadline = time.monotonic() + _PATIENCE_S
            while len(provider.taken) < count:
                if time.monotonic() > deadline:
                    message = f"only {len(provider.taken)} of {count} were told"
                    raise TimeoutError(message)
                time.sleep(0.05)
        host.stop()
        decide.join()
    finally:
        journal.close()
        store.close()
    return _summarise(said, {label: at for _, label, at in provider.taken})


def _make_host(store: Store, folder: Path) -> tuple[EmbeddedHost, Journal]:
    with store.read() as session:
        active = find_active(session)
    assert active is not None
    journal = Journal(folder / "journal.db")
    host = EmbeddedHost(store, SystemClock(), journal, active.load().rules)
    host.recover()
    return host, journal


def _say(host: EmbeddedHost, count: int) -> dict[str, float]:
    """Publish, a hundredth of the devices at a time, within one second; return when each spoke."""
    said: dict[str, float] = {}
    began = time.perf_counter()
    for part in range(_PARTS):
        time.sleep(max(0.0, began + part / _PARTS - time.perf_counter()))
        numbers = range(part * count // _PARTS, (part + 1) * count // _PARTS)
        frames = []
        for number in numbers:
            is_gone = severity_of(number) == Severity.LIFE_SAFETY
            payload = json.dumps({"hot": not is_gone, "gone": is_gone}).encode()
            site, _, name = device_id(number).partition("/")
            frames.append((f"bench/{site}/units/{name}".encode(), payload, 0))
        said.update((f"u{number}", time.perf_counter()) for number in numbers)
        host.accept(frames)
    return said


def _summarise(said: dict[str, float], told: dict[str, float]) -> Storm:
    urgent = [name for name in said if severity_of(int(name[1:])) == Severity.LIFE_SAFETY]
    last_urgent = max(told[name] for name in urgent)
    return Storm(
        [told[name] - said[name] for name in urgent],
        sum(at > last_urgent for at in told.values()),
        max(told.values()) - min(said.values()),
    )
