"""What is allowed in a rule book and hardly meant: doubtful rules, no second channel, long SMS."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from notify.segments import count_segments
from notify.templating import LANGUAGES
from prevenant.book import Book, sample_variables
from prevenant.domain import Severity
from prevenant.errors import Problem
from rules.advice import advise_on_rules
from workflows.definition import TemplateUse
from workflows.on_call import Gap, Schedule, find_gaps

_MOST_SEGMENTS = 3
_A_YEAR = timedelta(days=366)


def advise(book: Book, today: date) -> list[Problem]:
    """Return warnings, in the order of the file; `today` is for changes of the clock to come."""
    found = advise_on_rules(book.rules, today)
    serious = _serious_workflows(book)
    for use in book.uses:
        place = use.place
        for advice in (*_advise_on_channels(use, serious), *_advise_on_length(use, book)):
            found.append(Problem(place.source, place.line, place.column, f"{place.what}: {advice}"))
    for schedule in book.schedules.values():
        found += _advise_on_gaps(schedule, today)
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
    variables = sample_variables(after_dispatch=use.after_dispatch, extra=use.extra)
    for language in LANGUAGES:
        text = book.templates.render(use.name, language, "sms", variables)
        segments = count_segments(str(text))
        if segments > _MOST_SEGMENTS:
            yield (
                f"template {use.name!r} takes {segments} segments as an SMS in {language!r}, each "
                f"billed: shorten it to {_MOST_SEGMENTS}, or leave out characters beyond GSM's"
            )
