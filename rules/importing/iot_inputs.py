"""The inputs of a model of AWS IoT Events, and the device type that they become."""

from collections.abc import Sequence

from rules.importing.carried import Carried, CarriedType
from rules.importing.iot_expressions import IotExpression, references_of
from rules.importing.names import name_type, write_path
from rules.importing.source import Part


def title_of(part: Part, key: str) -> str:
    """Return the name that a model has under `key`, here or in its configuration."""
    configuration = part.get("detectorModelConfiguration")
    for each in (part.get(key), configuration.get(key)):
        if isinstance(each.value, str) and each.value:
            return str(each.value)
    return part.label or "model"


def find_type(
    part: Part, title: str, nodes: Sequence[IotExpression], carried: Carried
) -> CarriedType:
    """Return the device type of the inputs that expressions name, keyed as the model says."""
    inputs = inputs_of(nodes)
    configuration = part.get("detectorModelConfiguration")
    key = (part.get("key") or configuration.get("key")).text()
    wanted = inputs[0] if len(inputs) == 1 else title
    name = name_type(wanted, ())
    identity = write_path(key.split(".")) if key else ""
    for one in carried.types:
        if (one.name, one.identity) == (name, identity):
            return one
    check = (
        f"the key {key} names the device" if key else "the model has no key: it is about one device"
    )
    name = name_type(wanted, {one.name for one in carried.types})
    made = CarriedType(name, part.place, check, identity=identity)
    carried.types.append(made)
    return made


def inputs_of(nodes: Sequence[IotExpression]) -> list[str]:
    """Return the inputs that expressions name, in their order."""
    references = (one for node in nodes for one in references_of(node))
    return list(dict.fromkeys(str(r.steps[0]) for r in references if r.of == "input" and r.steps))
