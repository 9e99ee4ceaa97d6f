"""Automations of Home Assistant: what their numeric and state triggers say."""

from collections.abc import Iterator
from dataclasses import dataclass

from prevenant.errors import ConfigurationError
from rules.importing.carried import (
    Carried,
    CarriedRule,
    CarriedType,
    Draft,
    Unportable,
    Unported,
    lost_rule,
)
from rules.importing.home_assistant_conditions import (
    HomeConditions,
    entities_of,
    kind_of,
    opening_of,
    read_time,
)
from rules.importing.names import name_rule, name_type
from rules.importing.source import Part, read_yaml_source
from rules.importing.wording import Said, say_all, say_plainly, say_time

DIFFERS = (
    "Home Assistant acts when a trigger begins to hold; here the alarm is there as long as it holds.",
    "Each entity is a field of a device: see that one message carries all the fields of its type.",
)

_LIFTED = frozenset({"numeric_state", "state"})


@dataclass(frozen=True, slots=True)
class _Automation:
    """One automation, with the parts that this import reads."""

    part: Part
    triggers: tuple[Part, ...]
    conditions: tuple[Part, ...]
    actions: tuple[Part, ...]

    @property
    def entities(self) -> list[str]:
        """All entities that its triggers and conditions name, in their order."""
        parts = (*(t for t in self.triggers if kind_of(t) in _LIFTED), *self.conditions)
        return list(dict.fromkeys(entity for part in parts for entity in entities_of(part)))


def import_home_assistant(text: str, source: str) -> Carried:
    """Carry over the automations of a file. Raises ConfigurationError where it holds none."""
    document = read_yaml_source(text, source)
    carried = Carried("automations of Home Assistant", source, DIFFERS)
    automations = [_read_automation(part) for part in _automations_of(document, source)]
    types = _make_types(automations, carried)
    for automation in automations:
        _carry_automation(automation, types, carried)
    return carried


def _automations_of(document: Part, source: str) -> Iterator[Part]:
    if isinstance(document.value, list):
        yield from document.items()
        return
    found = document.value is not None and isinstance(document.value, dict)
    if found and ("trigger" in document or "triggers" in document or "use_blueprint" in document):
        yield document
        return
    sections = [
        part
        for name, part in (document.parts() if found else ())
        if name == "automation" or name.startswith("automation ")
    ]
    if not sections:
        message = (
            f"{source} holds no automations: name automations.yaml, a list of automations with "
            "`triggers:` and `actions:`"
        )
        raise ConfigurationError(message)
    for section in sections:
        yield from section.one_or_more()


def _read_automation(part: Part) -> _Automation:
    if not isinstance(part.value, dict):
        raise part.wrong("an automation")
    alias = part.get("alias", "id").text()
    part = part.labelled(alias) if alias else part
    return _Automation(
        part,
        tuple(part.get("triggers", "trigger").one_or_more()),
        tuple(part.get("conditions", "condition").one_or_more()),
        tuple(part.get("actions", "action").one_or_more()),
    )


def _make_types(automations: list[_Automation], carried: Carried) -> dict[str, CarriedType]:
    """Put the entities that occur in one automation into one device type."""
    joined: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for automation in automations:
        members: list[str] = []
        for entity in automation.entities:
            places.setdefault(entity, automation.part.place)
            known = joined.get(entity, [entity])
            members += [one for one in known if one not in members]
        for entity in members:
            joined[entity] = members
    types: dict[str, CarriedType] = {}
    for members in joined.values():
        if members[0] in types:
            continue
        words = [one.partition(".")[2].split("_") for one in members]
        common = list(words[0])
        while common and any(each[: len(common)] != common for each in words):
            common.pop()
        name = name_type("_".join(common or words[0]), {one.name for one in carried.types})
        check = f"publish {', '.join(members)} there, in one JSON message"
        made = CarriedType(name, places[members[0]], check)
        carried.types.append(made)
        types |= dict.fromkeys(members, made)
    return types


