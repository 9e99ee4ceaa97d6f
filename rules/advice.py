"""What is allowed in a rule and hardly meant: told by `rules check`, and no error."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from math import prod
from zoneinfo import ZoneInfo

from prevenant.document import suggest
from prevenant.domain import DeviceType, Severity
from prevenant.errors import Problem
from rules.expression import All, Changed, Comparison, Field, Last, Same, atoms_of
from rules.rule import DEVICE_SILENT, Rule, RuleBook
from rules.schedule import OF_SITE, Schedule
from rules.signature import Compiled, Plan, Signature

_MOST_CELLS = 20_000
"""Beyond so many combinations a rule's conditions are not gone through."""
_NIGHT_HOURS = range(60, 180)
"""Minutes since midnight at which most clocks are changed."""
_DAYS_AHEAD = 400


def advise_on_rules(book: RuleBook, today: date) -> list[Problem]:
    """Return what is doubtful about each rule, with its place and what to write instead.

    `today` is where looking ahead for changes of the clock begins.
    """
    found = []
    for rule in book.every_rule:
        for advice in _advise(rule, book.devices, today):
            place = rule.place
            if place is not None:
                message = f"rule {rule.name!r}: {advice}"
                found.append(Problem(place.source, place.line, place.column, message))
    return found


def _advise(rule: Rule, types: Mapping[str, DeviceType], today: date) -> Iterator[str]:
    if rule.name != DEVICE_SILENT:
        yield from _advise_on_conditions(rule, types[rule.on])
        yield from _advise_on_noise(rule, types[rule.on])
        yield from _advise_on_words(rule, types[rule.on])
    if rule.workflow is None and max(_severities(rule)) >= Severity.MAJOR:
        severity = max(_severities(rule)).word
        yield f"it is {severity} and has no workflow, so nobody is told: name one, or lower it"
    if rule.schedule is not None:
        yield from _advise_on_hours(rule.schedule, today)


def _severities(rule: Rule) -> list[Severity]:
    return [severity for severity, _ in rule.levels] or [rule.severity]


def _advise_on_conditions(rule: Rule, device_type: DeviceType) -> Iterator[str]:
    plan = Plan(device_type, [Compiled(rule.when, rule.clear, tuple(c for _, c in rule.levels))])
    cells = _cells(plan)
    if not cells:
        return
    truths = [plan.truths(0, cell) for cell in cells]
    levels = [truth.levels for truth in truths]
    if not any(truth.when for truth in truths):
        yield "its condition can never hold: look at its bounds"
    elif all(truth.when for truth in truths):
        yield "its condition always holds, so it says nothing: look at its bounds"
    if rule.clear is not None and not any(truth.clear and not truth.when for truth in truths):
        yield (
            "clear can never hold while when does not, so the alarm never clears: "
            "let clear hold somewhere outside when"
        )
    for number, (severity, _) in enumerate(rule.levels):
        holding = [one for one in levels if one[number]]
        if holding and all(any(one[number + 1 :]) for one in holding):
            yield (
                f"a higher level holds wherever {severity.word} does, so {severity.word} is never "
                "reached: let the bounds grow with the severity"
            )
            return
        if any(one[number] and not all(one[:number]) for one in levels):
            lower = next(n for n in range(number) if any(o[number] and not o[n] for o in levels))
            yield (
                f"{severity.word} can hold where {rule.levels[lower][0].word}, a lower level, does "
                "not: let each level hold wherever a higher one does"
            )


def _cells(plan: Plan) -> list[Signature]:
    """Return every combination of positions between the breakpoints; none where there are too many."""
    domains = plan.domains
    if prod(len(domain) for domain in domains) > _MOST_CELLS:
        return []
    return list(product(*domains))


def _advise_on_noise(rule: Rule, device_type: DeviceType) -> Iterator[str]:
    """Warn where a measured field may hover around a bound, and nothing keeps its alarm from doing so."""
    if rule.clear is not None or rule.clear_for_s or rule.for_s or rule.latch:
        return
    for atom in atoms_of(rule.when):
        if (
            isinstance(atom, Comparison)
            and isinstance(atom.quantity, Field)
            and atom.operator != "=="
            and (field := device_type.known_field(atom.quantity.name)) is not None
            and field.unit is not None
        ):
            yield (
                f"{field.name} is measured and may hover around {atom.bound:g}, and the alarm come and "
                "go with it: give it a clear some way off, or for and clear_for"
            )
            return


def _advise_on_words(rule: Rule, device_type: DeviceType) -> Iterator[str]:
    """Warn where a text is compared with a word that its enum never means."""
    conditions = [rule.when, *(one for _, one in rule.levels)]
    for atom in atoms_of(All(tuple([*conditions, rule.clear] if rule.clear else conditions))):
        match atom:
            case Same(Field(name) | Last(Field(name)), str(word)) | Changed(
                Field(name), _, str(word)
            ):
                field = device_type.known_field(name)
                words = dict.fromkeys(meaning for _, meaning in field.enum) if field else {}
                if words and word not in words:
                    yield f"the enum of {name} never means {word!r}: {suggest(word, words)}"


def _advise_on_hours(schedule: Schedule, today: date) -> Iterator[str]:
    for begin, end in schedule.hours:
        for minutes in (begin, end):
            day = _skipped_on(schedule.zone, minutes, today)
            if day is not None:
                clock = f"{minutes // 60:02}:{minutes % 60:02}"
                yield (
                    f"{clock} does not exist {day}, when clocks are put forward, and is an hour later "
                    "then: begin and end at another hour if that matters"
                )


def _skipped_on(zone: str, minutes: int, today: date) -> str | None:
    """Return the day on which a time on the wall is skipped; for a site's own zone, where it may be."""
    if zone == OF_SITE:
        return "in a night of spring, in many zones" if minutes in _NIGHT_HOURS else None
    wall = time(*divmod(minutes % 1440, 60))
    for ahead in range(_DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        if _is_skipped(day, wall, ZoneInfo(zone)):
            return f"on {day.isoformat()}"
    return None


def _is_skipped(day: date, wall: time, zone: ZoneInfo) -> bool:
    local = datetime.combine(day, wall, zone)
    return local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None)
