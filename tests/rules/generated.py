"""Hypothesis strategies for rule books of every construct, and for streams that try them.

Every time in them is a whole multiple of `step_s`, so that the reference can go on in steps.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from prevenant.domain import Reading
from rules.book import RuleBook
from tests.rules.books import reading

TYPES: dict[str, dict[str, Any]] = {
    "door": {"fields": ["open", "badge", "battery"]},
    "reader": {"fields": ["door", "granted"]},
    "room": {"fields": ["temperature", "wanted", "humidity", "mode"]},
}
NUMBERS = {
    "door": ["battery"],
    "room": ["temperature", "wanted", "humidity"],
}
BOUNDS = {"battery": [10, 20, 25, 50], "humidity": [10, 25, 50], "temperature": [3, 5, 7, 9]}
BOUNDS["wanted"] = BOUNDS["temperature"]
MODES = ["eco", "off", "écrêté"]
SITES = ["s", "t"]


class Grid:
    """Draws times in whole steps."""

    def __init__(self, step_s: int) -> None:
        self.step_s = step_s

    def time(self, *steps: int) -> st.SearchStrategy[str]:
        """Draw a length of time."""
        return st.sampled_from([written(n * self.step_s) for n in steps])

    @property
    def window(self) -> st.SearchStrategy[str]:
        """Draw a window whose panes are whole steps."""
        return self.time(30, 60)


def written(seconds: int) -> str:
    """Return a length of time as an author writes it, now and then in two units."""
    if seconds % 60:
        return f"{seconds // 60}m{seconds % 60}s" if seconds > 60 else f"{seconds}s"
    hours, rest = divmod(seconds, 3600)
    return f"{hours}h{rest // 60}m" if hours and rest else f"{seconds // 60}m"


@st.composite
def windowed(
    draw: st.DrawFn, on: str, name: str, bounds: list[int], grid: Grid
) -> tuple[str, list[int]]:
    """Draw a number over a window, and bounds that it may pass."""
    function = draw(st.sampled_from(["avg", "min", "max", "sum", "stddev", "delta", "rate"]))
    of, of_bounds = name, bounds
    if on == "room" and draw(st.booleans()):
        of, of_bounds = "temperature - wanted", [-2, 1, 2, 3]
    window = draw(grid.window)
    if function == "rate":
        per = draw(st.sampled_from(["", f", {written(10 * grid.step_s)}"]))
        return f"rate({of}, {window}{per})", [-1, 1, 3]
    if function in {"stddev", "delta"}:
        return f"{function}({of}, {window})", [1, 2, 4]
    return f"{function}({of}, {window})", of_bounds


@st.composite
def quantities(draw: st.DrawFn, on: str, grid: Grid) -> tuple[str, list[int]]:
    """Draw a number about devices of a type, and bounds that it may pass."""
    name = draw(st.sampled_from(NUMBERS[on]))
    bounds = BOUNDS[name]
    kinds = ["plain"] * 3 + ["window"] * 4 + ["times", "difference", "site_avg", "last", "modulo"]
    kind = draw(st.sampled_from(kinds))
    if kind == "difference" and on == "room":
        return "temperature - wanted", [-2, 1, 2, 3]
    if kind == "times":
        return f"2 * {name} - 1", [2 * bound for bound in bounds]
    if kind == "modulo":
        return f"{name} % 4", [1, 2, 3]
    if kind == "last":
        return f"last({name}, {draw(grid.time(1, 4, 13))})", bounds
    if kind == "site_avg":
        other = draw(st.sampled_from(["door", "room"]))
        field = draw(st.sampled_from(NUMBERS[other]))
        return f"site_avg({other}, {field})", BOUNDS[field]
    if kind == "window":
        return draw(windowed(on, name, bounds, grid))
    return name, bounds


@st.composite
def comparisons(draw: st.DrawFn, on: str, grid: Grid) -> str:
    """Draw a comparison of numbers: plain, chained, turned round, in a list, with a unit."""
    quantity, bounds = draw(quantities(on, grid))
    first, second = sorted(draw(st.lists(st.sampled_from(bounds), min_size=2, max_size=2)))
    sign = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    form = draw(st.sampled_from(["plain", "plain", "plain", "chain", "turned", "in", "unit"]))
    if form == "chain":
        return f"{first} < {quantity} <= {second}"
    if form == "turned":
        return f"{first} {sign} {quantity}"
    if form == "in" and quantity in BOUNDS:
        return f"{quantity} {draw(st.sampled_from(['in', 'not in']))} [{first}, {second}]"
    if form == "unit" and quantity in {"temperature", "wanted"}:
        return f"{quantity} {sign} {draw(st.sampled_from([41, 50]))} fahrenheit"
    if form == "unit" and quantity in {"battery", "humidity"}:
        return f"{quantity} {sign} {first} percent"
    return f"{quantity} {sign} {first}"


@st.composite
def atoms(draw: st.DrawFn, on: str, grid: Grid) -> str:
    """Draw a condition without `and`, `or`, `not` and `near`."""
    kind = draw(st.sampled_from(["number"] * 4 + ["count", "changed", "age", "own", "site_count"]))
    if kind == "count":
        of = {"door": ["open", "battery < 25", "battery"], "room": ["temperature > 5", "wanted"]}
        counted = draw(st.sampled_from(of[on]))
        return f"count({counted}, {draw(grid.window)}) {draw(st.sampled_from(['>=', '<']))} 2"
    if kind == "changed":
        field, value = draw(
            st.sampled_from(
                {
                    "door": [("open", "true"), ("battery", "10")],
                    "room": [("mode", "'eco'"), ("mode", "'écrêté'"), ("temperature", "9")],
                }[on]
            )
        )
        within = draw(grid.time(2, 13, 30))
        return draw(
            st.sampled_from(
                [f"changed({field}, {within})", f"changed_to({field}, {value}, {within})"]
            )
        )
    if kind == "age":
        field = {"door": "battery", "room": "humidity"}[on]
        return f"age({field}) {draw(st.sampled_from(['>', '>=', '<']))} {draw(grid.time(3, 12))}"
    if kind == "site_count":
        other = draw(
            st.sampled_from(["door, open", "room, temperature > 5", "room, mode == 'écrêté'"])
        )
        return f"site_count({other}) {draw(st.sampled_from(['>=', '<', '==']))} 2"
    if kind == "own" and on == "door":
        return draw(st.sampled_from(["open", "device == 'D1'", "site != 's'", "open == false"]))
    if kind == "own":
        within = draw(grid.time(4, 20))
        forms = ["mode == 'eco'", "mode in ['eco', 'écrêté']", f"last(mode, {within}) == 'off'"]
        forms += ["temperature > wanted", "temperature >= wanted + 2", "'off' != mode"]
        return draw(st.sampled_from([*forms, f"last(mode, {within}) not in ('eco', 'écrêté')"]))
    return draw(comparisons(on, grid))


@st.composite
def conditions(draw: st.DrawFn, on: str, grid: Grid, *, near: bool = True) -> str:
    """Draw a condition."""
    first = draw(atoms(on, grid))
    form = draw(st.sampled_from(["one", "one", "not", "and", "or", "deep", "near", "near"]))
    if form == "not":
        return f"not {first}" if draw(st.booleans()) else f"not ({first})"
    if form in {"and", "or"}:
        return f"{first} {form} {draw(atoms(on, grid))}"
    if form == "deep":
        second, third = draw(atoms(on, grid)), draw(atoms(on, grid))
        return draw(
            st.sampled_from(
                [
                    f"not ({first} and {second}) or {third}",
                    f"({first} or not {second}) and {third}",
                    f"{first} or {second} and not {third}",
                ]
            )
        )
    if form == "near" and near:
        within = draw(grid.time(1, 2))
        asked = draw(
            st.sampled_from(
                ["reader, granted", "reader, granted and door == this.device", f"{on}, {first}"]
                if "(" not in first
                else ["reader, granted", "reader, not granted"]
            )
        )
        return f"{first} and {draw(st.sampled_from(['', 'not ']))}near({asked}, {within})"
    return first


@st.composite
def raising(draw: st.DrawFn, on: str, grid: Grid) -> dict[str, Any]:
    """Draw what raises a rule's alarm: a condition, or one for each level."""
    if draw(st.integers(0, 3)):
        severity = draw(st.sampled_from(["", "", "", "info", "life_safety"]))
        when = {"when": draw(conditions(on, grid))}
        return {**when, "severity": severity} if severity else when
    quantity, bounds = draw(quantities(on, grid))
    chosen = draw(st.sampled_from([["warning", "critical"], ["info", "major", "life_safety"]]))
    steps = sorted({*bounds})[: len(chosen)]
    levels = {word: f"{quantity} > {bound}" for word, bound in zip(chosen, steps, strict=False)}
    if draw(st.booleans()):
        levels[chosen[0]] = draw(conditions(on, grid, near=False))
    return {"levels": levels}


