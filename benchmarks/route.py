"""Routing, measured: cases, life-safety in a storm, 100,000 cases waiting, two workers, dispatch.

Each part runs on SQLite (`synchronous=FULL`) or on a PostgreSQL of its own (`fsync=on`), in one process
but for the two workers; dispatch needs no store. The provider takes every message at once, in the
process: its network is not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlmodel import func, select

from benchmarks.figures import Figure, median_of, report
from benchmarks.route_dispatch import measure as measure_choosing
from benchmarks.routing import Provider, make_store, raise_alarms, working
from benchmarks.routing_storm import storm
from notify.message import SENT, Delivery
from prevenant.clock import SystemClock
from prevenant.store import Store
from tests.servers import make_database, running_postgres

STORM, CASES, SHARED, WAITING, TECHNICIANS = 10_000, 2_000, 2_000, 100_000, 100_000
_IDLE_S, _WAKES = 20.0, 200
_PATIENCE_S = 600.0

Database = Callable[[Path], str]
"""Makes an empty database, with its files in a folder where it has any, and returns its address."""


def cases_per_second(database: Database, count: int) -> float:
    """Return how many alarms a second get their case, and their first message at the provider."""
    with _folder() as folder:
        store = make_store(database(folder), folder, count)
        with store.write() as session:
            raise_alarms(session, 0, count, SystemClock().now())
        provider = Provider()
        began = time.perf_counter()
        with working(store, provider):
            _wait_until(lambda: len(provider.taken) >= count, f"{count} hand-overs")
            took = time.perf_counter() - began
        store.close()
    assert len({key for key, *_ in provider.taken}) == count
    return count / took


def shared(database: Database, workers: int, count: int) -> tuple[float, float]:
    """Return how many alarms a second some worker processes do together, each once.

    Beside it, how many cores of the machine were busy meanwhile: those of PostgreSQL, too.
    """
    with _folder() as folder:
        url = database(folder)
        store = make_store(url, folder, count)
        taken = [folder / f"taken-{number}" for number in range(workers)]
        command = [sys.executable, "-m", "benchmarks.routing", url]
        processes = [
            subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, text=True)
            for path in taken
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        with store.write() as session:
            raise_alarms(session, 0, count, SystemClock().now())
        began, busy = time.perf_counter(), _busy_s()
        _wait_until(lambda: _sent(store) >= count, f"{count} hand-overs")
        took, busy = time.perf_counter() - began, _busy_s() - busy
        for process in processes:
            process.terminate()
            process.communicate(timeout=60)
        store.close()
        keys = Counter(key for path in taken for key in path.read_text().split())
    assert len(keys) == count
    assert set(keys.values()) == {1}, "done twice"
    return count / took, busy / took


def _busy_s() -> float:
    """Return for how long the machine's cores have computed since it started, all together."""
    user, nice, system, _, _, *interrupts = (
        int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts[:2])) / os.sysconf("SC_CLK_TCK")


def _sent(store: Store) -> int:
    time.sleep(0.05)
    with store.read() as session:
        return session.exec(select(func.count()).where(Delivery.state == SENT)).one()


def idle(database: Database, count: int, seconds: float, wakes: int) -> dict[str, float]:
    """Return what a process costs beside `count` waiting cases, and how soon it wakes."""
    with _folder() as folder:
        url = database(folder)
        make_store(url, folder, count + 1_001).close()
        numbers = [str(count), str(seconds), str(wakes)]
        command = [sys.executable, "-m", "benchmarks.routing_idle", url, *numbers]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_cases(databases: dict[str, Database], scale: float, rounds: int) -> Iterator[Figure]:
    """Yield the cases a second on each database."""
    count = round(CASES * scale)
    for name, database in databases.items():
        runs = [cases_per_second(database, count) for _ in range(rounds)]
        conditions = {"alarms": count, "until": "the first message is at the provider"}
        yield median_of(f"cases_per_s_{name}", runs, "cases/s", conditions)


