"""The rule book as a whole: every section read, and what one section says of another checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

from jinja2 import TemplateError

from ingest.topics import TopicPattern
from notify.templating import LANGUAGES, Templates, read_templates
from prevenant.book_texts import BookTexts
from prevenant.document import Value, suggest
from prevenant.domain import DeviceType
from prevenant.errors import BookError, Problem
from rules.book import Rule, RuleBook, read_rules
from rules.devices import read_devices
from workflows.definition import TemplateUse, Workflow, read_workflows
from workflows.on_call import Schedule
from workflows.on_call_reading import read_schedules
from workflows.story import Route

_SAMPLES: Mapping[type, Any] = {float: 1.0, bool: True, str: "sample"}
_WORDING_ERRORS = (TemplateError, TypeError, ValueError, AttributeError, KeyError)

SECTIONS = ("devices", "models", "rules", "workflows", "on_call", "templates")


@dataclass(frozen=True, slots=True)
class Book:
    """A rule book that has been judged and found good."""

    rules: RuleBook
    workflows: Mapping[str, Workflow]
    templates: Templates
    uses: tuple[TemplateUse, ...] = ()
    """Where its workflows need which template."""
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    """Who is on call, by name."""

    @property
    def routes(self) -> dict[str, Route]:
        """What follows from each rule's alarm."""
        return {rule.name: Route(rule.workflow, rule.message) for rule in self.rules.every_rule}


def load_book(path: Path, texts: BookTexts | None = None) -> Book:
    """Read a rule book and everything that it includes. Raises BookError with every problem at once.

    `texts` is where its files are to be had; without it, on the disk.
    """
    texts = texts or BookTexts(path.parent)
    problems: list[Problem] = []
    sections = _collect(path.name, texts, problems, {texts.identity(path.name)})
    types = read_devices(sections["devices"])
    _check_topics(sections["devices"], RuleBook(types, {}))
    rules = read_rules(sections["rules"], types)
    uses: list[TemplateUse] = []
    workflows = read_workflows(sections["workflows"], uses)
    schedules = read_schedules(sections["on_call"])
    own = read_templates(sections["templates"])
    _check_routes(rules.every_rule, workflows, problems)
    templates = Templates(own)
    written = {name for section in sections["templates"] for name, _ in section.mapping() or ()}
    for use in uses:
        # A template that is itself no good has been reported.
        if use.name in templates.names or use.name not in written:
            _check_use(use, templates)
    for rule in rules.every_rule:
        _check_message(rule, types.get(rule.on), templates, problems)
    if problems:
        raise BookError(problems)
    return Book(rules, workflows, templates, tuple(uses), schedules)


def _collect(
    file: str, texts: BookTexts, problems: list[Problem], seen: set[Path]
) -> dict[str, list[Value]]:
    """Return the sections of a file and of what it includes, each with all its places."""
    sections: dict[str, list[Value]] = {name: [] for name in SECTIONS}
    document = texts.document(file, problems)
    pairs = document.mapping({*SECTIONS, "include"}) if document else None
    for name, value in pairs or ():
        if name != "include":
            if value.is_mapping or value.scalar() is not None:
                sections[name].append(value)
            continue
        for one in value.one_or_more():
            included = normpath(join(dirname(file), one.text() or ""))
            if texts.identity(included) in seen:
                one.fail("this file is included already: remove one of the two")
            elif not texts.has(included):
                one.fail(
                    f"there is no file {texts.source(included)}: "
                    f"its path counts from {texts.source(file)}"
                )
            else:
                seen.add(texts.identity(included))
                for section, values in _collect(included, texts, problems, seen).items():
                    sections[section] += values
    return sections


