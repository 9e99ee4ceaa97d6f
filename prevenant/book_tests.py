"""Tests of a whole rule book: beside the alarms, the steps of cases and the messages that follow.

    crm: crm
    tests:
      - name: a warm terminal brings a technician
        begins: 2026-05-04T10:00+02:00
        every: 1m
        series:
          thermometer t2/T3: {temperature: "22 27 x10 24 x6"}
        answers:
          - 8m Omar Diallo: 1
        steps:
          - 6m offer.sent Omar Diallo
        messages:
          - {at: 6m, to: Omar Diallo, by: sms, says: "27.0 °C"}

Everything runs as in earnest, on a store that is gone afterwards; nothing is sent.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from sqlmodel import Session

from notify.message import CHANNELS, COMMAND, WEBHOOK
from prevenant import crm
from prevenant.book import Book, load_book
from prevenant.crm.importing import import_folder
from prevenant.document import Mapping as Pairs
from prevenant.document import Value, suggest
from prevenant.durations import format_duration, parse_duration
from prevenant.rehearsal import Nobody, Rehearsal, RehearsedMessage, Step, rehearse
from prevenant.stream.reasons import blank_reasons
from rules.rule import RuleBook
from rules.testing import RuleTestResult, Run, run_rule_tests

_KEYS = ("answers", "steps", "messages")
_MESSAGE_KEYS = {"at", "to", "by", "template", "says"}
_ANSWER = re.compile(r"(?P<at>\S+)\s+(?P<name>\S.*)")
_DEMO = Path(crm.__file__).parent / "demo"
"""The people of the demo."""
_CLOSE_S = 0.5


def run_book_tests(
    path: Path,
    book: Path | Book | None = None,
    pattern: str = "",
    people: Path | None = None,
) -> list[RuleTestResult]:
    """Run the tests of a file whose names hold `pattern`, against its book or another.

    Folders of people are looked for below `people`, or else beside the file. Raises BookError with
    everything that is wrong in the file itself, or in the book.
    """
    tests = _BookTests(book, people)
    return run_rule_tests(path, tests.load, pattern, _KEYS, tests.follow)


class _BookTests:
    """The book and the people of one file of tests."""

    def __init__(self, book: Path | Book | None, beside: Path | None) -> None:
        self._named, self._beside = book, beside
        self._book: Book | None = None
        self._people: Callable[[Session], None] = lambda _session: None

    def load(self, path: Path, pairs: Pairs) -> RuleBook:
        """Read the book, and where the people are."""
        named = pairs.text("book", "rules.yaml")
        if isinstance(self._named, Book):
            self._book = self._named
        else:
            self._book = load_book(self._named or path.parent / named)
        folder = pairs.get("crm")
        if folder is not None:
            place = (self._beside or path.parent) / (folder.text() or "")
            if folder.text() == "demo" and not place.is_dir():
                place = _DEMO
            if place.is_dir():
                self._people = lambda session: _import(session, place)
            else:
                folder.fail(
                    f"there is no folder {place}: name one with customers.csv, sites.csv, …"
                )
        return self._book.rules

    def follow(self, run: Run) -> Iterator[str]:
        """Let cases follow from a test's alarms; yield what differs from what it expects of them."""
        if self._book is None or not any(key in run.test for key in _KEYS):
            return
        with rehearse(self._book, self._people, Nobody()) as rehearsal:
            _plan_answers(run, rehearsal)
            steps = list(_read_steps(run.test.get("steps")))
            messages = list(_read_messages(run.test.get("messages"), rehearsal))
            # What a model says stands in the test's series; why it says so is known of real ones alone.
            transitions = blank_reasons(run.transitions, self._book.rules)
            rehearsal.run(transitions, run.ended_at)
            if "steps" in run.test:
                yield from _compare_steps(steps, rehearsal.steps(), run.began_at)
            if "messages" in run.test:
                yield from _compare_messages(messages, rehearsal.messages(), run.began_at)


def _import(session: Session, folder: Path) -> None:
    import_folder(session, folder)


def _plan_answers(run: Run, rehearsal: Rehearsal) -> None:
    names = rehearsal.names()
    value = run.test.get("answers")
    for one in (value.items() if value else None) or ():
        for key, text in one.mapping() or ():
            match = _ANSWER.fullmatch(key)
            at = _duration(text, match["at"]) if match else None
            if match is None:
                text.fail("write TIME NAME: TEXT, as in 8m Omar Diallo: 1")
            elif match["name"] not in names:
                text.fail(f"the CRM has no {match['name']!r}: {suggest(match['name'], names)}")
            elif at is not None and (said := text.raw()) is not None:
                rehearsal.say(run.began_at + at, match["name"], said)


