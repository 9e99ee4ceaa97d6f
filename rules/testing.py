"""Tests that rule authors write for their own rules: series of readings in, alarms out.

    tests:
      - name: a door held open for a minute
        every: 10s
        series:
          door t2/D14: {open: "false true x7 false"}
        expect: [70s raised door-held-open t2/D14, 80s cleared door-held-open t2/D14]

In a series, `true x7` is seven times the same, `4..10 x4` is 4 6 8 10, and `_` is no value at that time;
a time at which a device has no value at all is a time at which it says nothing.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from prevenant.clock import timezones
from prevenant.document import Mapping as Pairs
from prevenant.document import Value, read_document, suggest
from prevenant.domain import DeviceType, FieldType, Reading, Severity, Transition
from prevenant.durations import format_duration, parse_duration
from prevenant.errors import BookError, Problem
from rules.book import RuleBook
from rules.processor import Processor

START = 1_767_225_600.0
"""2026-01-01 in UTC: when every test begins, in seconds since 1970."""

_RAMP = re.compile(r"(?P<first>[^\s.]\S*?)(?:\.\.(?P<last>\S+))?")
_MOST_TIMES = 100_000
_KINDS = ("raised", "levelled", "cleared", "latched", "passed", "shelved", "released")


_SEVERITIES = [severity.word for severity in Severity]
_FORM = "write TIME KIND RULE DEVICE [SEVERITY], as in 70s raised door-held-open t2/D14"
_TEST_KEYS = {"name", "begins", "every", "series", "expect", "until", "sites"}


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """How one test ended; `differences` has a line for what is missing and for what is too much."""

    name: str
    place: str
    """`file:line:column`."""
    differences: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Happening:
    """What an alarm did, and when, in seconds since the beginning; an empty severity is any."""

    at: float
    what: str
    severity: str = ""

    def __str__(self) -> str:
        return f"{format_duration(self.at)}: {self.what} {self.severity}".rstrip()

    def is_like(self, expected: "Happening") -> bool:
        """Whether this is what was expected."""
        same = (self.at, self.what) == (expected.at, expected.what)
        return same and expected.severity in {"", self.severity}


@dataclass(frozen=True, slots=True)
class Run:
    """What the rules made of a test's readings. Times are seconds since 1970."""

    test: Pairs
    began_at: float
    ended_at: float
    transitions: Sequence[Transition]


def run_rule_tests(
    path: Path,
    load_rules: Callable[[Path, Pairs], RuleBook],
    pattern: str = "",
    more_keys: Collection[str] = (),
    follow: Callable[[Run], Iterable[str]] = lambda _run: (),
) -> list[RuleTestResult]:
    """Run the tests of a file whose names hold `pattern`.

    `load_rules` is given the file and its own pairs. `follow` judges what comes of the alarms, by the
    keys `more_keys` of a test, and returns what differs.

    Raises BookError with everything that is wrong in the file itself.
    """
    problems: list[Problem] = []
    document = read_document(path, problems)
    pairs = document.mapping({"book", "crm", "tests"}) if document else None
    if pairs is None:
        raise BookError(problems)
    rules = load_rules(path, pairs)
    tests = pairs.need("tests", "write a list of tests, each with name, series and expect")
    results = []
    for number, value in enumerate((tests.items() if tests else None) or (), 1):
        test = value.named(f"test {number}").mapping({*_TEST_KEYS, *more_keys})
        if test is None:
            continue
        name = test.text("name", f"test {number}")
        if pattern.lower() not in name.lower():
            continue
        expected = list(_read_expected(test.get("expect"), rules))
        run = _run(test, rules)
        is_about_alarms = "expect" in test or not any(key in test for key in more_keys)
        differences = list(_compare(expected, _happenings(run))) if is_about_alarms else []
        if not problems:
            differences += follow(run)
        results.append(RuleTestResult(name, f"{path}:{value.line}:{value.column}", differences))
    if problems:
        raise BookError(problems)
    return results


def read_begin(test: Pairs) -> float:
    """Return when a test begins, in seconds since 1970."""
    value = test.get("begins")
    text = value.text() if value else None
    if value is None or text is None:
        return START
    try:
        begin = datetime.fromisoformat(text)
    except ValueError:
        value.fail(f"{text!r} is no time: write one such as 2026-05-04T10:00+02:00")
        return START
    return (begin if begin.tzinfo else begin.replace(tzinfo=UTC)).timestamp()


def _happenings(run: Run) -> list[Happening]:
    return [
        Happening(
            round(one.at - run.began_at, 3),
            f"{one.kind} {one.rule} {one.device_id}",
            Severity(one.severity).word,
        )
        for one in run.transitions
    ]


