"""What deciding costs: by the number of rules, beside decoding, beside interpreters, by the device.

Rules are thresholds spread over four fields. Two streams of 1,000 devices, a reading a second each:

    quiet    a slow walk that crosses some thresholds
    busy     every reading crosses one threshold, and raises or clears its alarm
    hostile  every reading is anywhere in the range: it crosses a third of all thresholds

There is no memo of conditions that could grow: what is kept beside the devices is, for each breakpoint,
the rules that change there. How many entries that makes is printed, and the share of the readings that
cross none.

Times are of the process's own processor time, on one core, and the interpreter looks for cycles as
seldom as in an engine; each ratio is one of the same round. The
time of a reading is that of decoding it and deciding on it; what deciding takes alone stands beside it.
"""

import argparse
import gc
import importlib
import importlib.util
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psutil

from benchmarks.figures import Figure, median_of, report
from ingest.decode import Decoder
from ingest.mqtt import Frame
from prevenant.book import load_book
from prevenant.domain import Reading
from prevenant.garbage import collect_seldom
from rules.lane import Lane
from rules.processor import Processor, in_utc
from rules.rule import RuleBook
from rules.signature import Signature

FIELDS = ("temperature", "humidity", "pressure", "current")
_DEVICES = 1_000
_ROUNDS = 5
_BATCH = 500
_START = 1_800_000_000.0
_MILLION = 1_000_000
_WELL = 50.0
_ALL_RIGHT, _ILL = 55.0, 50.0
"""With 20 rules: no threshold is near, and one of each field is."""
_STEP = 0.00125
"""Of the quiet walk: with 1,000 rules, one reading in a hundred crosses a threshold."""