def _duration(value: Value, text: str) -> float | None:
    try:
        return parse_duration(text)
    except ValueError as error:
        value.fail(str(error))
        return None


def _read_steps(value: Value | None) -> Iterator[tuple[float, str, str]]:
    """Yield time since the beginning, kind, and words of each expected step."""
    for one in (value.items() if value else None) or ():
        time, _, rest = (one.raw() or "").partition(" ")
        kind, _, words = rest.strip().partition(" ")
        if not kind:
            one.fail("write TIME KIND [WORDS], as in 6m offer.sent Omar Diallo")
        elif (at := _duration(one, time)) is not None:
            yield at, kind, words.strip()


class _Expected:
    """A message that a test expects; what is None may be anything."""

    def __init__(self, pairs: Pairs, names: Sequence[str]) -> None:
        self._at = None if "at" not in pairs else pairs.duration_s("at", 0.0)
        self._to = _choice(pairs.get("to"), names)
        self._by = _choice(pairs.get("by"), (*CHANNELS, WEBHOOK, COMMAND))
        self._template = pairs.text("template", None)
        says = pairs.get("says")
        self._says = [one.raw() or "" for one in says.one_or_more()] if says else []

    def __str__(self) -> str:
        at = "" if self._at is None else f"{format_duration(self._at)}: "
        says = " and ".join(f"“{one}”" for one in self._says)
        return (
            f"{at}{self._by or 'a message'} to {self._to or 'anybody'}"
            f"{f' ({self._template})' if self._template else ''}{f' that says {says}' if says else ''}"
        )

    def is_like(self, message: RehearsedMessage, began_at: float) -> bool:
        """Return whether a message is this one."""
        text = " ".join(message.text.split())
        return (
            (self._at is None or abs(message.at - began_at - self._at) < _CLOSE_S)
            and self._to in {None, message.name}
            and self._by in {None, message.channel}
            and self._template in {None, message.template}
            and all(" ".join(one.split()) in text for one in self._says)
        )


def _choice(value: Value | None, known: Sequence[str]) -> str | None:
    text = value.text() if value else None
    if value is not None and text is not None and text not in known:
        value.fail(f"there is no {text!r}: {suggest(text, known)}")
    return text


def _read_messages(value: Value | None, rehearsal: Rehearsal) -> Iterator[_Expected]:
    names = rehearsal.names()
    for one in (value.items() if value else None) or ():
        pairs = one.mapping(_MESSAGE_KEYS)
        if pairs is not None:
            yield _Expected(pairs, names)


def _compare_steps(
    expected: Iterable[tuple[float, str, str]], steps: Sequence[Step], began_at: float
) -> Iterator[str]:
    """Yield the expected steps that did not come about, in their order; others may stand between."""
    left = list(steps)
    is_whole = True
    for at, kind, words in expected:
        for number, one in enumerate(left):
            is_then = abs(one.at - began_at - at) < _CLOSE_S
            if is_then and one.kind == kind and words in one.summary:
                del left[: number + 1]
                break
        else:
            is_whole = False
            yield f"expected step at {format_duration(at)}: {kind} {words}".rstrip()
    if not is_whole:
        for one in steps:
            shown = format_duration(round(one.at - began_at, 3))
            yield f"there was a step at {shown}: {one.kind} {one.summary}"


def _compare_messages(
    expected: Sequence[_Expected], messages: Sequence[RehearsedMessage], began_at: float
) -> Iterator[str]:
    left = list(messages)
    for one in expected:
        match = next((other for other in left if one.is_like(other, began_at)), None)
        if match is None:
            yield f"expected message at {one}" if str(one)[0].isdigit() else f"expected {one}"
        else:
            left.remove(match)
    for other in left:
        at = format_duration(round(other.at - began_at, 3))
        text = " ".join(other.text.split())
        yield f"there was at {at}: {other.channel} to {other.name} ({other.template}): {text}"


def write_junit(path: Path, results: Sequence[tuple[Path, RuleTestResult]]) -> None:
    """Write results as JUnit's XML, a suite for each file."""
    root = ET.Element("testsuites")
    suites: dict[Path, ET.Element] = {}
    for file, result in results:
        suite = suites.get(file)
        if suite is None:
            suite = suites[file] = ET.SubElement(root, "testsuite", name=str(file))
        case = ET.SubElement(suite, "testcase", name=result.name, classname=str(file))
        if not result.passed:
            failure = ET.SubElement(case, "failure", message=result.differences[0])
            failure.text = "\n".join([result.place, *result.differences])
    for suite in suites.values():
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
