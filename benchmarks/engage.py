"""How soon and how fast people are told: from a device's publish to the hand-over, and messages a second.

The engine is the process that a user runs: SQLite and journal with `synchronous=FULL`, 100 rules, and
10,000 readings a second of other devices. Beside them a device that is known says that it is hot
(severity major) or gone (life-safety), one at a time, in turns; the clock stops when the first text about
it arrives at the carrier. Node-RED gets the same readings from the same kind of broker and posts the same
ones to a web server: it keeps nothing. What lies beyond the carrier is not measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from benchmarks.engage_node_red import node_red
from benchmarks.figures import Figure, median_of, percentile, report
from benchmarks.listen import loaded
from benchmarks.listening_node_red import PROGRAM
from benchmarks.publisher import FIELDS
from simulators.broker import free_port
from simulators.carrier import Carrier, Sent
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox

_RULES = 100
_TRAFFIC = 10_000
"""Readings a second of other devices."""
_WARM_UP = 5
_PAUSE_S, _PATIENCE_S, _SETTLE_S = 0.1, 20.0, 5.0
SEVERITIES = {"life_safety": "gone", "normal": "hot"}
"""The severities that are measured, and the field that brings an alarm of each."""
DEMO_DATA = Path("prevenant/crm/demo")


class TimedCarrier(Carrier):
    """Notes when the first hand-over about each device arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, float] = {}

    def accept(self, kind: str, fields: dict[str, str]) -> Sent:
        """Take something to deliver, and the time."""
        at = time.perf_counter()
        device = fields.get("Body", "").partition(" ")[0]
        self.first.setdefault(device, at)
        return super().accept(kind, fields)


class TimedServer:
    """A web server that notes when the first request about each device arrived."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        handler = type("Handler", (_Handler,), {"first": self.first})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    first: dict[str, float]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        at = time.perf_counter()
        self.first.setdefault(str(json.loads(body)["probe"]), at)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


def book() -> str:
    """Return a book of 100 rules, on the traffic's fields in turn, and two more.

    Few readings meet one of them, and for too short a time to raise an alarm.
    """
    fields = ", ".join(f"{name}: number" for name in FIELDS)
    lines = [
        "devices:",
        f"  unit: {{topic: 'bench/{{site}}/units/{{device}}', fields: {{{fields}, serial: string}}}}",
        "  probe: {topic: 'probe/{site}/{device}', fields: {hot: bool, gone: bool, probe: string?}}",
        "rules:",
        "  hot: {on: probe, when: hot, severity: major, workflow: tell, message: 'It is hot.'}",
        "  gone: {on: probe, when: gone, severity: life_safety, workflow: tell, message: 'Gone.'}",
    ]
    for number in range(_RULES):
        name = FIELDS[number % len(FIELDS)]
        # Above what is usual; those of the temperature are met now and then.
        limit = (30.0 if name == FIELDS[0] else 2_000.0) + number // len(FIELDS)
        lines.append(
            f"  r{number}: {{on: unit, when: {name} > {limit}, for: 10m, severity: minor}}"
        )
    return "\n".join(
        [
            *lines,
            "workflows:",
            "  tell:",
            "    - tell: security",
            "      template: told",
            "      channels: sms",
            # A question has no limit: what is measured would be gathered else.
            "      ask: acknowledge",
            "templates:",
            '  told: {en: {sms: \'{{ device.id | replace(site.id ~ "/", "") }} {{ alarm.message }}\'}}',
            "",
        ]
    )


def time_engine(count: int) -> dict[str, list[float]]:
    """Return the milliseconds to the hand-over by severity, `count` of each."""
    carrier, mailbox = TimedCarrier(), Mailbox()
    carrier.start()
    mailbox.start()
    with loaded(1, rate=_TRAFFIC) as load, tempfile.TemporaryDirectory() as name:
        folder, url = Path(name), f"mqtt://127.0.0.1:{load.port}"
        path = folder / "rules.yaml"
        path.write_text(book(), "utf-8")
        engine = EngineProcess(folder, path, url, carrier, mailbox, free_port(), "bench")
        try:
            engine.run("crm", "import", str(DEMO_DATA))
            engine.start()
            engine.wait_until_ready()
            load.begin()
            _introduce(url, count)
            time.sleep(_SETTLE_S)
            return _time_probes(url, carrier.first, count)
        finally:
            engine.stop()
            carrier.stop()
            mailbox.stop()


def time_node_red(count: int) -> dict[str, list[float]]:
    """Return the milliseconds to Node-RED's request; it knows no severities."""
    server = TimedServer()
    with loaded(1, rate=_TRAFFIC) as load, tempfile.TemporaryDirectory() as name:
        try:
            with node_red(load.port, server.url, Path(name)):
                load.begin()
                time.sleep(_SETTLE_S)
                return _time_probes(f"mqtt://127.0.0.1:{load.port}", server.first, count)
        finally:
            server.stop()