@st.composite
def rules(draw: st.DrawFn, names: Sequence[str], name: str, grid: Grid) -> dict[str, Any]:
    """Draw one rule."""
    on = draw(st.sampled_from(["door", "room"]))
    rule: dict[str, Any] = {"on": on}
    rule |= draw(raising(on, grid))
    if draw(st.booleans()):
        rule["for"] = draw(grid.time(1, 2, 12))
    if draw(st.booleans()):
        rule["clear"] = draw(conditions(on, grid, near=draw(st.booleans())))
    if draw(st.booleans()):
        rule["clear_for"] = draw(grid.time(1, 2, 12))
    if draw(st.integers(0, 3)) == 0:
        rule["repeat"] = f"{draw(st.integers(2, 3))} in {draw(grid.time(12, 40))}"
    if draw(st.integers(0, 3)) == 0:
        rule["latch"] = True
    others = [other for other in names if other != name]
    if others and draw(st.integers(0, 2)) == 0:
        rule["inhibited_by"] = draw(
            st.lists(st.sampled_from(others), min_size=1, max_size=2, unique=True)
        )
    flapping = draw(st.sampled_from(["", "never", "2 in {}, shelve {}", "3 in {}, shelve {}"]))
    if flapping:
        rule["flapping"] = flapping.format(draw(grid.time(20, 60)), draw(grid.time(5, 40)))
    if draw(st.integers(0, 3)) == 0:
        rule["when_open"] = draw(schedules())
    return rule


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    """Draw opening hours around the nights in which clocks are changed."""
    hours = ["01:00-02:30", "22:00-03:00", "02:30-05:00", "00:00-24:00", "03:00-02:00"]
    hours += ["23:30-00:30", "02:15-02:45", "20:00-21:00"]
    drawn = draw(st.lists(st.sampled_from(hours), min_size=1, max_size=2, unique=True))
    return {
        "days": draw(st.sampled_from(["mon-sun", "sat", "sat-sun", "sun, mon", "mon-fri"])),
        "hours": drawn[0] if len(drawn) == 1 else drawn,
        "timezone": draw(st.sampled_from(["site", "Europe/Paris", "America/New_York"])),
    }


