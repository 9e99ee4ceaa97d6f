"""Detector models and alarm models of AWS IoT Events."""

from collections.abc import Iterator
from typing import Any

from prevenant.errors import ConfigurationError
from rules.importing.carried import (
    Carried,
    CarriedRule,
    Draft,
    Unportable,
    Unported,
    lost_rule,
)
from rules.importing.iot_alarms import carry_alarm_model
from rules.importing.iot_conditions import IotConditions
from rules.importing.iot_expressions import (
    Operation,
    negated,
)
from rules.importing.iot_inputs import find_type, inputs_of, title_of
from rules.importing.iot_states import State, Transition, Way, actions_of, read_states, ways_from
from rules.importing.names import name_rule
from rules.importing.source import Part, read_json_source, read_yaml_source
from rules.importing.wording import Said, say_any, say_time

DIFFERS = ("IoT Events takes a part of || with a missing value as false; here it is unknown.",)

_INNER_ACTIONS = frozenset({"setTimer", "resetTimer", "clearTimer", "setVariable"})
"""Actions that change nothing outside the model."""
_SILENCE = "device-silent"


def import_iot_events(text: str, source: str) -> Carried:
    """Carry over the models of a file. Raises ConfigurationError where it holds none."""
    is_json = text.lstrip().startswith(("{", "["))
    document = read_json_source(text, source) if is_json else read_yaml_source(text, source)
    carried = Carried("models of AWS IoT Events", source, DIFFERS)
    found = False
    for part in _models_in(document):
        found = True
        if part.has("alarmRule"):
            carry_alarm_model(part, carried)
        else:
            _Model(part, carried).carry()
    if not found:
        message = (
            f"{source} holds no model of AWS IoT Events: save what describe-detector-model or "
            "describe-alarm-model prints, or the CloudFormation template"
        )
        raise ConfigurationError(message)
    return carried


def _models_in(document: Part) -> Iterator[Part]:
    for part in document.one_or_more():
        if not isinstance(part.value, dict):
            continue
        if part.has("resources"):
            for name, resource in part.get("resources").parts():
                kind = resource.get("type").text() if isinstance(resource.value, dict) else ""
                if kind in {"AWS::IoTEvents::DetectorModel", "AWS::IoTEvents::AlarmModel"}:
                    yield resource.get("properties").labelled(name)
        elif part.has("detectorModel"):
            yield part.get("detectorModel")
        elif part.has("detectorModelDefinition") or part.has("alarmRule") or part.has("states"):
            yield part