def _carry_automation(
    automation: _Automation, types: dict[str, CarriedType], carried: Carried
) -> None:
    """Make a rule of each trigger and each entity that it watches: each of them fires by itself."""
    part = automation.part
    if part.get("use_blueprint"):
        why = Unportable("its triggers are those of a blueprint", "carry over what it expands to")
        carried.rules.append(lost_rule(_name(part, "", carried), part.place, why))
        return
    begun = len(carried.rules)
    watched = [(t, e) for t in automation.triggers for e in _watched_by(t)]
    for trigger, entity in watched:
        several = len({e for _, e in watched}) > 1
        name = _name(part, entity.partition(".")[2] if several else "", carried)
        carried.rules.append(_carry_trigger(automation, trigger, entity, types, name))
    if len(carried.rules) > begun and any(rule.keys for rule in carried.rules[begun:]):
        _note_actions(automation, carried)
    if not automation.triggers:
        why = Unportable("it has no trigger", "nothing has to be done")
        carried.rules.append(lost_rule(_name(part, "", carried), part.place, why))


def _watched_by(trigger: Part) -> list[str]:
    """Return the entities whose change fires a trigger; an empty name where there is none to watch."""
    if not isinstance(trigger.value, dict) or kind_of(trigger) not in _LIFTED:
        return [""]
    return entities_of(trigger.get("entity_id")) or [""]


def _carry_trigger(
    automation: _Automation, trigger: Part, entity: str, types: dict[str, CarriedType], name: str
) -> CarriedRule:
    kind = kind_of(trigger)
    if entity and trigger.get("enabled").value is False:
        why = Unportable("the trigger is switched off", "nothing has to be done")
        return lost_rule(name, trigger.place, why)
    if not entity:
        what = f"a trigger of kind {kind or 'unknown'!r}"
        if kind in _LIFTED:
            what += " without the name of an entity"
        remedy = (
            "triggers of kind numeric_state and state are carried over: write this rule by hand"
        )
        return lost_rule(name, trigger.place, Unportable(what, remedy))
    draft = Draft(trigger.place, types[entity])
    conditions = HomeConditions(draft)
    try:
        with draft.on_trial():
            parts = [conditions.trigger(kind, trigger, entity)]
            hold_s = read_time(trigger.get("for"), draft)
            opening = _add_conditions(automation, conditions, draft, parts)
    except Unportable as error:
        return lost_rule(name, trigger.place, error)
    if automation.part.get("initial_state").value is False:
        draft.lose("the automation is switched off at start", "leave the rule out", alters=False)
    return draft.finish(
        name,
        {
            "when": say_all(parts).text,
            "for": say_time(hold_s) if hold_s else "",
            "when_open": opening,
            "message": say_plainly(automation.part.get("description", "alias").text()),
        },
    )


def _add_conditions(
    automation: _Automation, conditions: HomeConditions, draft: Draft, parts: list[Said]
) -> dict[str, str]:
    """Add what the automation's conditions say to `parts`; return when it is watched."""
    opening: dict[str, str] = {}
    for part in automation.conditions:
        try:
            with draft.on_trial():
                if kind_of(part) == "time" and not opening:
                    opening = opening_of(part)
                else:
                    parts.append(conditions.condition(part))
        except Unportable as error:
            draft.lose(f"a condition is left out: {error.what}", error.remedy, place=part.place)
    if len(parts) > 1 or opening:
        draft.lose(
            "Home Assistant looks at conditions only at the moment of the trigger",
            "mind that here they have to hold as long as the trigger, and may begin to hold later",
        )
    return opening


def _note_actions(automation: _Automation, carried: Carried) -> None:
    names = []
    for action in automation.actions:
        pairs = action.mapping() if isinstance(action.value, dict) else {}
        names.append(str(pairs.get("action") or pairs.get("service") or next(iter(pairs), "?")))
    if names:
        what = f"action{'s' if names[1:] else ''} {', '.join(dict.fromkeys(names))}"
        remedy = "say in a workflow what is done, and name it in the rule"
        carried.asides.append(Unported(automation.part.place, what, remedy, alters=False))


def _name(part: Part, ending: str, carried: Carried) -> str:
    text = f"{part.label or 'automation'} {ending}".strip()
    return name_rule(text, {rule.name for rule in carried.rules})
