"""The rule book as a whole: every section read, and what one section says of another checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath

from ingest.topics import TopicPattern
from notify.templating import Templates, read_templates
from notify.trial import Trial
from prevenant.book_texts import BookTexts
from prevenant.book_uses import Needs, check_uses, sample_values, sample_variables
from prevenant.document import Value, suggest
from prevenant.domain import DeviceType
from prevenant.errors import BookError, Problem
from rules.book import Rule, RuleBook, read_rules
from rules.devices import read_devices
from rules.models import read_models
from workflows.checking import Use
from workflows.definition import Workflow
from workflows.on_call import Schedule
from workflows.on_call_reading import read_schedules
from workflows.reading import read_workflows
from workflows.story import Route

SECTIONS = ("devices", "models", "rules", "workflows", "on_call", "templates")


@dataclass(frozen=True, slots=True)
class Book:
    """A rule book that has been judged and found good."""

    rules: RuleBook
    workflows: Mapping[str, Workflow]
    templates: Templates
    uses: tuple[Use, ...] = ()
    """Where its workflows need which template, which role, which skill."""
    needs: Needs | None = None
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
    models, types = read_models(sections["models"], types)
    rules = read_rules(sections["rules"], types, models)
    uses: list[Use] = []
    workflows = read_workflows(sections["workflows"], uses)
    schedules = read_schedules(sections["on_call"])
    own = read_templates(sections["templates"])
    _check_routes(rules.every_rule, workflows, problems)
    templates = Templates(own)
    # A schedule that is itself no good has been reported, too.
    named = {name for section in sections["on_call"] for name, _ in section.mapping() or ()}
    needs = Needs(rules, sorted(named))
    check_uses(uses, templates, needs, sections["templates"])
    trial = Trial(templates)
    for rule in rules.every_rule:
        _check_message(rule, types.get(rule.on), trial, problems)
    if problems:
        raise BookError(problems)
    return Book(rules, workflows, templates, tuple(uses), needs, schedules)


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


def _check_message(
    rule: Rule, device_type: DeviceType | None, trial: Trial, problems: list[Problem]
) -> None:
    """Word the message on trial; that of silence is about several types, and names no field."""
    is_predicted = bool(device_type and device_type.predicted)
    variables = sample_variables(
        after_dispatch=False, values=sample_values(device_type), is_predicted=is_predicted
    )
    for language, text in rule.message.items():
        for flaw in trial.word_text(text, language or "en", variables):
            message = f"rule {rule.name!r}: message: it cannot be worded: {flaw}"
            if rule.place:
                place = rule.place
                problems.append(Problem(place.source, place.line, place.column, message))