def measure_storm(databases: dict[str, Database], scale: float, rounds: int) -> Iterator[Figure]:
    """Yield how long life-safety waits in a storm, and the whole of it."""
    del rounds
    count = round(STORM * scale)
    for name, database in databases.items():
        with _folder() as folder:
            found = storm(database(folder), folder, count)
        where = "" if name == "sqlite" else f"_{name}"
        conditions = {
            "alarms_in_one_second": count,
            "life_safety": len(found.life_safety_s),
            "others_untold_by_then": found.others_waiting,
            "database": name,
        }
        slowest = max(found.life_safety_s)
        yield Figure(
            f"life_safety_handover_s_max{where}", slowest, "s", found.life_safety_s, conditions
        )
        yield Figure(f"last_handover_s{where}", found.last_s, "s", conditions=conditions)


def measure_idle(databases: dict[str, Database], scale: float, rounds: int) -> Iterator[Figure]:
    """Yield what waiting cases cost, and how soon they are woken."""
    del rounds
    count = round(WAITING * scale)
    for name, database in databases.items():
        found = idle(database, count, _IDLE_S * min(1.0, scale * 10), _WAKES)
        where = "" if name == "sqlite" else f"_{name}"
        conditions = {"waiting": found["waiting"], "database": name, "wakes": _WAKES}
        yield Figure(f"idle_cpu_percent_100k{where}", found["percent"], "%", (), conditions)
        memory = {**conditions, "with_one_case": round(found["memory_mb_before"])}
        yield Figure(f"idle_memory_mb_100k{where}", found["memory_mb"], "MB", (), memory)
        yield Figure(f"wake_ms_p50{where}", found["wake_ms"], "ms", (), conditions)


def measure_shared(databases: dict[str, Database], scale: float, rounds: int) -> Iterator[Figure]:
    """Yield what a second worker is worth on one PostgreSQL."""
    if "postgres" not in databases:
        return
    count = round(SHARED * scale)
    pairs = [
        [shared(databases["postgres"], workers, count) for workers in (1, 2)] for _ in range(rounds)
    ]
    cores, busy = os.cpu_count() or 1, max(busy for (_, busy), _ in pairs)
    conditions = {
        "alarms": count,
        "one_cases_per_s": round(pairs[0][0][0]),
        "cores": cores,
        "cores_busy_with_one": round(busy, 2),
        # What one worker and its share of PostgreSQL compute leaves no more on these cores.
        "at_most_on_these_cores": round(cores / busy, 2),
    }
    runs = [two / one for (one, _), (two, _) in pairs]
    yield median_of("two_workers_over_one", runs, "times", conditions)


def measure_dispatch(databases: dict[str, Database], scale: float, rounds: int) -> Iterator[Figure]:
    """Yield what choosing technicians costs, one by one and together."""
    del databases
    yield from measure_choosing(rounds, technicians=round(TECHNICIANS * scale))


DATABASES = ["sqlite", "postgres"]
PARTS = {
    "cases": measure_cases,
    "storm": measure_storm,
    "idle": measure_idle,
    "shared": measure_shared,
    "dispatch": measure_dispatch,
}


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="prevenant-route-") as name:
        yield Path(name)


def _wait_until(found: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.005)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--on", choices=DATABASES, nargs="*", default=DATABASES)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the full numbers")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    made: list[str] = []

    def on_postgres(server: str) -> Database:
        def make(folder: Path) -> str:
            del folder
            made.append(f"route_{len(made)}")
            return make_database(server, made[-1])

        return make

    with ExitStack() as stack:
        databases: dict[str, Database] = {}
        if "sqlite" in options.on:
            databases["sqlite"] = lambda folder: f"sqlite:///{folder / 'bench.db'}"
        if "postgres" in options.on:
            databases["postgres"] = on_postgres(
                stack.enter_context(running_postgres(is_durable=True))
            )
        figures = []
        for name in options.only:
            for figure in PARTS[name](databases, options.scale, options.rounds):
                # All of them take long, and one that fails leaves the others.
                print(f"{figure.name} {figure.value:.4g} {figure.unit}", flush=True)  # noqa: T201
                figures.append(figure)
    report("route", figures)


if __name__ == "__main__":
    main()