def make_book(count: int, holds: str = "") -> RuleBook:
    """Return a book of `count` thresholds, evenly spread over the four fields' range of 0 to 100.

    They raise at once, or when they have held for as long as `holds` says.
    """
    lines = [
        "devices:",
        "  unit:",
        "    topic: bench/{site}/{device}",
        f"    fields: {{{', '.join(f'{name}: number' for name in FIELDS)}}}",
        "rules:",
    ]
    after = f", for: {holds}" if holds else ""
    lines += [
        f"  r{number}: {{on: unit, when: {condition(number, count)}{after}}}"
        for number in range(count)
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return load_book(path).rules


def threshold(number: int, count: int) -> float:
    """Return the bound of a rule: those of one field are evenly spread over 0 to 100."""
    of_field = -(-count // len(FIELDS))
    return 100.0 * (number // len(FIELDS) + 0.5) / of_field


def condition(number: int, count: int) -> str:
    """Return a rule's condition: too much, or too little, for a device that is well at 50."""
    bound = threshold(number, count)
    return f"{FIELDS[number % len(FIELDS)]} {'>' if bound > _WELL else '<'} {bound:.6f}"


def quiet(readings: int, seed: int) -> Iterator[tuple[int, float, list[float]]]:
    """Yield device, time and values of slow walks."""
    noise = random.Random(seed)
    walks = [[noise.gauss(_WELL, 0.3) for _ in FIELDS] for _ in range(_DEVICES)]
    for number in range(readings):
        device = number % _DEVICES
        walk = walks[device] = [value + noise.gauss(0, _STEP) for value in walks[device]]
        yield device, _START + number // _DEVICES, walk


def busy(readings: int, count: int) -> Iterator[tuple[int, float, list[float]]]:
    """Yield device, time and values that pass one threshold of `count` with every reading."""
    for number in range(readings):
        device, turn = number % _DEVICES, number // _DEVICES
        near = count // 2 // len(FIELDS) * len(FIELDS)
        rule = min(count - 1, near + device % len(FIELDS))
        values = [_WELL] * len(FIELDS)
        half = 50.0 / -(-count // len(FIELDS))
        side = half / 2 if turn % 2 else -half / 2
        values[rule % len(FIELDS)] = threshold(rule, count) + side
        yield device, _START + turn, values


def hostile(readings: int, seed: int) -> Iterator[tuple[int, float, list[float]]]:
    """Yield device, time and values that have nothing to do with those before."""
    noise = random.Random(seed)
    for number in range(readings):
        values = [noise.uniform(0, 100) for _ in FIELDS]
        yield number % _DEVICES, _START + number // _DEVICES, values


def as_batches(stream: Iterator[tuple[int, float, list[float]]]) -> list[tuple[float, list[Frame]]]:
    """Return a stream as batches of messages, each with its time of arrival."""
    timed = [
        (
            at,
            (
                f"bench/s{device % 50}/d{device}".encode(),
                msgspec.json.encode(
                    {
                        **dict(zip(FIELDS, values, strict=True)),
                        "observed_at": at,
                        "firmware": "4.2.1",
                    }
                ),
                0,
            ),
        )
        for device, at, values in stream
    ]
    batches = [timed[n : n + _BATCH] for n in range(0, len(timed), _BATCH)]
    return [(batch[-1][0], [frame for _, frame in batch]) for batch in batches]


def time_decoding(book: RuleBook, batches: Sequence[tuple[float, list[Frame]]]) -> float:
    """Return the microseconds of decoding alone, a reading."""
    decoder = Decoder(book.devices.values())
    decoder.decode_batch(batches[0][1], batches[0][0])
    began = time.process_time()
    for at, frames in batches:
        decoder.decode_batch(frames, at)
    return _microseconds(began, batches)


def time_deciding(book: RuleBook, batches: Sequence[tuple[float, list[Frame]]]) -> float:
    """Return the microseconds of deciding alone, a reading, once every device is known."""
    decoder, processor = Decoder(book.devices.values()), Processor(book)
    decoded = [(at, decoder.decode_batch(frames, at).readings) for at, frames in batches]
    known = 2 * _DEVICES // _BATCH
    for at, readings in decoded[:known]:
        processor.process(readings, at)
    began = time.process_time()
    for at, readings in decoded[known:]:
        processor.process(readings, at)
    return _microseconds(began, batches[known:])


def time_replay(book: RuleBook, batches: Sequence[tuple[float, list[Frame]]]) -> float:
    """Return the readings a second of decoding and deciding."""
    decoder, processor = Decoder(book.devices.values()), Processor(book)
    began = time.process_time()
    for at, frames in batches:
        processor.process(decoder.decode_batch(frames, at).readings, at)
    return 1e6 / _microseconds(began, batches)


def share_at_rest(book: RuleBook, batches: Sequence[tuple[float, list[Frame]]]) -> float:
    """Return the share of readings that lie between the same breakpoints as their device's last one."""
    decoder, plan = Decoder(book.devices.values()), Lane(book, "unit", in_utc).plan
    last: dict[str, Signature] = {}
    resting = 0
    for at, frames in batches:
        for reading in decoder.decode_batch(frames, at).readings:
            signature = plan.signature(reading)
            resting += last.get(reading.device_id) == signature
            last[reading.device_id] = signature
    return resting / (sum(len(frames) for _, frames in batches) - len(last))


def count_state(
    books: Mapping[int, RuleBook], streams: Mapping[str, Sequence[tuple[float, list[Frame]]]]
) -> list[Figure]:
    """Return what bounds the state, in place of a memo's size and hit rate, under every stream."""
    figures = [
        Figure(
            f"entries_at_breakpoints_{count}_rules",
            Lane(book, "unit", in_utc).plan.entries,
            "entries",
        )
        for count, book in books.items()
    ]
    for name, batches in streams.items():
        share = share_at_rest(books[1_000], batches)
        figures.append(Figure(f"share_at_rest_{name}", share, "ratio", (), {"rules": 1_000}))
    return figures


def _microseconds(began: float, batches: Sequence[tuple[float, list[Frame]]]) -> float:
    count = sum(len(frames) for _, frames in batches)
    return (time.process_time() - began) / count * 1e6


def interpreters(count: int) -> dict[str, Callable[[dict[str, float]], int]]:
    """Return those installed: each evaluates all rules on one reading, and counts those that hold."""
    texts = [condition(number, count) for number in range(count)]
    found: dict[str, Callable[[dict[str, float]], int]] = {}
    if importlib.util.find_spec("simpleeval"):
        simple = importlib.import_module("simpleeval").SimpleEval()
        trees = [(text, simple.parse(text)) for text in texts]

        def run_simpleeval(names: dict[str, float]) -> int:
            simple.names = names
            return sum(simple.eval(text, previously_parsed=tree) for text, tree in trees)

        found["simpleeval"] = run_simpleeval
    if importlib.util.find_spec("rule_engine"):
        make_rule = importlib.import_module("rule_engine").Rule
        rules = [make_rule(text) for text in texts]
        found["rule_engine"] = lambda names: sum(rule.matches(names) for rule in rules)
    if importlib.util.find_spec("cel"):
        compile_program = importlib.import_module("cel").compile
        programs = [compile_program(text) for text in texts]
        found["common_expression_language"] = lambda names: sum(
            program.execute(names) for program in programs
        )
    return found


def compare_interpreters(rounds: int) -> list[Figure]:
    """Return how many times faster the processor is than each interpreter, with 100 rules."""
    count = 100
    book = make_book(count)
    batches = as_batches(quiet(100_000, 3))
    names = [dict(zip(FIELDS, values, strict=True)) for _, _, values in quiet(2_000, 3)]
    contenders = interpreters(count)
    for name in ("simpleeval", "rule_engine", "common_expression_language"):
        if name not in contenders:
            print(f"{name} is not installed, so it is left out: make bench-peers")  # noqa: T201
    ratios: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        own = time_deciding(book, batches)
        for name, evaluate in contenders.items():
            began = time.process_time()
            for one in names:
                evaluate(one)
            ratios[name].append((time.process_time() - began) / len(names) * 1e6 / own)
    conditions = {"rules": count, "stream": "quiet", "from": "decoded readings"}
    figures = [median_of(f"faster_than_{n}", r, "ratio", conditions) for n, r in ratios.items()]
    if ratios:
        best = [min(one) for one in zip(*ratios.values(), strict=True)]
        figures.append(median_of("faster_than_best_interpreter", best, "ratio", conditions))
    return figures


def compare_counts(rounds: int, readings: int) -> list[Figure]:
    """Return what 1,000 and 10,000 rules cost beside one, and deciding beside decoding."""
    books = {count: make_book(count) for count in (1, 100, 1_000, 10_000)}
    calm = as_batches(quiet(readings, 7))
    lively = {count: as_batches(busy(readings // 4, count)) for count in (1, 1_000, 10_000)}
    wild = as_batches(hostile(3 * _DEVICES, 7))
    runs: dict[str, list[float]] = {}

    def note(name: str, value: float) -> float:
        runs.setdefault(name, []).append(value)
        return value

    for _ in range(rounds):
        decoding = note("decode_us", time_decoding(books[1_000], calm))
        one = note("decide_us_1", time_deciding(books[1], calm))
        thousand = note("decide_us_1000", time_deciding(books[1_000], calm))
        myriad = note("decide_us_10000", time_deciding(books[10_000], calm))
        note("time_1000_rules_over_1", (decoding + thousand) / (decoding + one))
        note("time_10000_rules_over_1", (decoding + myriad) / (decoding + one))
        note("decide_1000_rules_over_1", thousand / one)
        note("decide_10000_rules_over_1", myriad / one)
        note("evaluate_over_decode", thousand / decoding)
        one = note("decide_us_1_busy", time_deciding(books[1], lively[1]))
        thousand = note("decide_us_1000_busy", time_deciding(books[1_000], lively[1_000]))
        myriad = note("decide_us_10000_busy", time_deciding(books[10_000], lively[10_000]))
        note("time_1000_rules_over_1_busy", (decoding + thousand) / (decoding + one))
        note("time_10000_rules_over_1_busy", (decoding + myriad) / (decoding + one))
        note("decide_us_1000_hostile", time_deciding(books[1_000], wild))
        replay = note("replay_readings_per_s", time_replay(books[100], calm))
        note("replay_over_decode", 1e6 / replay / decoding)
    conditions = {"readings": readings, "devices": _DEVICES, "batch": _BATCH, "fields": len(FIELDS)}
    figures = [median_of(name, values, _unit(name), conditions) for name, values in runs.items()]
    return figures + count_state(books, {"quiet": calm, "busy": lively[1_000], "hostile": wild})


def _unit(name: str) -> str:
    if "_us" in name:
        return "us/reading"
    return "readings/s" if name.endswith("_per_s") else "ratio"


def measure_million(devices: int) -> list[Figure]:
    """Return the memory of a device under 20 rules, and how long saving and restoring takes.

    One device in a hundred is in alarm, by two rules on average.
    """
    collect_seldom()
    book = make_book(20)
    values_type = book.devices["unit"].values_type
    processor = Processor(book)
    noise = random.Random(1)
    gc.collect()
    before = psutil.Process().memory_info().rss
    for first in range(0, devices, 10_000):
        readings = [
            Reading(
                "unit",
                f"s{number // 100}",
                f"s{number // 100}/d{number}",
                _START,
                _START,
                values_type(
                    *(noise.gauss(_ILL if number % 100 == 0 else _ALL_RIGHT, 1) for _ in FIELDS)
                ),
            )
            for number in range(first, min(first + 10_000, devices))
        ]
        processor.process(readings, _START)
    del readings
    gc.collect()
    used = psutil.Process().memory_info().rss - before
    began = time.process_time()
    snapshot = processor.snapshot()
    saved = time.process_time() - began
    began = time.process_time()
    restored = Processor(book)
    changes = restored.restore(snapshot, _START)
    took = time.process_time() - began
    if changes or len(restored.readings()) != devices:
        message = "a restored processor is another"
        raise AssertionError(message)
    conditions: dict[str, Any] = {"devices": devices, "rules": 20, "in_alarm": "1 %"}
    return [
        Figure("bytes_per_device", used / devices, "bytes", conditions=conditions),
        Figure("snapshot_bytes_per_device", len(snapshot) / devices, "bytes", (), conditions),
        Figure("snapshot_s_million_devices", saved * _MILLION / devices, "s", (), conditions),
        Figure("restore_s_million_devices", took * _MILLION / devices, "s", (), conditions),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--readings", type=int, default=400_000, help="of the quiet stream")
    parser.add_argument("--devices", type=int, default=_MILLION, help="for memory")
    wanted = parser.parse_args(arguments)
    collect_seldom()
    # In a process of its own: what a million devices leave behind scatters whatever comes after them.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        figures = alone.submit(measure_million, wanted.devices).result()
    figures += compare_counts(wanted.rounds, wanted.readings)
    figures += compare_interpreters(wanted.rounds)
    report("decide", figures)


if __name__ == "__main__":
    main()