@st.composite
def books(draw: st.DrawFn, grid: Grid) -> dict[str, dict[str, Any]]:
    """Draw the rules of a book, by name."""
    names = [f"r{n}" for n in range(draw(st.integers(1, 5)))]
    drawn: dict[str, dict[str, Any]] = {
        name: draw(rules([*names, "device-silent"], name, grid)) for name in names
    }
    if draw(st.booleans()):
        silent: dict[str, Any] = {"severity": "critical"}
        if draw(st.booleans()):
            silent["inhibited_by"] = [draw(st.sampled_from(names))]
        if draw(st.booleans()):
            silent["flapping"] = (
                f"2 in {written(60 * grid.step_s)}, shelve {written(20 * grid.step_s)}"
            )
        drawn["device-silent"] = silent
    return drawn


@st.composite
def streams(draw: st.DrawFn, book: RuleBook, grid: Grid, begin: float) -> list[Reading]:
    """Draw readings with gaps, bursts, late ones, repetitions, and clocks that stand still."""
    step, now = grid.step_s, begin
    made: list[Reading] = []
    for _ in range(draw(st.integers(1, 22))):
        now += step * draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 7, 12, 35]))
        at = now - step * draw(st.sampled_from([0, 0, 0, 0, 0, 1, 4, 30 if step < 60 else 8]))
        kind = draw(st.sampled_from(["door", "door", "room", "room", "reader"]))
        site, device = draw(st.sampled_from(SITES[:1] * 3 + SITES)), draw(st.sampled_from("12"))
        name = f"{site}/{kind[0].upper()}{device}"
        one = reading(book, kind, name, at, now, **draw(values_of(kind)))
        made.append(one)
        again = draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2]))
        if again:
            now += step * (again - 1)
            made.append(reading_again(one, now))
    return made


def reading_again(one: Reading, now: float) -> Reading:
    """Return a reading that arrives once more."""
    return Reading(one.type, one.site_id, one.device_id, one.observed_at, now, one.values)


@st.composite
def values_of(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Draw what a device says; now and then something is missing."""
    every: dict[str, dict[str, list[Any]]] = {
        "door": {"open": [True, False, None], "badge": ["b", None], "battery": [10, 22, 50, None]},
        "reader": {"door": ["D1", "D2"], "granted": [True, False]},
        "room": {
            "temperature": [2, 4.5, 5, 8, 10, None],
            "wanted": [4, 6, None],
            "humidity": [10, 30, 60, None],
            "mode": [*MODES, None],
        },
    }
    drawn = {name: draw(st.sampled_from(values)) for name, values in every[kind].items()}
    return {name: float(v) if type(v) is int else v for name, v in drawn.items()}