def _run(test: Pairs, rules: RuleBook) -> Run:
    start = read_begin(test)
    every = test.duration_s("every", 60.0)
    series = test.need("series", "write the readings, as in {door t2/D14: {open: 'true x7'}}")
    readings: list[Reading] = []
    for name, value in (series.mapping() if series else None) or ():
        readings += _read_series(name, value, rules.devices, start, every)
    readings.sort(key=lambda reading: reading.received_at)
    last = readings[-1].received_at if readings else start
    end = max(last, start + test.duration_s("until", 0.0))
    zones = _read_zones(test.get("sites"))
    processor = Processor(rules, lambda site: zones.get(site, "UTC"))
    transitions = processor.process(readings, last) + processor.advance(end)
    return Run(test, start, end, transitions)


def _compare(expected: list[Happening], happened: list[Happening]) -> Iterator[str]:
    left = list(happened)
    for one in expected:
        match = next((other for other in left if other.is_like(one)), None)
        if match is None:
            yield f"expected at {one}"
        else:
            left.remove(match)
    for one in left:
        yield f"happened at {one}"


def _read_zones(value: Value | None) -> dict[str, str]:
    zones = {}
    for site, zone_value in (value.mapping() if value else None) or ():
        zone = zone_value.raw()
        if zone is not None and zone not in timezones():
            zone_value.fail(f"there is no time zone {zone!r}: write a name such as Europe/Paris")
        elif zone is not None:
            zones[site] = zone
    return zones


def _read_expected(value: Value | None, rules: RuleBook) -> Iterator[Happening]:
    for one in (value.items() if value else None) or ():
        text = one.raw() or ""
        parts = text.split()
        severity = parts.pop() if len(parts) == 5 else ""  # noqa: PLR2004  one beyond the form
        names = [rule.name for rule in rules.every_rule]
        if len(parts) != 4 or parts[1] not in _KINDS:  # noqa: PLR2004  the four of the form
            one.fail(_FORM)
        elif parts[2] not in names:
            one.fail(f"there is no rule {parts[2]!r}: {suggest(parts[2], names)}")
        elif severity and severity not in _SEVERITIES:
            one.fail(f"{severity!r} is no severity: {suggest(severity, _SEVERITIES)}")
        else:
            try:
                yield Happening(parse_duration(parts[0]), " ".join(parts[1:]), severity)
            except ValueError as error:
                one.fail(str(error))


def _read_series(
    name: str, value: Value, types: Mapping[str, DeviceType], start: float, every: float
) -> Iterator[Reading]:
    type_name, _, device_id = name.partition(" ")
    device_type = types.get(type_name)
    if device_type is None or not device_id:
        value.fail(f"write TYPE DEVICE, as in door t2/D14: {suggest(type_name, types)}")
        return
    columns: dict[str, list[Any]] = {}
    known = [one.name for one in (*device_type.fields, *device_type.predicted)]
    for field_name, text in value.mapping(known) or ():
        field_type = device_type.known_field(field_name)
        if field_type is not None:
            columns[field_type.attribute] = _read_values(text, field_type)
    length = max((len(column) for column in columns.values()), default=0)
    for step in range(length):
        at = start + step * every
        row = {n: column[step] for n, column in columns.items() if step < len(column)}
        if any(value is not None for value in row.values()):
            site = device_id.rpartition("/")[0]
            values = device_type.values_type(**row)
            yield Reading(type_name, site, device_id, at, at, values)


def _read_values(text: Value, field_type: FieldType) -> list[Any]:
    values: list[Any] = []
    words = (text.raw() or "").split()
    for position, word in enumerate(words):
        if re.fullmatch(r"x\d+", word):
            continue
        following = words[position + 1] if position + 1 < len(words) else ""
        match = _RAMP.fullmatch(word)
        try:
            count = _times(following)
            if word == "_":
                values += [None] * count
            elif match and match["last"] and field_type.kind is float:
                first, last = _number(match["first"]), _number(match["last"])
                step = (last - first) / max(1, count - 1)
                values += [first + step * number for number in range(count)]
            else:
                values += [_value(word, field_type)] * count
        except ValueError:
            text.fail(f"{word!r} is no value of {field_type.name}")
        except OverflowError:
            text.fail(f"{following[:20]!r}: a value comes {_MOST_TIMES} times at most")
    return values


def _times(word: str) -> int:
    """Return how often the value before `word` comes. Raises OverflowError where that is too often."""
    if not re.fullmatch(r"x\d+", word):
        return 1
    if len(word) > len(str(_MOST_TIMES)) or int(word[1:]) > _MOST_TIMES:
        raise OverflowError(word)
    return int(word[1:])


def _number(word: str) -> float:
    """Return a number as devices can send it. Raises ValueError."""
    number = float(word)
    if not isfinite(number):
        raise ValueError(word)
    return number


def _value(word: str, field_type: FieldType) -> Any:
    if field_type.kind is bool:
        if word not in {"true", "false"}:
            raise ValueError(word)
        return word == "true"
    if field_type.kind is float:
        return _number(word)
    if field_type.enum and word not in {meaning for _, meaning in field_type.enum}:
        raise ValueError(word)
    return word
