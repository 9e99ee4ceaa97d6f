"""Key filters, holds and schedules of ThingsBoard said in the language of a rule book."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rules.importing.carried import Draft, Unportable
from rules.importing.source import Part
from rules.importing.wording import (
    Said,
    say_all,
    say_any,
    say_comparison,
    say_days,
    say_hours,
    say_not,
    say_number,
    say_one_of,
    say_text,
)

_COMPARISONS = {
    "EQUAL": "==",
    "NOT_EQUAL": "!=",
    "GREATER": ">",
    "LESS": "<",
    "GREATER_OR_EQUAL": ">=",
    "LESS_OR_EQUAL": "<=",
}
_PERIODS = {
    "MILLISECONDS": 0.001,
    "SECONDS": 1.0,
    "MINUTES": 60.0,
    "HOURS": 3600.0,
    "DAYS": 86_400.0,
}
_WEEK = 7
_DAY_S = 86_400.0


class ProfileConditions:
    """Says the conditions of one alarm."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def condition(self, part: Part) -> Said:
        """Return the condition that all filters pass; one that cannot be said is left out and noted."""
        filters = part.get("condition").items()
        kept: list[Said] = []
        refused: list[tuple[Part, Unportable]] = []
        for each in filters:
            try:
                with self._draft.on_trial():
                    kept.append(self._filter(each))
            except Unportable as error:
                refused.append((each, error))
        if not kept:
            raise refused[0][1] if refused else Unportable("an empty condition", "add a filter")
        for each, why in refused:
            what = f"a filter is left out: {why.what}"
            self._draft.lose(what, why.remedy, place=each.place)
        return say_all(kept)

    def _filter(self, part: Part) -> Said:
        kind, key = part.get("key").get("type").text(), part.get("key").get("key").text()
        if kind in {"CONSTANT", "ENTITY_FIELD"}:
            what = f"a key of type {kind}"
            raise Unportable(what, "compare a field; device and site are names in a condition")
        if kind == "ATTRIBUTE" or kind.endswith("_ATTRIBUTE"):
            self._draft.lose(
                f"the attribute {key} is taken as a field",
                "see that devices send it, or write its value into the condition",
                place=part.place,
            )
        value_type = part.get("valueType").text()
        if value_type == "DATE_TIME":
            what = f"{key} is a date"
            raise Unportable(what, "compare with age(FIELD), or send seconds")
        return self._predicate(part.get("predicate"), key)

    def _predicate(self, part: Part, key: str) -> Said:
        """Return a filter of the value under `key`. Raises Unportable."""
        operation = part.get("operation").text()
        match part.get("type").text():
            case "COMPLEX":
                inner = [self._predicate(each, key) for each in part.get("predicates").items()]
                if not inner or operation not in {"AND", "OR"}:
                    what = f"a complex filter {operation}"
                    raise Unportable(what, "join filters by AND or OR")
                return say_any(inner) if operation == "OR" else say_all(inner)
            case "NUMERIC" if operation in _COMPARISONS:
                bound = say_number(self._given(part, Part.number))
                return say_comparison(self._field(key, "number"), _COMPARISONS[operation], bound)
            case "BOOLEAN" if operation in {"EQUAL", "NOT_EQUAL"}:
                wanted = bool(self._given(part, _truth)) == (operation == "EQUAL")
                field = self._field(key, "bool")
                return field if wanted else say_not(field)
            case "STRING" if operation in {"EQUAL", "NOT_EQUAL", "IN", "NOT_IN"}:
                return self._text(part, key, operation)
        what = f"the operation {operation} on {key}"
        raise Unportable(what, "compare with == or `in`, or have a field say it")

    def _text(self, part: Part, key: str, operation: str) -> Said:
        value = str(self._given(part, _plain_text))
        if part.get("ignoreCase").value:
            self._draft.lose(
                f"upper and lower case of {key} are told apart here",
                f"write all spellings, as in {key} in ['on', 'ON']",
            )
        field = self._field(key, "string")
        if operation in {"EQUAL", "NOT_EQUAL"}:
            return say_comparison(field, _COMPARISONS[operation], say_text(value))
        said = say_one_of(field, [each.strip() for each in value.split(",")])
        return say_not(said) if operation == "NOT_IN" else said

    def _given(self, part: Part, read: Callable[[Part], Any]) -> Any:
        """Return what a filter compares with; a value of the device's own is noted. Raises Unportable."""
        return given_value(part.get("value"), read, self._draft)

    def _field(self, key: str, kind: str) -> Said:
        return Said(self._draft.on.need_field(key, (key,), kind))


