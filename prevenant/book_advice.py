"""What is allowed in a rule book and hardly meant: doubtful rules, no second channel, long SMS."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingest.topics import TopicPattern
from notify.segments import count_segments
from notify.templating import LANGUAGES
from prevenant.book import Book
from prevenant.document import Value
from prevenant.domain import Severity
from prevenant.errors import Problem
from rules.advice import advise_on_rules
from workflows.checking import TemplateUse, TextUse
from workflows.on_call import Gap, Schedule, find_gaps

_MOST_SEGMENTS = 3
_A_YEAR = timedelta(days=366)


def advise(book: Book, today: date) -> list[Problem]:
    """Return warnings, in the order of the file; `today` is for changes of the clock to come."""
    found = advise_on_rules(book.rules, today)
    serious = _serious_workflows(book)
    for use in book.uses:
        match use:
            case TemplateUse():
                advice = [*_advise_on_channels(use, serious), *_advise_on_length(use, book)]
            case TextUse(is_topic=True):
                advice = [*_advise_on_topic(use, book)]
            case _:
                continue
        found += [problem_at(use.place, words) for words in advice]
    for schedule in book.schedules.values():
        found += _advise_on_gaps(schedule, today)
    return in_order(found)


def problem_at(place: Value, words: str) -> Problem:
    """Return a warning about a value of the book."""
    return Problem(place.source, place.line, place.column, f"{place.what}: {words}")


def in_order(found: list[Problem]) -> list[Problem]:
    """Return warnings in the order of the file, each once."""
    return sorted(set(found), key=lambda one: (one.source, one.line, one.column, one.message))


def _advise_on_gaps(schedule: Schedule, today: date) -> Iterator[Problem]:
    zone, place = ZoneInfo(schedule.timezone), schedule.place
    start = datetime.combine(today, time(0), zone).astimezone(UTC)
    gaps = find_gaps(schedule, start, start + _A_YEAR)
    if gaps and place is not None:
        often = f"{len(gaps)} times in the coming year" if len(gaps) > 1 else "once"
        message = (
            f"on_call {schedule.name!r}: nobody is on call {often}, first "
            f"{_shown_gap(gaps[0], zone)}: add a layer that covers it, last in the list"
        )
        yield Problem(place.source, place.line, place.column, message)


def _shown_gap(gap: Gap, zone: ZoneInfo) -> str:
    starts, ends = gap.starts_at.astimezone(zone), gap.ends_at.astimezone(zone)
    return f"from {starts:%a %Y-%m-%d %H:%M} to {ends:%a %Y-%m-%d %H:%M}"


def _serious_workflows(book: Book) -> set[str]:
    """Return the workflows of alarms that must reach somebody."""
    return {
        rule.workflow
        for rule in book.rules.every_rule
        if rule.workflow is not None
        and max([rule.severity, *(severity for severity, _ in rule.levels)]) >= Severity.CRITICAL
    }


def _advise_on_channels(use: TemplateUse, serious: set[str]) -> Iterator[str]:
    channels = {channel for turn in use.turns for channel in turn}
    if use.workflow in serious and len(channels) == 1 and "preferred" not in channels:
        (channel,) = channels
        yield (
            f"{channel} is its only channel, and the alarm is critical: "
            f"name another for where it fails, as in [{channel}, {_other(channel)}]"
        )


def _other(channel: str) -> str:
    return "voice" if channel == "sms" else "sms"


def _advise_on_length(use: TemplateUse, book: Book) -> Iterator[str]:
    if not any(channel in {"sms", "preferred"} for turn in use.turns for channel in turn):
        return
    variables = next(book.needs.samples(use)) if book.needs else {}
    for language in LANGUAGES:
        text = book.templates.render(use.name, language, "sms", variables)
        segments = count_segments(str(text))
        if segments > _MOST_SEGMENTS:
            yield (
                f"template {use.name!r} takes {segments} segments as an SMS in {language!r}, each "
                f"billed: shorten it to {_MOST_SEGMENTS}, or leave out characters beyond GSM's"
            )


def _advise_on_topic(use: TextUse, book: Book) -> Iterator[str]:
    """Warn of a command that no device is known to hear, and of one that we would hear ourselves."""
    variables = next(book.needs.samples(use)) if book.needs else {}
    topic = book.templates.render_text(use.text, "en", variables)
    begins = {one.topic.split("/")[0] for one in book.rules.devices.values()}
    for device_type in book.rules.devices.values():
        if TopicPattern(device_type.topic).match(topic.encode()) is not None:
            yield (
                f"this is a topic of {device_type.name!r}: the command would be read as what the "
                "device says; publish where the device listens"
            )
    if topic.split("/")[0] not in begins and not any(one[:1] in {"+", "{"} for one in begins):
        shown = ", ".join(f"{one}/" for one in sorted(begins))
        yield f"no device type has topics that begin so: does a device listen there, or at {shown}?"
