"""The whole embedded engine, which ends after so many readings were decided, and says what it took.

python -m benchmarks.listening_engine URL FOLDER COUNT      with 1,000 thresholds, each on each reading
"""

import json
import resource
import sys
import time
from pathlib import Path

import structlog

from benchmarks.publisher import FIELDS
from prevenant.app import Engine
from prevenant.settings import Settings

THRESHOLDS = 1_000


def write_book(path: Path, more: str = "") -> None:
    """Write a rule book of 1,000 thresholds on one device type, and more rules."""
    fields = ", ".join(f"{name}: number" for name in FIELDS)
    rules = [
        f"  r{number}: {{on: unit, when: {FIELDS[number % len(FIELDS)]} > "
        f"{_bound(number)}, for: 10m, severity: minor}}"
        for number in range(THRESHOLDS)
    ]
    path.write_text(
        "devices:\n  unit:\n    topic: bench/{site}/units/{device}\n"
        f"    fields: {{{fields}, serial: string?}}\nrules:\n" + "\n".join(rules) + "\n" + more,
        "utf-8",
    )


def _bound(number: int) -> float:
    """Return a threshold above what is usual; those of the temperature are met now and then."""
    return (30.0 if number % len(FIELDS) == 0 else 2_000.0) + number // len(FIELDS)


def make_engine(url: str, folder: Path, more_rules: str = "") -> Engine:
    """Return an engine whose files are all in `folder`."""
    # What is logged would come between the lines that we are waited for with.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    book = folder / "bench.yaml"
    write_book(book, more_rules)
    return Engine(
        Settings(
            book=book,
            mqtt_url=url,
            database_url=f"sqlite:///{folder / 'bench.db'}",
            journal=folder / "bench-journal.db",
            http="127.0.0.1:0",
        )
    )


def listen(url: str, folder: Path, count: int) -> dict[str, float]:
    """Run the engine until it has decided on `count` readings; return its rate, and what each took."""
    engine = make_engine(url, folder)
    engine.start()
    engine.listening.wait()
    print("ready", flush=True)  # noqa: T201  for the one who started us
    while not engine.host.frames:
        time.sleep(0.001)
    began, used = time.perf_counter(), _processor_seconds()
    first = engine.host.frames
    while engine.host.frames - first < count:
        time.sleep(0.02)
    taken = engine.host.frames - first
    result = {
        "rate": taken / (time.perf_counter() - began),
        "cpu_us": (_processor_seconds() - used) / taken * 1e6,
    }
    engine.stop()
    return result


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    print(json.dumps(listen(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))), flush=True)  # noqa: T201  the answer