def given_value(part: Part, read: Callable[[Part], Any], draft: Draft) -> Any:
    """Return a fixed value: that of the user, or the default. Raises Unportable where there is none."""
    if not isinstance(part.value, dict):
        value = read(part)
    else:
        value = read(part.get("userValue", "defaultValue"))
        dynamic = part.get("dynamicValue")
        attribute = dynamic.get("sourceAttribute").text()
        if attribute:
            source = dynamic.get("sourceType").text("CURRENT_DEVICE")
            draft.lose(
                f"a value taken from the attribute {attribute} ({source}) is fixed at its default",
                "compare with a field, if the devices send it",
                place=dynamic.place,
            )
    if value is None:
        raise Unportable("a value without a default", "write the value into the condition")
    return value


def read_hold(spec: Part, draft: Draft) -> float:
    """Return how long a condition has to hold, in seconds. Raises Unportable."""
    match spec.get("type").text("SIMPLE"):
        case "SIMPLE":
            return 0.0
        case "DURATION":
            unit = spec.get("unit").text("SECONDS")
            amount = spec.get("value").number()
            if amount is None:
                amount = given_value(spec.get("predicate"), Part.number, draft)
            if unit not in _PERIODS:
                what = f"the unit of time {unit}"
                raise Unportable(what, "write for: and a length of time")
            return float(amount) * _PERIODS[unit]
        case "REPEATING":
            count = spec.get("count").number()
            if count is None:
                count = given_value(spec.get("predicate"), Part.number, draft)
            if count > 1:
                draft.lose(
                    f"it has to hold in {count:g} messages in a row, which is not counted here",
                    "write for:, or count(CONDITION, TIME) for messages within a time",
                    place=spec.place,
                )
            return 0.0
        case kind:
            what = f"a condition of type {kind}"
            raise Unportable(what, "write for: or repeat:")


def read_opening(schedule: Part, draft: Draft) -> dict[str, str]:
    """Return the hours in which a rule is watched, as `when_open`; empty at any time."""
    kind = schedule.get("type").text("ANY_TIME")
    if kind == "ANY_TIME":
        return {}
    if schedule.get("dynamicValue").get("sourceAttribute"):
        draft.lose(
            "hours taken from an attribute are those of the profile",
            "write when_open: in rules of several device types",
            place=schedule.place,
        )
    if kind == "SPECIFIC_TIME":
        days = [int(each.number() or 0) for each in schedule.get("daysOfWeek").items()]
        stretches = {_stretch(schedule): days}
    else:
        stretches = {}
        for item in schedule.get("items").items():
            if item.get("enabled").value:
                day = int(item.get("dayOfWeek").number() or 0)
                stretches.setdefault(_stretch(item), []).append(day)
    if len(stretches) != 1:
        draft.lose(
            "hours that differ by day are left out, so that the rule is watched at any time",
            "write a rule for each, with its own when_open:",
            place=schedule.place,
        )
        return {}
    ((begin_s, end_s), days) = next(iter(stretches.items()))
    days = [day for day in days if 1 <= day <= _WEEK]
    if not days or begin_s == end_s:
        raise Unportable("hours in which it is never watched", "nothing has to be done")
    if begin_s > end_s and len(set(days)) < _WEEK:
        draft.lose(
            "hours after midnight belong to the day of the week on which they are",
            "mind that in when_open: they belong to the day on which they begin",
            place=schedule.place,
        )
    opening = {"days": say_days(days)} if len(set(days)) < _WEEK else {}
    if (begin_s, end_s) != (0.0, _DAY_S):
        opening["hours"] = say_hours(begin_s, end_s)
    return {**opening, "timezone": _zone(schedule.get("timezone"), draft)}


def _zone(part: Part, draft: Draft) -> str:
    name = part.text()
    try:
        return ZoneInfo(name).key if name else "site"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        what = f"the time zone {name}, which is not known, is that of the site here"
        draft.lose(what, "write timezone: and a name such as Europe/Paris", place=part.place)
        return "site"


def _stretch(part: Part) -> tuple[float, float]:
    """Return beginning and end in seconds since midnight; an end of 0 is the end of the day."""
    begin, end = part.get("startsOn").number() or 0.0, part.get("endsOn").number() or 0.0
    return begin / 1000 % _DAY_S, min(end / 1000, _DAY_S) or _DAY_S


def _truth(part: Part) -> bool | None:
    if isinstance(part.value, str):
        return {"true": True, "false": False}.get(part.value.lower())
    return part.value if isinstance(part.value, bool) else None


def _plain_text(part: Part) -> str | None:
    return part.text() if part else None