class _Model:
    """Carries over one detector model: a rule for each way from its normal state into another."""

    def __init__(self, part: Part, carried: Carried) -> None:
        self._title = title_of(part, "detectorModelName")
        self._part = part = part.labelled(self._title)
        is_whole = part.has("detectorModelDefinition")
        definition = part.get("detectorModelDefinition") if is_whole else part
        self._carried = carried
        self._states = read_states(definition)
        name = definition.get("initialStateName").text()
        self._normal = self._states.get(name)
        nodes = [
            n for s in self._states.values() for e in (*s.transitions, *s.events) for n in e.nodes
        ]
        self._inputs = inputs_of(nodes)
        self._on = find_type(part, self._title, nodes, carried)
        self._seen: set[str] = set()
        """States that a rule stands for."""

    def carry(self) -> None:
        normal = self._normal
        if normal is None:
            why = Unportable("the initial state is missing", "mend initialStateName")
            self._carried.rules.append(lost_rule(self._name(""), self._part.place, why))
            return
        normal = self._pass_start(normal)
        self._seen.add(normal.name)
        if not normal.transitions:
            self._carry_events(normal)
        groups: dict[tuple[str, float], list[Way]] = {}
        for way in ways_from(normal, self._states):
            groups.setdefault((way.target, way.hold_s), []).append(way)
        timed = [t for t in normal.transitions if t.timer]
        several = len(groups) + len(timed) > 1
        for (target, _), ways in groups.items():
            name = self._name(target if several else "")
            self._carried.rules.append(self._carry_ways(name, normal, ways))
        for transition in timed:
            name = self._name(transition.target if several else "")
            self._carried.rules.append(self._carry_timeout(name, normal, transition))
        for state in self._states.values():
            if state.name not in self._seen:
                why = Unportable(
                    f"the state {state.name} is not entered from {normal.name}",
                    "write levels: for a worse state, or a rule of its own",
                )
                self._carried.rules.append(lost_rule(self._name(state.name), state.part.place, why))
        self._note_actions()

    def _pass_start(self, normal: State) -> State:
        """Return the state behind one that is only left once, when a device is first heard."""
        targets = {t.target for t in normal.transitions}
        following = self._states.get(next(iter(targets))) if len(targets) == 1 else None
        if following is None or following.name == normal.name or not following.transitions:
            return normal
        ways = [t.target for state in self._states.values() for t in state.transitions]
        if normal.name in ways:
            return normal
        self._seen.add(normal.name)
        note = Unported(
            normal.part.place,
            f"the state {normal.name} is passed over, since nothing leads back to it",
            "nothing has to be done: here a device needs no start",
            alters=False,
        )
        self._carried.asides.append(note)
        return following

    def _carry_ways(self, name: str, normal: State, ways: list[Way]) -> CarriedRule:
        first = ways[0]
        draft = Draft(first.by.part.place, self._on)
        conditions = IotConditions(draft, self._inputs)
        alarm = self._states[first.target]
        self._seen |= {alarm.name, *(way.through.name for way in ways if way.through)}
        try:
            with draft.on_trial():
                when = say_any([self._say(way.by, conditions) for way in ways])
                opposite = self._opposite(ways, conditions)
                for way in ways:
                    self._note_waiting(way, normal, conditions, draft)
                clearing = self._clearing(alarm, normal, opposite, conditions, draft)
        except Unportable as error:
            texts = [way.by.part.get("condition").text() for way in ways]
            return lost_rule(name, draft.place, error, f"condition: {' || '.join(texts)}")
        hold = say_time(first.hold_s) if first.hold_s else ""
        return draft.finish(name, {"when": when.text, "for": hold, **clearing})

    def _carry_events(self, normal: State) -> None:
        """Make rules of what a state that is never left acts on."""
        acted = [event for event in normal.events if set(_done_by(event.part))]
        for event in acted:
            name = self._name(event.name if acted[1:] else "")
            draft = Draft(event.part.place, self._on)
            draft.lose(
                "IoT Events acts on every message for which the condition holds",
                "mind that here one alarm is there as long as it does",
            )
            try:
                with draft.on_trial():
                    when = self._say(event, IotConditions(draft, self._inputs))
                rule = draft.finish(name, {"when": when.text})
            except Unportable as error:
                text = event.part.get("condition").text()
                rule = lost_rule(name, draft.place, error, f"condition: {text}")
            self._carried.rules.append(rule)
        if not acted:
            why = Unportable(
                "no condition leads out of its initial state", "nothing has to be done"
            )
            self._carried.rules.append(lost_rule(self._name(""), self._part.place, why))

    def _say(self, transition: Transition, conditions: IotConditions) -> Said:
        if transition.problem:
            raise transition.problem
        return conditions.narrowed(transition.nodes, transition.part.place)

    def _opposite(self, ways: list[Way], conditions: IotConditions) -> str:
        """Return the text of the condition's opposite, where all of it can be said."""
        nodes = ways[0].by.nodes
        if len(ways) > 1 or not nodes:
            return ""
        tree = nodes[0]
        for node in nodes[1:]:
            tree = Operation("&&", tree, node)
        try:
            return conditions.condition(negated(tree)).text
        except Unportable:
            return ""

    def _note_waiting(self, way: Way, home: State, conditions: IotConditions, draft: Draft) -> None:
        """Note where the timer of a waiting state does not stop as soon as the condition ends."""
        if way.through is None:
            return
        place = way.through.part.place
        back = [t for t in way.through.transitions if t.target == home.name and not t.timer]
        try:
            opposite = self._opposite([way], conditions)
            same = len(back) == 1 and self._say(back[0], conditions).text == opposite
        except Unportable:
            same = False
        if not same:
            draft.lose(
                f"the state {way.through.name} is not left as soon as the condition ends",
                "mind that here the time begins anew whenever the condition has not held",
                place=place,
            )
        others = {t.target for t in way.through.transitions if not t.timer} - {home.name}
        if others:
            draft.lose(
                f"the ways from {way.through.name} to {', '.join(sorted(others))} are left out",
                "write a rule, or levels:, with its own condition",
                place=place,
            )

    def _clearing(
        self, alarm: State, normal: State, opposite: str, conditions: IotConditions, draft: Draft
    ) -> dict[str, Any]:
        """Return how the alarm of a state clears."""
        if not alarm.transitions:
            return {"latch": True}
        ways = list(ways_from(alarm, self._states, back_to=normal.name))
        self._seen |= {way.through.name for way in ways if way.through}
        gone = {way.by.target for way in ways} | {normal.name}
        for transition in alarm.transitions:
            if transition.target not in gone or transition.timer:
                after = " after a time" if transition.timer else ""
                draft.lose(
                    f"the way from {alarm.name} to {transition.target}{after} is left out",
                    "write levels: for a worse state; an alarm clears by its condition",
                    place=transition.part.place,
                )
        said: list[Said] = []
        for way in ways:
            try:
                with draft.on_trial():
                    said.append(self._say(way.by, conditions))
                    self._note_waiting(way, alarm, conditions, draft)
            except Unportable as error:
                what = f"the way back is left out: {error.what}"
                draft.lose(what, error.remedy, place=way.by.part.place)
        if not said:
            return {}
        holds = {way.hold_s for way in ways}
        if len(holds) > 1:
            draft.lose("ways back with times of their own", "clear_for: is the longest of them")
        clear = say_any(said).text
        return {
            "clear": "" if clear == opposite else clear,
            "clear_for": say_time(max(holds)) if max(holds) else "",
        }

    def _carry_timeout(self, name: str, normal: State, transition: Transition) -> CarriedRule:
        """Return the rule of a timer that messages keep from running out: the silence of a device."""
        place = transition.part.place
        renewed = normal.renewed.get(transition.timer)
        seconds = renewed or normal.timers.get(transition.timer)
        offline = self._states.get(transition.target)
        if transition.timer not in normal.renewed or not seconds or offline is None:
            why = Unportable(
                f"the timer {transition.timer} runs from the beginning of {normal.name}",
                "write a condition with age(FIELD) or for:",
            )
            return lost_rule(name, place, why)
        draft = Draft(place, self._on)
        conditions = IotConditions(draft, self._inputs)
        self._seen.add(offline.name)
        for way in ways_from(offline, self._states):
            if not self._on.fields and not way.by.problem:
                try:
                    with draft.on_trial():
                        conditions.narrowed(way.by.nodes, place)
                except Unportable:
                    continue
        if not self._on.fields:
            why = Unportable(
                "no condition names a field of the device",
                f"write the device type with a field, and silent_after: {say_time(seconds)}",
            )
            return lost_rule(name, place, why)
        self._on.silent_after_s = seconds
        if any(rule.name == _SILENCE for rule in self._carried.rules):
            why = Unportable(
                "there is one alarm device-silent", "silent_after is in the device type"
            )
            return lost_rule(name, place, why)
        return CarriedRule(_SILENCE, place, {"severity": "minor"})

    def _note_actions(self) -> None:
        """List what was done on events: it belongs into a workflow."""
        for state in self._states.values():
            for section in ("onEnter", "onInput", "onExit"):
                handler = state.part.get(section)
                events = [*handler.get("events").items(), *handler.get("transitionEvents").items()]
                for event in events:
                    self._note_event(event)

    def _note_event(self, event: Part) -> None:
        variables = [
            a.get("variableName").text() for k, a in actions_of(event) if k == "setVariable"
        ]
        done = sorted(set(_done_by(event)))
        if variables:
            what = (
                f"the variable{'s' if variables[1:] else ''} {', '.join(dict.fromkeys(variables))}"
            )
            remedy = "a rule keeps no values: write for:, repeat: or a window, as in max(x, 10m)"
            self._carried.asides.append(Unported(event.place, what, remedy, alters=False))
        if done:
            what = f"action{'s' if done[1:] else ''} {', '.join(done)}"
            remedy = "say in a workflow what is done, and name it in the rule"
            self._carried.asides.append(Unported(event.place, what, remedy, alters=False))

    def _name(self, ending: str) -> str:
        taken = {rule.name for rule in self._carried.rules}
        return name_rule(f"{self._title} {ending}".strip(), taken)


def _done_by(event: Part) -> list[str]:
    """Return the kinds of an event's actions that reach beyond the model."""
    return [kind for kind, _ in actions_of(event) if kind not in _INNER_ACTIONS]