def _check_topics(sections: list[Value], book: RuleBook) -> None:
    """Two device types whose topics could be the same make a message ambiguous."""
    places = {name: value for section in sections for name, value in section.mapping() or ()}
    patterns = [(one, TopicPattern(one.topic)) for one in book.devices.values()]
    patterns += [(one, TopicPattern(one.status.topic)) for one, _ in patterns if one.status]
    for number, (device_type, pattern) in enumerate(patterns):
        for other, earlier in patterns[:number]:
            if pattern.overlaps(earlier) and other.name != device_type.name:
                name = device_type.name
                places[name].named(f"device type {name!r}").fail(
                    f"its topic can be the same as that of {other.name!r} ({other.topic}): "
                    "make a level of one of them different"
                )


def _check_routes(
    rules: Iterable[Rule], workflows: Mapping[str, Workflow], problems: list[Problem]
) -> None:
    for rule in rules:
        if rule.workflow is not None and rule.workflow not in workflows and rule.place:
            hint = suggest(rule.workflow, workflows)
            message = f"rule {rule.name!r}: there is no workflow {rule.workflow!r}: {hint}"
            problems.append(Problem(rule.place.source, rule.place.line, rule.place.column, message))


def _check_use(use: TemplateUse, templates: Templates) -> None:
    """Render a template in every language and on every channel, with what it will be given."""
    if use.name not in templates.names:
        use.place.fail(f"there is no template {use.name!r}: {suggest(use.name, templates.names)}")
        return
    variables = sample_variables(after_dispatch=use.after_dispatch, extra=use.extra)
    channels = {"sms" if c == "preferred" else c for turn in use.turns for c in turn}
    for language in LANGUAGES:
        for channel in sorted(channels):
            try:
                templates.render(use.name, language, channel, variables)
            except _WORDING_ERRORS as error:
                message = f"template {use.name!r} cannot be worded here: {error}"
                if not use.after_dispatch:
                    message += "; technician and visit are known only after a `dispatch`"
                use.place.fail(message)
                return


def _check_message(
    rule: Rule, device_type: DeviceType | None, templates: Templates, problems: list[Problem]
) -> None:
    """Render the message on trial; that of silence is about several types, and names no field."""
    fields = device_type.fields if device_type else ()
    values = {field.name: _SAMPLES[field.kind] for field in fields}
    for language, text in rule.message.items():
        try:
            variables = {**sample_variables(after_dispatch=False), "values": values}
            templates.render_text(text, language or "en", variables)
        except _WORDING_ERRORS as error:
            message = f"rule {rule.name!r}: message: it cannot be worded: {error}"
            if rule.place:
                place = rule.place
                problems.append(Problem(place.source, place.line, place.column, message))


def sample_variables(*, after_dispatch: bool, extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return variables like those of a case, for a trial rendering or a preview."""
    at = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
    later = {
        "technician": {"name": "Camille Roux", "first_name": "Camille"},
        "visit": {"start": at, "end": at.replace(hour=14)},
        "offer": {"distance": "4.2 km", "until": at},
        "why": "in_time",
        "wish": "person",
        "said": "sample",
        "choices": "sample",
        "owner": "Camille Roux",
        "storm": {
            "workflow": "sample",
            "cases": 300,
            "open": 120,
            "handed_over": 7,
            "sites": 280,
            "rules": "sample",
        },
    }
    names = {*extra, *(("technician", "visit") if after_dispatch else ())}
    return {
        "case": {"number": 17},
        "alarm": {"rule": "sample", "message": "Sample.", "reason": "sample"},
        "device": {
            "label": "Door 14",
            "place": "Gate B",
            "type": "door",
            "camera_url": "https://camera.example.com/14",
            "loudspeaker_url": "https://talk.example.com/14",
        },
        "site": {"name": "Terminal 2", "address": "1 Runway Road"},
        "customer": {"name": "Airport"},
        "contact": {"name": "Camille Roux", "first_name": "Camille"},
        "values": {},
        "alarms": [{"rule": "sample", "device": "Door 14", "severity": "major"}],
        "others": 0,
        **{name: value for name, value in later.items() if name in names},
    }
