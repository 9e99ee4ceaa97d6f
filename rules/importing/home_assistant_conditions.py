"""Triggers and conditions of Home Assistant said as conditions of a rule book."""

import re
from typing import Any

from prevenant.domain import DAYS
from rules.importing.carried import Draft, Unportable
from rules.importing.source import Part, Tagged
from rules.importing.wording import (
    Said,
    say_all,
    say_any,
    say_between,
    say_comparison,
    say_days,
    say_hours,
    say_not,
    say_number,
    say_one_of,
)

_ENTITY = re.compile(r"[a-z_0-9]+\.[a-z_0-9]+")
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?")
_ON_OFF = {"on": True, "off": False}
_SWITCHED = frozenset(
    {
        "automation",
        "binary_sensor",
        "fan",
        "humidifier",
        "input_boolean",
        "light",
        "remote",
        "schedule",
        "siren",
        "switch",
    }
)
"""Domains whose states are `on` and `off`."""
_GONE = frozenset({"unavailable", "unknown"})
_PERIODS = {
    "days": 86_400.0,
    "hours": 3600.0,
    "minutes": 60.0,
    "seconds": 1.0,
    "milliseconds": 0.001,
}
_TEMPLATE = ("a template", "write the condition with the functions of docs/rule-book.md")
_DAY_S = 86_400.0


def kind_of(part: Part) -> str:
    """Return what kind of trigger or condition this is."""
    if not isinstance(part.value, dict):
        return "template" if isinstance(part.value, str) else ""
    for group in ("and", "or", "not"):
        if group in part:
            return group
    return part.get("trigger", "platform", "condition").text()


def entities_of(part: Part) -> list[str]:
    """Return all entities that a trigger, a condition, or the value of `entity_id` names."""
    if isinstance(part.value, dict):
        keys = ("entity_id", "above", "below", "conditions", "and", "or", "not")
        return [entity for key in keys if key in part for entity in entities_of(part.get(key))]
    if isinstance(part.value, list):
        return [entity for item in part.items() for entity in entities_of(item)]
    if not isinstance(part.value, str) or isinstance(part.value, Tagged):
        return []
    names = [name.strip().lower() for name in part.value.split(",")]
    return [name for name in names if _ENTITY.fullmatch(name)]


def read_time(part: Part, draft: Draft) -> float:
    """Return how long something has to hold, in seconds; what is reckoned by a template is noted."""
    value = part.value
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds: float | None
    if clock:
        seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
    elif isinstance(value, dict):
        numbers = [(name, each.number()) for name, each in part.parts()]
        known = [n * _PERIODS[name] for name, n in numbers if n is not None and name in _PERIODS]
        seconds = sum(known) if len(known) == len(numbers) else None
    else:
        seconds = part.number() if part else 0.0
    if seconds is None:
        draft.lose(
            "`for` is a template, so the rule raises at once", "write for: and a length of time"
        )
    return seconds or 0.0


def opening_of(part: Part) -> dict[str, str]:
    """Return the days and hours of a condition of kind time, as `when_open`. Raises Unportable."""
    days = [each.text().lower() for each in part.get("weekday").one_or_more()]
    ends = [
        _clock_s(part.get(name), default) for name, default in (("after", 0.0), ("before", _DAY_S))
    ]
    begin_s, end_s = ends
    if begin_s >= end_s and days:
        raise Unportable(
            "hours that pass midnight on some days of the week",
            "write when_open: there they belong to the day on which they begin",
        )
    if any(day not in DAYS for day in days):
        raise Unportable("a day of the week", f"write {', '.join(DAYS)}")
    opening = {"days": say_days(DAYS.index(day) + 1 for day in days)} if days else {}
    if (begin_s, end_s) != (0.0, _DAY_S):
        opening["hours"] = say_hours(begin_s, end_s)
    return opening


def _clock_s(part: Part, default: float) -> float:
    if not part:
        return default
    clock = _CLOCK.fullmatch(part.text())
    seconds = int(clock[1]) * 3600.0 + int(clock[2]) * 60.0 if clock else part.value
    if isinstance(seconds, int | float) and 0 <= seconds < _DAY_S:
        return float(seconds)  # YAML itself reads 08:30:00 as seconds
    what = f"the time of {part.text()}"
    raise Unportable(what, "write the hours into when_open")


