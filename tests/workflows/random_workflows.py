"""Workflows that nobody would write, and what may happen to them, for Hypothesis."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from prevenant.domain import Severity
from tests.workflows.room import Room
from workflows.definition import (
    FACTS,
    Call,
    Choice,
    Close,
    Command,
    Deadline,
    Dispatch,
    Escalate,
    HandOff,
    If,
    Parallel,
    Question,
    Step,
    Survey,
    Tell,
    Wait,
    Workflow,
)
from workflows.joining import Storm

Steps = list[Step]
Act = Callable[[Room], None]

_TURNS = st.sampled_from([[["sms"]], [["sms"], ["voice"]], [["sms", "voice"]], [["email"]]])
_SPANS = st.sampled_from([1.0, 60.0, 600.0, 7_200.0, 200_000.0])
_ROLES = st.sampled_from(["guard", "chief", "nobody"])
_DEADLINES = st.builds(
    Deadline, st.sampled_from([0.0, 60.0, 3_600.0, 90_000.0]), st.sampled_from(["", "start", "end"])
)
_CONDITIONS = st.sampled_from(
    [
        "severity >= critical",
        "values.temperature > 30",
        "acknowledged or technician.accepted",
        "answer.first == 'a'",
        "answer.call.id == 1",
        "local.day in [mon, sat]",
        "known(technician.name)",
    ]
)
_WHOM = st.sampled_from(["customer", "site-contact", "technician", "guard", "nobody"])
_ASKS = st.sampled_from([None, None, "acknowledge", "confirm", "rating"])
_DEVICES = ("s/fridge", "s/freezer", "s/oven")
_PAYLOADS = st.sampled_from(["on", {"a": [1, None, "{{ case.number }}"]}, "{{ values.none }}"])

_LEAVES: st.SearchStrategy[Step] = st.one_of(
    st.builds(Tell, _WHOM, st.just("plain"), _TURNS, _ASKS, st.none() | _SPANS),
    st.builds(
        Tell,
        _ROLES,
        st.just("plain"),
        _TURNS,
        st.just("acknowledge"),
        st.none(),
        st.integers(1, 3),
    ),
    st.sampled_from(["csat", "nps", "ces"]).map(
        lambda kind: Survey(kind, f"survey_{kind}", [["preferred"]], 600_000.0)
    ),
    st.builds(
        Escalate,
        st.lists(_ROLES, min_size=1, max_size=2, unique=True),
        _SPANS,
        _TURNS,
        st.just("escalation"),
        st.integers(1, 3),
    ),
    st.builds(Command, st.sampled_from(["a/b", "{{ values.none }}"]), _PAYLOADS),
    st.builds(Call, st.just("https://x.example.com/y"), st.none() | _PAYLOADS),
)
_ENDS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Close, st.sampled_from(["done", "other"])),
    st.builds(
        HandOff, st.lists(_ROLES, min_size=1, max_size=2), _SPANS, _TURNS, st.just("escalation")
    ),
)


def _lists(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Steps]:
    return st.builds(
        lambda body, end: [*body, *end],
        st.lists(steps, min_size=1, max_size=3),
        st.lists(_ENDS, max_size=1),
    )


def _holding(inner: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    """Return steps that hold other steps."""
    lists = _lists(inner)
    facts = st.lists(st.sampled_from([*FACTS, "answer.first"]), min_size=1, max_size=2)
    choices = st.tuples(st.just([]) | lists, st.just([]) | lists).map(
        lambda ways: [Choice("a", ["perhaps"], ways[0]), Choice("b", [], ways[1])]
    )
    return st.one_of(
        st.builds(Wait, facts, _DEADLINES, lists),
        st.builds(
            Question,
            st.sampled_from(["first", "second"]),
            _WHOM,
            st.just("access"),
            _TURNS,
            choices,
            _DEADLINES,
            lists,
        ),
        st.builds(
            Dispatch,
            st.sampled_from(["cold", "unheard-of"]),
            st.integers(1, 2),
            st.just(60.0),
            _SPANS,
            lists,
            _TURNS,
            st.integers(1, 3),
            st.booleans(),
            st.none() | _SPANS,
        ),
        st.builds(If, _CONDITIONS, lists, st.just([]) | lists, st.none() | lists),
        st.lists(lists, min_size=2, max_size=3).map(Parallel),
        st.builds(Command, st.just("a/b"), _PAYLOADS, _SPANS, lists),
        st.builds(
            Call, st.just("https://x.example.com/y"), st.none(), st.just("call"), _SPANS, lists
        ),
    )


_STEPS = st.recursive(_LEAVES, _holding, max_leaves=8)

workflows: st.SearchStrategy[Workflow] = st.builds(
    Workflow,
    st.just("visit"),
    st.one_of(
        _lists(_STEPS),
        st.tuples(_lists(_STEPS), _lists(_STEPS)).map(
            lambda both: [Parallel([*both], ["staff", "customer"])]
        ),
    ),
    st.sampled_from([0.0, 0.0, 30.0, 600.0]),
    st.sampled_from([Storm(), Storm(cases=2, tell="guard"), Storm(cases=3, within_s=7_200.0)]),
)


def _reply(who: str, text: str) -> Act:
    def act(room: Room) -> None:
        room.reply(who, text)

    return act


def _deliver(state: str) -> Act:
    def act(room: Room) -> None:
        room.deliver(state, answer={"id": 1})

    return act


def _hear(kind: str) -> Act:
    return lambda room: room.tell_case(kind, by="Zoe", cause="worn", note="so")


def _pass(minutes: int) -> Act:
    return lambda room: room.pass_time(minutes=minutes)


def _level(severity: Severity) -> Act:
    return lambda room: room.level_alarm(severity)


def _again(found: dict[str, Any], severity: Severity, device: str) -> Act:
    def act(room: Room) -> None:
        room.clock.advance(seconds=1)
        room.raise_alarm(severity, found, device)

    return act


def _end(device: str) -> Act:
    return lambda room: room.clear_device(device)


def _away(name: str) -> Act:
    return lambda room: room.tell_case("technician.unavailable", technician=name, reason="ill")


def _clear(room: Room) -> None:
    room.clear_alarm()


acts: st.SearchStrategy[list[Act]] = st.lists(
    st.one_of(
        st.builds(_pass, st.sampled_from([0, 1, 10, 60, 300, 3_000])),
        st.builds(_pass, st.sampled_from([0, 1, 10, 60, 300, 3_000])),
        st.builds(
            _reply,
            st.sampled_from(["ada", "tom", "tim", "guard", "chief"]),
            st.sampled_from(
                [
                    "1",
                    "2",
                    "3",
                    "9",
                    "perhaps",
                    "talk to a person",
                    "I cannot come",
                    "what?",
                    "STOP",
                ]
            ),
        ),
        st.builds(_deliver, st.sampled_from(["delivered", "failed", "undelivered", "suppressed"])),
        st.builds(
            _hear,
            st.sampled_from(
                [
                    "case.acknowledged",
                    "case.taken",
                    "case.resolved",
                    "customer.confirmed",
                    "customer.moved",
                    "customer.cancelled",
                    "work_order.en_route",
                    "work_order.arrived",
                    "work_order.done",
                    "unheard.of",
                ]
            ),
        ),
        st.builds(_level, st.sampled_from(list(Severity))),
        st.builds(
            _again,
            st.sampled_from([{}, {"temperature": 31.0}]),
            st.sampled_from([Severity.MAJOR, Severity.MAJOR, Severity.LIFE_SAFETY]),
            st.sampled_from(_DEVICES),
        ),
        st.builds(_end, st.sampled_from(_DEVICES)),
        st.builds(_away, st.sampled_from(["tom", "tim"])),
        st.just(_clear),
    ),
    max_size=12,
)
