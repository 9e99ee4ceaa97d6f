"""How fast readings are taken, beside others that take the same messages from the same broker.

One publisher process as fast as the broker reads, 150-byte JSON, 1,000 devices, loopback. Every
contender listens alone, on a broker of its own, in turns; each ratio is one of the same round.

    prevenant       the whole embedded engine: journal with `synchronous=FULL`, decoding, 1,000 thresholds
    mosquitto_sub   the C client, which writes payloads to /dev/null
    stock paho      paho's own client, with a callback that counts
    node-red        mqtt in, json, a switch on one threshold, mqtt out
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, median_of, report
from benchmarks.listening_node_red import PROGRAM
from simulators.broker import find_mosquitto, free_port

_COUNTS = {0: 1_000_000, 1: 500_000}
_PATIENCE_S = 300.0
_SUBSCRIBED_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Taken:
    """What one contender took: readings a second, processor microseconds a reading."""

    rate: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Load:
    """A broker, with a publisher that waits for the word."""

    port: int
    folder: Path
    publisher: "subprocess.Popen[str]"

    def begin(self) -> None:
        """Let it publish."""
        assert self.publisher.stdin is not None
        self.publisher.stdin.write("go\n")
        self.publisher.stdin.flush()


@contextmanager
def loaded(qos: int, count: int = 0) -> Iterator[Load]:
    """Run a broker, and a publisher of so many messages; 0 is for ever."""
    program = find_mosquitto()
    if program is None:
        sys.exit("this benchmark needs mosquitto: apt-get install mosquitto")
    with tempfile.TemporaryDirectory(prefix="prevenant-listen-") as name:
        folder, port = Path(name), free_port()
        options = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        (folder / "conf").write_text(f"listener {port} 127.0.0.1\n{options}", "utf-8")
        broker = subprocess.Popen([program, "-c", str(folder / "conf")], stderr=subprocess.DEVNULL)
        publisher = _start_python("benchmarks.publisher", str(port), str(qos), str(count))
        try:
            _wait_for_ready(publisher)
            yield Load(port, folder, publisher)
        finally:
            for process in (publisher, broker):
                process.kill()
                process.wait()


def run_prevenant(qos: int, count: int) -> Taken:
    """Let the engine take `count` readings."""
    with loaded(qos) as load:
        url = f"mqtt://127.0.0.1:{load.port}"
        return _let(load, "benchmarks.listening_engine", url, str(load.folder), str(count))


def run_paho(qos: int, count: int) -> Taken:
    """Let paho's own client take `count` messages."""
    with loaded(qos) as load:
        return _let(load, "benchmarks.listening_paho", str(load.port), str(qos), str(count))


def run_node_red(qos: int, count: int) -> Taken:
    """Let Node-RED take `count` messages, and no more: without an end it lets nothing out."""
    with loaded(qos, count) as load:
        folder = str(load.folder)
        return _let(
            load, "benchmarks.listening_node_red", str(load.port), str(qos), str(count), folder
        )


def run_mosquitto_sub(qos: int, count: int) -> Taken:
    """Let mosquitto_sub take `count` messages."""
    with loaded(qos) as load:
        options = ["-p", str(load.port), "-t", "bench/#", "-q", str(qos), "-C", str(count)]
        client = subprocess.Popen(["mosquitto_sub", *options], stdout=subprocess.DEVNULL)
        time.sleep(_SUBSCRIBED_WITHIN_S)
        load.begin()
        began = time.perf_counter()
        _, _, usage = os.wait4(client.pid, 0)
        seconds = time.perf_counter() - began
        client.returncode = 0
        return Taken(count / seconds, (usage.ru_utime + usage.ru_stime) / count * 1e6)


def _let(load: Load, module: str, *arguments: str) -> Taken:
    """Run a contender that says `ready` when it listens and gives its figures at the end."""
    contender = _start_python(module, *arguments)
    try:
        _wait_for_ready(contender)
        load.begin()
        said, _ = contender.communicate(timeout=_PATIENCE_S)
    finally:
        contender.kill()
        contender.wait()
    return Taken(**json.loads(said.splitlines()[-1]))


def _start_python(module: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _wait_for_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "ready":
            return
    message = f"{process.args!r} ended before it was ready"
    raise RuntimeError(message)


CONTENDERS: Mapping[str, Callable[[int, int], Taken]] = {
    "prevenant": run_prevenant,
    "mosquitto_sub": run_mosquitto_sub,
    "stock_paho": run_paho,
    "node_red": run_node_red,
}


def present() -> list[str]:
    """Return the contenders that are installed, and say how to get the others."""
    found = ["prevenant", "stock_paho"]
    if shutil.which("mosquitto_sub"):
        found.insert(1, "mosquitto_sub")
    else:
        sys.stderr.write("mosquitto_sub is not installed, so it is left out: make bench-peers\n")
    if PROGRAM.is_file():
        found.append("node_red")
    else:
        sys.stderr.write("node-red is not installed, so it is left out: make bench-peers\n")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual messages")
    options = parser.parse_args(arguments)
    figures: list[Figure] = []
    contenders = present()
    for qos in (1, 0):
        count = round(_COUNTS[qos] * options.scale)
        rounds: list[dict[str, Taken]] = []
        for number in range(options.rounds):
            # Whoever goes first in one round goes last in the next.
            order = contenders if number % 2 == 0 else contenders[::-1]
            rounds.append({name: CONTENDERS[name](qos, _share(name, count)) for name in order})
            _say(qos, number, rounds[-1])
        conditions = {"qos": qos, "readings": count, "payload_bytes": 150, "devices": 1000}
        figures += compare(rounds, qos, conditions)
    report("listen", figures)


def compare(
    rounds: Sequence[Mapping[str, Taken]], qos: int, conditions: Mapping[str, object]
) -> list[Figure]:
    """Return the rates, and the ratios of prevenant to each of the others, round by round."""
    figures = []
    for name in rounds[0]:
        rates = [one[name].rate for one in rounds]
        figures.append(median_of(f"qos{qos}_{name}", rates, "readings/s", conditions))
        cpu = [one[name].cpu_us for one in rounds]
        figures.append(median_of(f"cpu_qos{qos}_{name}", cpu, "us/reading", conditions))
        if name == "prevenant":
            continue
        ratios = [one["prevenant"].rate / one[name].rate for one in rounds]
        figures.append(median_of(f"qos{qos}_over_{name}", ratios, "ratio", conditions))
        if name == "mosquitto_sub":
            costs = [one["prevenant"].cpu_us / one[name].cpu_us for one in rounds]
            figures.append(median_of(f"cpu_over_{name}_qos{qos}", costs, "ratio", conditions))
    return figures


def _share(name: str, count: int) -> int:
    """Return how many messages one is given: the slow ones would take minutes over them all."""
    return count // 5 if name in {"stock_paho", "node_red"} else count


def _say(qos: int, number: int, taken: Mapping[str, Taken]) -> None:
    shown = ", ".join(f"{n} {one.rate:,.0f}/s {one.cpu_us:.1f} us" for n, one in taken.items())
    sys.stderr.write(f"QoS {qos}, round {number + 1}: {shown}\n")


if __name__ == "__main__":
    main()
