"""How the keys of steps are read: whom, on which channels, by when, with which texts."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from prevenant.addresses import is_web_address
from prevenant.document import Mapping as Pairs
from prevenant.document import Value, suggest
from prevenant.durations import parse_duration
from workflows.conditions import ConditionError, check_condition
from workflows.definition import Deadline, Turns
from workflows.joining import Storm
from workflows.recipients import ON_CALL, PEOPLE

CHANNELS = ("sms", "voice", "email", "whatsapp", "chat", "preferred")
T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What an answer can be called, so that conditions and templates can name it."""
_ROLE = re.compile(r"(?:on-call:)?[A-Za-z][\w-]*")
_SKILL = re.compile(r"([A-Za-z][\w-]*)\s*(?:>=\s*(\d+))?")
_DISTANCE = re.compile(r"(\d+(?:\.\d+)?)\s*(km|m)")
_DEADLINE = re.compile(r"visit\.(start|end)\s*(?:\+\s*(.+))?")


def refuse_others(pairs: Pairs, known: AbstractSet[str]) -> None:
    """Note every key that does not belong to a step."""
    for name, value in pairs:
        if name not in known:
            value.fail(f"{name!r} does not belong to this step: {suggest(name, known)}")


def read_turns(pairs: Pairs, default: Turns) -> Turns:
    """Read `sms + voice` (together) or `[sms, email]` (one after the other)."""
    value = pairs.get("channels")
    if value is None:
        return default
    turns: Turns = []
    for one in value.one_or_more():
        text = one.raw() or ""
        channels = [channel.strip() for channel in text.split("+") if channel.strip()]
        if text and not channels:
            one.fail(f"names no channel: write one of {', '.join(sorted(CHANNELS))}")
        for channel in channels:
            if channel not in CHANNELS:
                one.fail(f"{channel!r} is no channel: {suggest(channel, CHANNELS)}")
        turns.append([channel for channel in channels if channel in CHANNELS])
    if value.is_list and not value.items():
        value.fail(f"names no channel: write some of {', '.join(sorted(CHANNELS))}")
    return [turn for turn in turns if turn] or default


def read_whom(value: Value) -> tuple[str, int] | None:
    """Read whom a step means: one of `PEOPLE`, a role, or `{nearest: 3, role: security}`."""
    if not value.is_mapping:
        text = value.text()
        if text is not None and not _ROLE.fullmatch(text):
            value.fail(f"{text!r} is nobody: write {', '.join(PEOPLE)}, a role or on-call:NAME")
            return None
        return None if text is None else (text, 0)
    pairs = value.mapping({"nearest", "role"})
    if pairs is None:
        return None
    count = pairs.need("nearest", "say how many, as in {nearest: 3, role: security}")
    role = pairs.need("role", "say of which role, as in {nearest: 3, role: security}")
    number, name = count.integer(1) if count else None, role.text() if role else None
    if role is not None and name is not None and (name in PEOPLE or not _ROLE.fullmatch(name)):
        role.fail(f"{name!r} is not a role: name one of your staff's")
        return None
    if role is not None and name is not None and name.startswith(ON_CALL):
        role.fail(
            f"{name!r} is one person, and nobody has it as a role: write it without `nearest`"
        )
        return None
    return None if number is None or name is None else (name, number)


def read_roles(head: Value) -> list[str]:
    """Read to which roles a case goes, one after the other."""
    roles: list[str] = []
    for one in head.one_or_more():
        role = one.text()
        if role is None:
            continue
        if role in PEOPLE or not _ROLE.fullmatch(role):
            head.fail(f"{role!r} is not a role that a case can go to: name one of your staff's")
        elif role in roles:
            one.fail(f"{role!r} stands twice: each is asked again in every round")
        else:
            roles.append(role)
    if head.is_list and not head.items():
        head.fail("nobody is told: name at least one role")
    return roles


def read_storm(value: Value) -> tuple[Storm, Value]:
    """Read what a storm of a workflow is, and where it says who is told of it."""
    usual = Storm()
    pairs = value.mapping({"cases", "within", "tell"})
    if pairs is None:
        return usual, value
    cases, tell = pairs.get("cases"), pairs.get("tell")
    role = tell.text() if tell else None
    if tell is not None and role is not None and (role in PEOPLE or not _ROLE.fullmatch(role)):
        tell.fail(f"{role!r} is not told of storms: name a role of your staff's, or on-call:NAME")
    storm = Storm(
        (cases.integer(2) or usual.cases) if cases else usual.cases,
        read_span(pairs, "within", usual.within_s),
        role or usual.tell,
    )
    return storm, tell or value


