"""When cases of one workflow are a storm."""

import msgspec

from prevenant.document import Value

_STORM_KEYS = {"cases", "within", "tell"}


class Storm(msgspec.Struct, frozen=True):
    """When cases of one workflow are so many that they are a storm, and who is told of it."""

    cases: int = 50
    within_s: float = 60.0
    tell: str = "dispatcher"


def read_storm(value: Value) -> Storm:
    """Return what a storm of a workflow is."""
    pairs = value.mapping(_STORM_KEYS)
    if pairs is None:
        return Storm()
    cases, usual = pairs.get("cases"), Storm()
    return Storm(
        (cases.integer(2) or usual.cases) if cases else usual.cases,
        pairs.duration_s("within", usual.within_s),
        pairs.text("tell", usual.tell),
    )
