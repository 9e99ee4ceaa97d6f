"""The states of a detector model of AWS IoT Events, and the ways between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from rules.importing.carried import Unportable
from rules.importing.iot_conditions import is_message
from rules.importing.iot_expressions import (
    Function,
    IotExpression,
    IotExpressionError,
    Literal,
    conjuncts_of,
    parse_iot_expression,
)
from rules.importing.source import Part


@dataclass(frozen=True, slots=True)
class Transition:
    """A way from one state to another."""

    part: Part
    name: str
    target: str
    nodes: tuple[IotExpression, ...]
    """What has to hold, beside the timer."""
    timer: str = ""
    """The timer that has to have run out."""
    problem: Unportable | None = None
    """Why its condition cannot be read."""
    timers: tuple[tuple[str, float], ...] = ()
    """Timers that it starts, with their seconds."""


@dataclass(frozen=True, slots=True)
class State:
    """A state with the ways out of it."""

    part: Part
    name: str
    transitions: tuple[Transition, ...]
    events: tuple[Transition, ...]
    """What a message may bring about without leaving it."""
    timers: dict[str, float]
    """Timers that run from when it is entered, in seconds."""
    renewed: dict[str, float | None]
    """Timers that every message starts anew; None: with the seconds that they had."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one state leads to another: by a condition, and as long as it has to hold."""

    by: Transition
    through: State | None
    """The state in which the time passes."""
    hold_s: float
    target: str


def read_states(definition: Part) -> dict[str, State]:
    """Return the states of a model by name, in their order."""
    states = (_read_state(part) for part in definition.get("states").items())
    return {state.name: state for state in states}


def ways_from(state: State, states: dict[str, State], back_to: str = "") -> Iterator[Way]:
    """Yield the ways out of a state by a condition; with `back_to` only those that end there.

    A state that only a timer leaves forwards is no end of its own: its time is how long the
    condition has to hold.
    """
    for by in state.transitions:
        through = states.get(by.target)
        if through is None or by.timer or through.name == state.name:
            continue
        running = {**through.timers, **dict(by.timers)}
        later = [
            t
            for t in through.transitions
            if t.timer in running
            and t.target in states
            and t.target not in {state.name, through.name}
        ]
        if back_to and through.name != back_to:
            later = [t for t in later if t.target == back_to]
            if not later:
                continue
        if later and through.name != back_to:
            yield Way(by, through, running[later[0].timer], later[0].target)
        else:
            yield Way(by, None, 0.0, through.name)


def actions_of(part: Part) -> Iterator[tuple[str, Part]]:
    """Yield the actions of an event with what kind they are: `sns`, `setVariable`, …."""
    for action in part.get("actions").items():
        for kind, each in action.parts():
            yield kind[:1].lower() + kind[1:], each


def _read_state(part: Part) -> State:
    entry, inputs = part.get("onEnter"), part.get("onInput")
    timers = {t: s for event in entry.get("events").items() for t, s in _started_by(event) if s}
    renewed: dict[str, float | None] = {}
    events = tuple(_read_transition(each) for each in inputs.get("events").items())
    for event in events:
        is_always = event.problem is None and all(is_message(node) for node in event.nodes)
        renewed.update(_started_by(event.part) if is_always else ())
    return State(
        part,
        part.get("stateName").text(),
        tuple(_read_transition(each) for each in inputs.get("transitionEvents").items()),
        events,
        timers,
        renewed,
    )


def _read_transition(part: Part) -> Transition:
    nodes, timer, problem = _read_condition(part)
    return Transition(
        part,
        part.get("eventName").text(),
        part.get("nextState").text(),
        nodes,
        timer,
        problem,
        tuple((name, seconds) for name, seconds in _started_by(part) if seconds),
    )


def _read_condition(part: Part) -> tuple[tuple[IotExpression, ...], str, Unportable | None]:
    """Return what a condition asks, the timer that it waits for, and why it cannot be read."""
    text = part.get("condition").text("true")
    try:
        nodes = conjuncts_of(parse_iot_expression(text))
    except IotExpressionError as error:
        what = f"its condition cannot be read: {error}"
        return (), "", Unportable(what, "mend the condition")
    timer = ""
    for node in nodes:
        match node:
            case Function("timeout", (Literal(str() as name),)):
                timer = name
    kept = tuple(
        node for node in nodes if not (isinstance(node, Function) and node.name == "timeout")
    )
    return kept, timer, None


def _started_by(part: Part) -> Iterator[tuple[str, float | None]]:
    """Yield the timers that an event starts, with their seconds where it sets them."""
    for kind, action in actions_of(part):
        if kind == "setTimer":
            seconds = action.get("seconds", "durationExpression").number()
            yield action.get("timerName").text(), seconds
        elif kind == "resetTimer":
            yield action.get("timerName").text(), None
