"""What an import carries over, and what it cannot, each with its place in the source and its remedy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rules.importing.names import name_field, write_path

_ORDER = (
    "when",
    "levels",
    "for",
    "when_open",
    "clear",
    "clear_for",
    "latch",
    "severity",
    "message",
)
"""The keys of a rule as the book has them."""


class Unportable(Exception):
    """Something that the language of the book cannot say, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Unported:
    """One thing that was not carried over, or that has to be checked."""

    place: str
    what: str
    remedy: str
    alters: bool = True
    """Whether the alarm comes or goes otherwise than in the source; not so for what is done about it."""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class CarriedField:
    """A field that a condition needs."""

    name: str
    kind: str
    """`number`, `bool` or `string`."""
    steps: tuple[str | int, ...]
    """Where it stands in the payload."""
    words: Mapping[str, bool] = field(default_factory=dict)
    """What is sent for a truth, where that is a word."""

    @property
    def path(self) -> str:
        """Where it stands in the payload as the book has it; empty: under its own name."""
        return "" if self.steps == (self.name,) else write_path(self.steps)


@dataclass(slots=True)
class CarriedType:
    """A device type that rules are about; its topic is a guess."""

    name: str
    place: str
    check: str
    """What the user has to see to, beside the topic."""
    fields: dict[str, CarriedField] = field(default_factory=dict)
    """By what they are called in the source."""
    identity: str = ""
    """The path in the payload that names the device; empty: the topic does."""
    silent_after_s: float = 0.0

    @property
    def topic(self) -> str:
        """Where such devices might publish."""
        return f"{self.name}/{{site}}/{'+' if self.identity else '{device}'}"

    def need_field(
        self,
        key: str,
        steps: tuple[str | int, ...],
        kind: str,
        words: Mapping[str, bool] | None = None,
    ) -> str:
        """Return the name of the field that the source calls `key`. Raises Unportable.

        A field that is there has to be of the same kind.
        """
        known = self.fields.get(key)
        if any(step == "" or (isinstance(step, str) and {"'", '"'} <= set(step)) for step in steps):
            raise Unportable(
                "a field whose name is empty or has quotes of both kinds", "name it anew"
            )
        if known is None:
            taken = {one.name for one in self.fields.values()}
            name = name_field(next(str(s) for s in reversed(steps) if isinstance(s, str)), ())
            if name in taken:
                name = name_field("_".join(map(str, steps)), taken)
            known = CarriedField(name, kind, steps, words or {})
            self.fields[key] = known
        elif known.kind != kind:
            what = f"{key} is taken as a {known.kind} and as a {kind}"
            raise Unportable(what, "compare it in one way, or give the book two fields")
        return known.name


@dataclass(frozen=True, slots=True)
class CarriedRule:
    """A rule of the book, and what of it is otherwise than in the source."""

    name: str
    place: str
    keys: Mapping[str, Any]
    """As the book has them: texts, mappings of texts, True. Empty: nothing of it can be said."""
    unported: tuple[Unported, ...] = ()
    original: str = ""
    """The source's own words, shown where nothing can be carried over."""

    @property
    def in_part(self) -> bool:
        """Whether its alarm comes or goes otherwise than in the source."""
        return bool(self.keys) and any(one.alters for one in self.unported)


@dataclass(slots=True)
class Carried:
    """All that an import made of one file."""

    system: str
    source: str
    differs: tuple[str, ...]
    """What holds for every rule of that system and is otherwise here."""
    types: list[CarriedType] = field(default_factory=list)
    rules: list[CarriedRule] = field(default_factory=list)
    asides: list[Unported] = field(default_factory=list)
    """What belongs to no rule."""

    @property
    def used_types(self) -> list[CarriedType]:
        """The device types that have fields."""
        return [one for one in self.types if one.fields]

    @property
    def unported(self) -> list[Unported]:
        """Everything that was not carried over or has to be checked, as the file has it."""
        checks = [
            Unported(
                one.place,
                f"the topic {one.topic} of device type {one.name!r} is a guess",
                f"write the topic that its devices publish on; {one.check}",
                alters=False,
            )
            for one in self.used_types
        ]
        return [*checks, *self.asides, *(each for rule in self.rules for each in rule.unported)]

    @property
    def summary(self) -> str:
        """How many rules were carried over wholly, in part and not, in one line."""
        lost = sum(not rule.keys for rule in self.rules)
        in_part = sum(rule.in_part for rule in self.rules)
        whole = len(self.rules) - lost - in_part
        return (
            f"{whole} rule{'' if whole == 1 else 's'} carried over, {in_part} in part, {lost} not"
        )


class Draft:
    """One rule while it is carried over: the type that it is on, and what is lost on the way."""

    def __init__(self, place: str, on: CarriedType) -> None:
        self.place = place
        self.on = on
        self.unported: list[Unported] = []

    def lose(self, what: str, remedy: str, *, alters: bool = True, place: str = "") -> None:
        """Note something that is not carried over; the same is noted once."""
        note = Unported(place or self.place, what, remedy, alters)
        if note not in self.unported:
            self.unported.append(note)

    @contextmanager
    def on_trial(self) -> Iterator[None]:
        """Forget the fields and notes of something that turns out to be unportable."""
        fields, unported = dict(self.on.fields), list(self.unported)
        try:
            yield
        except Unportable:
            self.on.fields, self.unported = fields, unported
            raise

    def finish(self, name: str, keys: Mapping[str, Any]) -> CarriedRule:
        """Return the rule; keys without a value are left out."""
        kept = {key: keys[key] for key in _ORDER if keys.get(key)}
        return CarriedRule(name, self.place, {"on": self.on.name, **kept}, tuple(self.unported))


def lost_rule(name: str, place: str, why: Unportable, original: str = "") -> CarriedRule:
    """Return a rule of which nothing can be carried over, with the reason."""
    return CarriedRule(name, place, {}, (Unported(place, why.what, why.remedy),), original)
