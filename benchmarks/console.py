"""What the console costs: browsers by the hundred that follow it while alarms come; how soon one is seen.

The engine runs as `prevenant run` does; beside it mosquitto, whoever publishes, and the browsers. All but
one of these are what a browser asks of the server: a stream of events, and the changing part of the board
at the pace of `live.js`. The one is chromium.

    browsers    so many streams while alarms come at a steady rate: memory, processor, and how long the
                changing part of the board takes; the memory is that beyond a run without browsers
    screen      from a device's publish until its alarm stands on the page, one at a time
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
import psutil
from playwright.sync_api import sync_playwright

from benchmarks.console_browser import TOKEN, Browser
from benchmarks.figures import Figure, percentile, report
from prevenant.errors import ConfigurationError
from simulators.broker import find_mosquitto, free_port, start_broker
from simulators.carrier import Carrier
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox

_SITES = 50
_BOOK = """
devices:
  unit: {topic: 'bench/{site}/units/{device}', fields: {hot: bool}}
rules:
  hot: {on: unit, when: hot, severity: major, workflow: callout, message: 'It is hot.'}
workflows:
  callout:
    - wait: acknowledged
      within: 12h
      otherwise: {hand_off: guard}
"""
_SEEN = """label => {
  const here = () => document.getElementById("changing").textContent.includes(label);
  window.seen = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${label} is not on the board`)), 20000);
    const look = () => { if (here()) { watcher.disconnect(); resolve(Date.now()); } };
    const watcher = new MutationObserver(look);
    const all = { childList: true, subtree: true, characterData: true };
    watcher.observe(document.getElementById("changing"), all);
    look();
  });
}"""


@dataclass
class Load:
    """What a run with some browsers took."""

    memory_mb: float
    cpu: float
    """Of one core."""
    part_ms: list[float] = field(default_factory=list)
    """Each answer with the changing part of the board."""
    events: int = 0
    """All that all streams were told."""


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--rate", type=int, default=10, help="alarms a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--seen",
        type=int,
        default=30,
        help="alarms that are looked for on the page; fifty within a minute would be a storm",
    )
    asked = parser.parse_args()
    if find_mosquitto() is None:
        sys.exit("this benchmark needs mosquitto: apt-get install mosquitto")
    alone = _load(0, asked.rate, asked.seconds)
    followed = _load(asked.browsers, asked.rate, asked.seconds)
    conditions = {"browsers": asked.browsers, "alarms/s": asked.rate, "seconds": asked.seconds}
    beyond = followed.memory_mb - alone.memory_mb
    figures = [
        Figure("board_p95_ms", percentile(followed.part_ms, 0.95), "ms", conditions=conditions),
        Figure("board_p50_ms", percentile(followed.part_ms, 0.5), "ms", conditions=conditions),
        Figure(f"stream_memory_mb_{asked.browsers}", beyond, "MB", conditions=conditions),
        Figure("console_cpu", followed.cpu, "cores", conditions=conditions),
        Figure("engine_cpu_alone", alone.cpu, "cores", conditions=conditions),
        Figure(
            "board_asked_per_s", len(followed.part_ms) / asked.seconds, "1/s", conditions=conditions
        ),
        Figure("events_per_s", followed.events / asked.seconds, "1/s", conditions=conditions),
    ]
    seen = _screen(asked.seen)
    figures += [
        Figure("alarm_to_screen_ms_p50", percentile(seen, 0.5), "ms"),
        Figure("alarm_to_screen_ms_p95", percentile(seen, 0.95), "ms"),
    ]
    report("console", figures)


@contextmanager
def _running() -> Iterator[tuple[EngineProcess, paho.Client]]:
    """Run a broker, an engine and whoever publishes."""
    with tempfile.TemporaryDirectory(prefix="prevenant-console-") as name:
        folder = Path(name)
        book = folder / "bench.yaml"
        book.write_text(_BOOK, "utf-8")
        broker, url = start_broker(folder / "broker", "mosquitto")
        carrier, mailbox = Carrier().start(), Mailbox().start()
        engine = EngineProcess(folder, book, url, carrier, mailbox, free_port(), TOKEN)
        try:
            engine.start()
            engine.wait_until_ready()
            client = connect(url)
            yield engine, client
            take_leave(client)
        except ConfigurationError as error:
            sys.exit(str(error))
        finally:
            engine.stop()
            carrier.stop()
            mailbox.stop()
            broker.terminate()
            broker.wait()


def _load(browsers: int, rate: int, seconds: int) -> Load:
    """Let alarms come while so many browsers follow them."""
    with _running() as (engine, client):
        assert engine.process is not None
        process = psutil.Process(engine.process.pid)
        members = [process, *process.children(recursive=True)]
        # What starts it may stay beside it: the engine is the one that grows.
        engine_process = max(members, key=lambda one: one.memory_info().rss)
        return asyncio.run(_follow(engine, client, engine_process, browsers, rate, seconds))


async def _follow(
    engine: EngineProcess,
    client: paho.Client,
    process: psutil.Process,
    browsers: int,
    rate: int,
    seconds: int,
) -> Load:
    windows = [Browser("127.0.0.1", engine.port) for _ in range(browsers)]
    tasks = [asyncio.create_task(one.run()) for one in windows]
    await asyncio.gather(*(one.is_warm.wait() for one in windows))
    for one in windows:
        one.took_ms, one.events = [], 0
    before, began = process.cpu_times(), time.perf_counter()
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        _raise(client, f"u{number}", number % _SITES)
    after, lasted = process.cpu_times(), time.perf_counter() - began
    memory = process.memory_info().rss / 2**20
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            message = f"a browser ended before the others: {ended!r}"
            raise ConnectionError(message)
    spent = after.user + after.system - before.user - before.system
    waited = [ms for one in windows for ms in one.took_ms]
    return Load(memory, spent / lasted, waited, sum(one.events for one in windows))


def _screen(count: int) -> list[float]:
    """Return how long each of so many alarms took until it stood on the page, in ms."""
    path = shutil.which("chromium")
    if path is None:
        sys.exit("this benchmark needs chromium: apt-get install chromium")
    took = []
    with _running() as (engine, client), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = chromium.new_page(base_url=engine.url)
        page.goto(f"/?token={TOKEN}")
        page.locator("#link.on").wait_for()
        for number in range(count):
            # Each on a board that has been quiet for a moment.
            time.sleep(1.0)
            page.evaluate(_SEEN, f"screen-{number}-")
            said = time.time()
            _raise(client, f"screen-{number}-", number % _SITES)
            took.append(float(page.evaluate("window.seen")) - said * 1_000)
        chromium.close()
    return took


def _raise(client: paho.Client, device: str, site: int) -> None:
    client.publish(f"bench/s{site}/units/{device}", json.dumps({"hot": True}), qos=1)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
