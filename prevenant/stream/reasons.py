"""Why a model said what raised an alarm: in words by language, with the cause and the next best action."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from prevenant.domain import Transition
from prevenant.stream.speaker import Speaker
from prevenant.stream.voices import Because
from rules.expression import (
    Age,
    Condition,
    Field,
    Last,
    Near,
    Quantity,
    SiteNumber,
    Windowed,
    atoms_of,
    leaves_of,
)
from rules.models import REASON, BookModel
from rules.rule import Rule, RuleBook

_EXPLAINED = {"raised", "passed", "levelled"}
_MOST = 20
"""So many alarms of a second are explained, of each batch the most severe first: none waits for words."""
_SAID = 3
"""So many inputs are named."""
_AND = {"fr": " ; "}


class Reasons:
    """Knows which rules ask which models of a book."""

    def __init__(self, book: RuleBook) -> None:
        self._asked = {rule.name: sorted(models_asked(rule)) for rule in book.every_rule}
        self._second, self._count = 0, 0
        self._speak_for: dict[str, list[str]] = {}
        for name, model in book.models.items():
            self._speak_for.setdefault(model.on, []).append(name)

    def add(
        self, transitions: Sequence[Transition], speakers: Mapping[str, Speaker]
    ) -> list[Transition]:
        """Return the transitions with the reasons of the models that their rules ask.

        Where a rule asks none, the names are there with nothing in them, for templates to name.
        """
        numbers = [n for n, one in enumerate(transitions) if self._is_told(one)]
        numbers.sort(key=lambda number: -transitions[number].severity)
        explained = list(transitions)
        self._begin_second(max((one.at for one in transitions), default=0.0))
        for number in numbers:
            one = transitions[number]
            values = dict(one.values)
            asked = self._asked.get(one.rule, [])
            for name in asked or self._speak_for[one.type][:1]:
                speaker = speakers[name]
                is_known = bool(asked) and _is_known(speaker, values) and self._has_time()
                because = speaker.explain(one.device_id) if is_known else ()
                values |= words_of(speaker.model, because)
            explained[number] = msgspec.structs.replace(one, values=values)
        return explained

    def _begin_second(self, at: float) -> None:
        if self._second != int(at):
            self._second, self._count = int(at), 0

    def _has_time(self) -> bool:
        """Return whether one more alarm of this second can be explained, and count it."""
        self._count += 1
        return self._count <= _MOST

    def _is_told(self, transition: Transition) -> bool:
        return transition.kind in _EXPLAINED and transition.type in self._speak_for


def blank_reasons(transitions: Sequence[Transition], book: RuleBook) -> list[Transition]:
    """Return the transitions as they are where no model was ever asked for its reasons."""
    return Reasons(book).add(
        transitions, {name: Speaker(one, book.devices[one.on]) for name, one in book.models.items()}
    )


def words_of(model: BookModel, because: Sequence[Because]) -> dict[str, Any]:
    """Return what an alarm's values have of a model's reasons, as `engine.why`."""
    cause = because[0].sensor if because else ""
    action = model.cause_of(cause) if because else None
    languages = dict.fromkeys(language for one in because[:_SAID] for language in one.words)
    why = {
        language: _AND.get(language, "; ").join(
            one.words[language] for one in because[:_SAID] if language in one.words
        )
        for language in languages
    }
    found: dict[str, Any] = {
        "why": why or "",
        "cause": cause,
        "action": dict(action.text) if action and action.text else "",
        "parts": ", ".join(action.parts) if action else "",
        "skill": action.skill if action else "",
    }
    return {f"{model.name}.{name}": found[name] for name in REASON}


def models_asked(rule: Rule) -> set[str]:
    """Return the models that a rule's conditions ask of its own device."""
    conditions = [rule.when, *(level for _, level in rule.levels)]
    conditions += [rule.clear] if rule.clear is not None else []
    names = {name for one in conditions for name in _fields_of(one)}
    return {name.partition(".")[0] for name in names if "." in name}


def _is_known(speaker: Speaker, values: Mapping[str, Any]) -> bool:
    return any(
        f"{speaker.model.name}.{name}" in values for name in ("low", speaker.model.value_field)
    )


def _fields_of(part: Quantity | Condition) -> Iterator[str]:
    """Yield the fields of the device itself that `part` looks at, also within functions."""
    if not isinstance(part, Quantity):
        for atom in atoms_of(part):
            if isinstance(atom, Near | SiteNumber):
                continue
            yield from _of_leaves(atom)
        return
    yield from _of_leaves(part)


def _of_leaves(part: Any) -> Iterator[str]:
    for leaf in leaves_of(part):
        match leaf:
            case Field(name):
                yield name
            case Windowed(of=of):
                yield from _fields_of(of)
            case Last(field) | Age(field):
                yield field.name