def _introduce(url: str, count: int) -> None:
    """Let each device say that all is well: who is told of one has had it for a while."""
    client = connect(url)
    try:
        for field in SEVERITIES.values():
            for number in range(count + _WARM_UP):
                _publish(client, f"{field}-{number}").wait_for_publish(_PATIENCE_S)
    finally:
        take_leave(client)


def _time_probes(url: str, first: dict[str, float], count: int) -> dict[str, list[float]]:
    client = connect(url)
    times: dict[str, list[float]] = {severity: [] for severity in SEVERITIES}
    try:
        for number in range(count + _WARM_UP):
            for severity, field in SEVERITIES.items():
                took = _time_probe(client, first, f"{field}-{number}", field)
                if number >= _WARM_UP:
                    times[severity].append(took)
    finally:
        take_leave(client)
    return times


def _time_probe(client: paho.Client, first: dict[str, float], device: str, field: str) -> float:
    began = time.perf_counter()
    _publish(client, device, {field: True})
    while device not in first:
        if time.perf_counter() - began > _PATIENCE_S:
            message = f"nobody was told of {device}"
            raise TimeoutError(message)
        time.sleep(0.0005)
    time.sleep(_PAUSE_S)
    return (first[device] - began) * 1_000


def _publish(
    client: paho.Client, device: str, says: Mapping[str, bool] | None = None
) -> paho.MQTTMessageInfo:
    values = {"hot": False, "gone": False, "probe": device} | dict(says or {})
    return client.publish(f"probe/t2/{device}", json.dumps(values), qos=1)


def measure_rate(channel: str, count: int) -> float:
    """Return how many messages a second a process hands over to servers that stand here."""
    with _servers() as (carrier, mailbox), tempfile.TemporaryDirectory() as folder:
        arguments = (carrier.url, carrier.account, carrier.token, str(mailbox.port))
        command = ("-m", "benchmarks.engage_sender", folder, channel, str(count), *arguments)
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=True
        )
    return float(json.loads(done.stdout.splitlines()[-1])["rate"])


@contextmanager
def _servers() -> Iterator[tuple[Carrier, Mailbox]]:
    carrier, mailbox = Carrier().start(), Mailbox().start()
    try:
        yield carrier, mailbox
    finally:
        carrier.stop()
        mailbox.stop()


def _figures_of(
    times: dict[str, list[float]], peer: list[float], conditions: dict[str, Any]
) -> Iterator[Figure]:
    for severity, some in times.items():
        for name, value in (
            ("p50", percentile(some, 0.5)),
            ("p99", percentile(some, 0.99)),
            ("max", max(some)),
        ):
            yield Figure(f"handover_ms_{name}_{severity}", value, "ms", conditions=conditions)
    if not peer:
        return
    for name, value in (
        ("p50", percentile(peer, 0.5)),
        ("p99", percentile(peer, 0.99)),
        ("max", max(peer)),
    ):
        yield Figure(f"node_red_ms_{name}", value, "ms", conditions=conditions)
    worst = max(percentile(some, 0.99) for some in times.values())
    ratio = worst / percentile(peer, 0.99)
    yield Figure("p99_over_node_red", ratio, "times", conditions=conditions)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="alarms of each severity a round")
    parser.add_argument("--messages", type=int, default=3_000, help="messages a channel and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {severity: [] for severity in SEVERITIES}
    peer: list[float] = []
    rates: dict[str, list[float]] = {"sms": [], "email": [], "voice": []}
    has_peer = PROGRAM.is_file()
    if not has_peer:
        sys.stderr.write("Node-RED is left out: `make bench-peers` installs it\n")
    for _ in range(options.rounds):
        for severity, some in time_engine(options.count).items():
            times[severity] += some
        if has_peer:
            peer += [one for some in time_node_red(options.count).values() for one in some]
        for channel, runs in rates.items():
            runs.append(measure_rate(channel, options.messages))
    conditions = {
        "alarms": options.count * options.rounds,
        "rules": _RULES + 2,
        "other_readings_a_second": _TRAFFIC,
        "store": "sqlite, synchronous=FULL",
        "journal": "synchronous=FULL",
        "broker": "mosquitto, QoS 1, loopback",
        "carrier": "simulators.carrier, loopback",
        "one_at_a_time": True,
        "node_red_keeps": "nothing",
    }
    of_rates = {"messages": options.messages, "store": conditions["store"], "at_once": 32}
    report(
        "engage",
        [
            *_figures_of(times, peer, conditions),
            *(
                median_of(f"{channel}_per_s", runs, "messages/s", of_rates)
                for channel, runs in rates.items()
            ),
        ],
    )


if __name__ == "__main__":
    main()
