"""How the cases of a workflow gather: alarms of a site into one case, many cases into a storm."""

import msgspec

from prevenant.document import Value

_KEYS = {"steps", "group_wait", "storm"}
_STORM_KEYS = {"cases", "within", "tell"}


class Storm(msgspec.Struct, frozen=True):
    """When cases of one workflow are so many that they are a storm, and who is told of it."""

    cases: int = 50
    within_s: float = 60.0
    tell: str = "dispatcher"


def read_joining(value: Value) -> tuple[Value, float, Storm]:
    """Return the steps of a workflow, its `group_wait` in seconds, and what a storm of it is.

    A workflow that says nothing of gathering is its steps.
    """
    if not value.is_mapping:
        return value, 0.0, Storm()
    pairs = value.mapping()
    if pairs is None or not any(name in _KEYS for name, _ in pairs):
        return value, 0.0, Storm()
    pairs = value.mapping(_KEYS)
    steps = (
        pairs.need("steps", "write what is done, as in `steps: [{tell: customer, …}]`")
        if pairs
        else None
    )
    if pairs is None or steps is None:
        return value, 0.0, Storm()
    storm = pairs.get("storm")
    return steps, pairs.duration_s("group_wait", 0.0), _read_storm(storm) if storm else Storm()


def _read_storm(value: Value) -> Storm:
    pairs = value.mapping(_STORM_KEYS)
    if pairs is None:
        return Storm()
    cases, usual = pairs.get("cases"), Storm()
    return Storm(
        (cases.integer(2) or usual.cases) if cases else usual.cases,
        pairs.duration_s("within", usual.within_s),
        pairs.text("tell", usual.tell),
    )
