"""When cases of one workflow are a storm."""

import msgspec


class Storm(msgspec.Struct, frozen=True):
    """When cases of one workflow are so many that they are a storm, and who is told of it."""

    cases: int = 50
    within_s: float = 60.0
    tell: str = "dispatcher"
    """A role, or `on-call:NAME`."""
