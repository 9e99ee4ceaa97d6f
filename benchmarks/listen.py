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
_PATIENCE_S = 900.0
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
        _write_line(self.publisher, "go")

    def end(self) -> str:
        """Let it publish no more; return how many messages it has sent."""
        _write_line(self.publisher, "stop")
        assert self.publisher.stdout is not None
        return self.publisher.stdout.readline()


@contextmanager
def loaded(qos: int, count: int = 0, rate: int = 0) -> Iterator[Load]:
    """Run a broker, and a publisher of `count` messages, `rate` a second; 0 is without a limit."""
    program = find_mosquitto()
    if program is None:
        sys.exit("this benchmark needs mosquitto: apt-get install mosquitto")
    with tempfile.TemporaryDirectory(prefix="prevenant-listen-") as name:
        folder, port = Path(name), free_port()
        options = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        (folder / "conf").write_text(f"listener {port} 127.0.0.1\n{options}", "utf-8")
        broker = subprocess.Popen([program, "-c", str(folder / "conf")], stderr=subprocess.DEVNULL)
        publisher = _start_python("benchmarks.publisher", *map(str, (port, qos, count, rate)))
        try:
            _wait_for(publisher, "ready")
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


def run_memory(seconds: float, rate: int) -> dict[str, float]:
    """Let the engine run at full speed at QoS 1; return its memory's growth, and what was lost."""
    with loaded(1, rate=rate) as load:
        url = f"mqtt://127.0.0.1:{load.port}"
        engine = _start_python("benchmarks.listening_memory", url, str(load.folder), str(seconds))
        try:
            _wait_for(engine, "ready")
            load.begin()
            _wait_for(engine, "stop")
            _write_line(engine, load.end())
            said, _ = engine.communicate(timeout=_PATIENCE_S)
        finally:
            engine.kill()
            engine.wait()
        result: dict[str, float] = json.loads(said.splitlines()[-1])
        return result


def _let(load: Load, module: str, *arguments: str) -> Taken:
    """Run a contender that says `ready` when it listens and gives its figures at the end."""
    contender = _start_python(module, *arguments)
    try:
        _wait_for(contender, "ready")
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


def _wait_for(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    message = f"{process.args!r} ended before it was {word}"
    raise RuntimeError(message)


def _write_line(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line.strip()}\n")
    process.stdin.flush()


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
    parser.add_argument("--qos", type=int, nargs="*", choices=(1, 0), default=(1, 0))
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the run for memory; 0: none"
    )
    parser.add_argument(
        "--rate", type=int, default=0, help="readings a second of that run; 0: as taken at QoS 1"
    )
    options = parser.parse_args(arguments)
    figures: list[Figure] = []
    contenders = present()
    for qos in options.qos:
        count = round(_COUNTS[qos] * options.scale)
        rounds: list[dict[str, Taken]] = []
        for number in range(options.rounds):
            # Whoever goes first in one round goes last in the next.
            order = contenders if number % 2 == 0 else contenders[::-1]
            rounds.append({name: CONTENDERS[name](qos, _share(name, count)) for name in order})
            _say(qos, number, rounds[-1])
        figures += compare(rounds, qos, count) if rounds else []
    if options.minutes:
        rate = options.rate or full_speed(figures)
        figures += flat(run_memory(options.minutes * 60, rate), options.minutes)
    report("listen", figures)


def compare(rounds: Sequence[Mapping[str, Taken]], qos: int, count: int) -> list[Figure]:
    """Return the rates, and the ratios of prevenant to each of the others, round by round."""
    figures = []
    common = {
        "broker": broker_version(),
        "qos": qos,
        "payload_bytes": 150,
        "devices": 1000,
        "thresholds": 1000,
        "journal": "synchronous=FULL",
        "rounds": len(rounds),
    }
    for name in rounds[0]:
        conditions = {**common, "readings": _share(name, count)}
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


def broker_version() -> str:
    """Return the broker's name and version, as it says them itself."""
    program = find_mosquitto()
    assert program is not None
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].replace(" version", "")


def full_speed(figures: Sequence[Figure]) -> int:
    """Return how many readings a second the engine took at QoS 1; 0 where that was not measured."""
    return round(sum(one.value for one in figures if one.name == "qos1_prevenant"))


def flat(measured: Mapping[str, float], minutes: float) -> list[Figure]:
    """Return the figures of the long run."""
    conditions = {
        "broker": broker_version(),
        "qos": 1,
        "minutes": minutes,
        "store_blocked_s": 30,
        "readings": measured["sent"],
        "readings_per_s": round(measured["rate"]),
        "resident_mb": round(measured["rss_mb"]),
    }
    return [
        Figure("memory_growth_10min", measured["growth"], "ratio", conditions=conditions),
        Figure("memory_highest_10min", measured["highest"], "ratio", conditions=conditions),
        Figure("lost_10min", measured["lost"], "readings", conditions=conditions),
        Figure("repeated_10min", measured["repeated"], "readings", conditions=conditions),
    ]


def _share(name: str, count: int) -> int:
    """Return how many messages one is given: the slow ones would take minutes over them all."""
    return count // 5 if name in {"stock_paho", "node_red"} else count


def _say(qos: int, number: int, taken: Mapping[str, Taken]) -> None:
    shown = ", ".join(f"{n} {one.rate:,.0f}/s {one.cpu_us:.1f} us" for n, one in taken.items())
    sys.stderr.write(f"QoS {qos}, round {number + 1}: {shown}\n")


if __name__ == "__main__":
    main()