class HomeConditions:
    """Says the triggers and conditions of one rule."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def trigger(self, kind: str, part: Part, entity: str) -> Said:
        """Return what has to hold for a trigger on one of its entities. Raises Unportable."""
        if part.get("value_template"):
            raise Unportable(*_TEMPLATE)
        if kind == "numeric_state":
            return self._within_bounds(part, entity)
        return self._reached(part, entity)

    def condition(self, part: Part) -> Said:
        """Return a condition. Raises Unportable."""
        kind = kind_of(part)
        if kind in {"and", "or", "not"}:
            group = part.get(kind) if kind in part else part.get("conditions")
            parts = [self.condition(each) for each in group.one_or_more()]
            if not parts:
                what = f"an empty group {kind!r}"
                raise Unportable(what, "nothing has to be done")
            return (
                say_not(say_any(parts))
                if kind == "not"
                else (say_any if kind == "or" else say_all)(parts)
            )
        if kind == "template" or (isinstance(part.value, dict) and part.get("value_template")):
            raise Unportable(*_TEMPLATE)
        if kind not in {"state", "numeric_state"}:
            what = f"a condition of kind {kind!r}"
            raise Unportable(what, "write it with docs/rule-book.md, if a field says it")
        if part.get("for"):
            raise Unportable(
                "a state that has to have lasted", "write a rule of its own, or `for` in this one"
            )
        entities = entities_of(part.get("entity_id"))
        if not entities:
            raise Unportable("a condition without an entity", "nothing has to be done")
        each = [
            self._within_bounds(part, entity)
            if kind == "numeric_state"
            else self._one_of(part, entity, part.get("state"))
            for entity in entities
        ]
        return say_any(each) if part.get("match").text() == "any" else say_all(each)

    def _within_bounds(self, part: Part, entity: str) -> Said:
        middle = Said(self._field(part, entity, "number"))
        low, high = self._bound(part.get("above")), self._bound(part.get("below"))
        if low and high:
            return say_between(low, middle, high)
        if low:
            return say_comparison(middle, ">", low)
        if high:
            return say_comparison(middle, "<", high)
        raise Unportable("neither above nor below", "compare it with a number")

    def _bound(self, part: Part) -> Said | None:
        if not part:
            return None
        number = part.number()
        if number is not None:
            return say_number(number)
        if isinstance(part.value, str) and not isinstance(part.value, Tagged):
            entity = part.text().lower()
            if _ENTITY.fullmatch(entity):
                name = self._draft.on.need_field(entity, (entity.partition(".")[2],), "number")
                return Said(name)
        what = f"the bound {part.text()}"
        raise Unportable(what, "write a number or a field")

    def _reached(self, part: Part, entity: str) -> Said:
        """Return the state that a trigger waits for; leaving one is being in another."""
        for name in ("not_to", "not_from"):
            if part.get(name):
                what = f"{name} in a state trigger"
                raise Unportable(what, "write the states that are meant")
        came_from, to = part.get("from"), part.get("to")
        if not to:
            if not came_from:
                raise Unportable(
                    "any change of state fires it",
                    "write changed(FIELD, TIME), which holds for TIME after a change",
                )
            return say_not(self._one_of(part, entity, came_from))
        said = self._one_of(part, entity, to)
        if came_from and self._is_told(part, entity, came_from, to):
            self._draft.lose(
                f"only a change from {_words(came_from)} fires it",
                "mind that here any way into the new state raises",
            )
        return said

    def _is_told(self, part: Part, entity: str, came_from: Part, to: Part) -> bool:
        """Return whether the old state says more than that it is not the new one."""
        states = {each.text() for each in (*came_from.one_or_more(), *to.one_or_more())}
        return not (self._is_switched(part, entity) and states == set(_ON_OFF))

    def _one_of(self, part: Part, entity: str, wanted: Part) -> Said:
        values = [_state(each) for each in wanted.one_or_more()]
        if not values:
            raise Unportable("no state", "name the state that is meant")
        gone = [value for value in values if str(value) in _GONE]
        if gone:
            what = f"the state {gone[0]}, which no device sends"
            raise Unportable(
                what,
                "write silent_after in the device type: the alarm device-silent tells of it",
            )
        if self._is_switched(part, entity) and all(value in _ON_OFF for value in values):
            name = self._field(part, entity, "bool", _ON_OFF)
            if len(set(values)) > 1:
                raise Unportable("on or off, which is any state", "nothing has to be done")
            return Said(name) if values[0] == "on" else say_not(Said(name))
        if all(isinstance(value, bool) for value in values) and len(values) == 1:
            name = self._field(part, entity, "bool")
            return Said(name) if values[0] else say_not(Said(name))
        if all(isinstance(value, int | float) for value in values):
            name = self._field(part, entity, "number")
            return say_any([say_comparison(Said(name), "==", say_number(v)) for v in values])
        return say_one_of(Said(self._field(part, entity, "string")), [str(v) for v in values])

    def _is_switched(self, part: Part, entity: str) -> bool:
        return entity.partition(".")[0] in _SWITCHED and not part.get("attribute")

    def _field(
        self, part: Part, entity: str, kind: str, words: dict[str, bool] | None = None
    ) -> str:
        attribute = part.get("attribute").text()
        name = entity.partition(".")[2]
        key = f"{entity}.{attribute}" if attribute else entity
        field = f"{name}_{attribute}" if attribute else name
        return self._draft.on.need_field(key, (field,), kind, words)


def _state(part: Part) -> Any:
    if isinstance(part.value, list | dict):
        raise part.wrong("a state")
    if isinstance(part.value, Tagged):
        raise Unportable(part.text(), "write the value that it stands for")
    if isinstance(part.value, str) and part.value.startswith("input_") and "." in part.value:
        what = f"the state of {part.value}"
        raise Unportable(what, "write the value that is meant")
    return part.value


def _words(part: Part) -> str:
    return " or ".join(repr(each.text()) for each in part.one_or_more())