def read_span(pairs: Pairs, name: str, default: T) -> float | T:
    """Read a length of time that is longer than nothing."""
    seconds = pairs.duration_s(name, default)
    value = pairs.get(name)
    if value is not None and isinstance(seconds, float) and seconds <= 0:
        value.fail("has to be longer than nothing: nobody could answer in time")
    return seconds


PATIENCE = frozenset({"receipt_within", "reply_within"})
_UNCLEAR_S = 60.0
"""What stands for a length of time that cannot be read, which is said already."""


def read_patience(pairs: Pairs, *, asks: bool = True) -> tuple[float | None, float | None]:
    """Read how long a receipt and a reply are waited for, before the next channel is tried."""
    receipt, reply = pairs.get("receipt_within"), pairs.get("reply_within")
    receipt_s = read_span(pairs, "receipt_within", _UNCLEAR_S) if receipt else None
    reply_s = read_span(pairs, "reply_within", 2 * _UNCLEAR_S) if reply else None
    if reply is not None and not asks:
        reply.fail("nothing is asked here that could be replied to: add `ask: acknowledge`")
    elif reply is not None and receipt_s and reply_s and reply_s <= receipt_s:
        reply.fail("has to be longer than `receipt_within`: nobody replies before it has arrived")
    return receipt_s or None, reply_s or None


def read_deadline(value: Value) -> Deadline | None:
    """Read a length of time from now, or one such as `visit.end + 15m`."""
    text = value.raw()
    match = _DEADLINE.fullmatch(text.strip()) if text else None
    if match is None:
        seconds = value.duration_s() if text else None
        return None if seconds is None else Deadline(seconds)
    try:
        return Deadline(parse_duration(match[2]) if match[2] else 0.0, match[1])
    except ValueError as error:
        value.fail(str(error))
        return None


def read_condition(value: Value) -> tuple[str, list[str]] | None:
    """Read a condition and the names that it uses."""
    text = value.raw()
    if text is None:
        return None
    try:
        names = check_condition(text)
    except ConditionError as error:
        value.fail(str(error), error.offset)
        return None
    if not names:
        value.fail("this is always the same: compare something that differs from case to case")
    return text, names


def read_skill(value: Value) -> tuple[str, int] | None:
    """Read a skill, perhaps with its least level."""
    text = value.raw()
    match = _SKILL.fullmatch(text.strip()) if text else None
    if match is None:
        value.fail("write a skill, perhaps with its least level, as in refrigeration >= 2")
        return None
    return match[1], int(match[2] or 1)


def read_distance(options: Pairs) -> float:
    """Read how far a technician may be, in kilometres."""
    value = options.get("within")
    if value is None:
        return 100.0
    text = value.raw()
    match = _DISTANCE.fullmatch(text.strip()) if text else None
    if match is None:
        value.fail("write a distance such as 60 km or 500 m")
        return 100.0
    return float(match[1]) / (1000.0 if match[2] == "m" else 1.0)


def read_url(value: Value) -> str | None:
    """Read the address of a webhook."""
    text = value.raw()
    if text is None:
        return None
    if not is_web_address(text):
        value.fail("write an address such as https://desk.example.com/hooks/prevenant")
        return None
    return text


def read_structure(value: Value) -> tuple[Any, list[tuple[str, Value]]]:
    """Read a text or a structure of texts, numbers and truths; return it and its texts with places."""
    texts: list[tuple[str, Value]] = []

    def read(one: Value) -> Any:
        if one.is_mapping:
            return {name: read(inner) for name, inner in one.mapping() or ()}
        if one.is_list:
            return [read(inner) for inner in one.items() or ()]
        scalar = one.scalar()
        if isinstance(scalar, str):
            texts.append((scalar, one))
        return scalar

    return read(value), texts


def texts_of(value: Value) -> Iterator[tuple[str, Value]]:
    """Yield the texts of one text or a list, each with its place."""
    for one in value.one_or_more():
        text = one.text()
        if text is not None:
            yield text, one
