"""The rule book that an import writes."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from rules.importing.carried import Carried, CarriedField, CarriedRule, CarriedType
from rules.importing.source import shorten
from rules.importing.wording import say_time

_WIDE = 1_000_000


def write_book(carried: Carried) -> str:
    """Return the text of a rule book with everything that was carried over."""
    return "\n".join(_lines(carried)) + "\n"


def _lines(carried: Carried) -> Iterator[str]:
    yield from _comment(f"Carried over from {carried.source}: {carried.system}.", 0)
    yield from _comment("Topics are guesses: write those that your devices publish on.", 0)
    for difference in carried.differs:
        yield from _comment(difference, 0)
    if carried.used_types:
        yield ""
        yield "devices:"
        for one in carried.used_types:
            yield from _type_lines(one)
    if any(rule.keys for rule in carried.rules):
        yield ""
        yield "rules:"
    for rule in carried.rules:
        yield from _rule_lines(rule) if rule.keys else _lost_lines(rule)


def _type_lines(one: CarriedType) -> Iterator[str]:
    yield f"  {_scalar(one.name)}:"
    yield f"    topic: {_scalar(one.topic)}"
    if one.identity:
        yield f"    identity: {{device: {_quoted(one.identity)}}}"
    if one.silent_after_s:
        yield f"    silent_after: {say_time(one.silent_after_s)}"
    yield "    fields:"
    for each in one.fields.values():
        yield f"      {_scalar(each.name)}: {_field(each)}"


def _field(each: CarriedField) -> str:
    if not each.path and not each.words:
        return each.kind
    parts = [f"kind: {each.kind}"]
    if each.path:
        parts.append(f"from: {_quoted(each.path)}")
    if each.words:
        meanings = (f"{_quoted(w)}: {str(truth).lower()}" for w, truth in each.words.items())
        parts.append(f"enum: {{{', '.join(meanings)}}}")
    return f"{{{', '.join(parts)}}}"


def _rule_lines(rule: CarriedRule) -> Iterator[str]:
    yield from _comment(rule.place, 2)
    for one in rule.unported:
        yield from _comment(f"{'otherwise' if one.alters else 'note'}: {one.what}: {one.remedy}", 2)
    yield f"  {_scalar(rule.name)}:"
    for key, value in rule.keys.items():
        if isinstance(value, Mapping):
            yield f"    {key}:"
            for name, each in value.items():
                yield f"      {name}: {_value(each)}"
        else:
            yield f"    {key}: {_value(value)}"


def _lost_lines(rule: CarriedRule) -> Iterator[str]:
    yield from _comment(f"not carried over: {rule.name}", 2)
    for one in rule.unported:
        yield from _comment(f"{one.place}: {one.what}: {one.remedy}", 2)
    if rule.original:
        yield from _comment(shorten(rule.original), 2)


def _comment(text: str, indent: int) -> Iterator[str]:
    line = " ".join(text.split())
    plain = "".join(c if c.isprintable() else "?" for c in line)
    yield f"{' ' * indent}# {plain}"


def _value(value: Any) -> str:
    if value is True:
        return "true"
    if isinstance(value, list):
        return f"[{', '.join(_quoted(str(each)) for each in value)}]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """Return a text as YAML, without quotes where it needs none."""
    dumped: str = yaml.safe_dump(text, width=_WIDE, allow_unicode=True)
    written = dumped.removesuffix("...\n").rstrip("\n")
    return _quoted(text) if "\n" in written or written.startswith(("|", ">")) else written


def _quoted(text: str) -> str:
    """Return a text in double quotes."""
    dumped: str = yaml.safe_dump(text, default_style='"', width=_WIDE, allow_unicode=True)
    return dumped.rstrip("\n")
