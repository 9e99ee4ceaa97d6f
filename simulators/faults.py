"""Faults on a timeline: what goes wrong with which device, and when."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A device misbehaves in one way from `start_s` to `end_s`, in seconds of its timeline."""

    device: str
    kind: str
    start_s: float
    end_s: float


class Timeline:
    """Faults that come again every `cycle_s`; a cycle of 0 comes once."""

    def __init__(self, faults: Sequence[Fault], cycle_s: float = 0.0) -> None:
        self._faults = faults
        self._cycle_s = cycle_s

    def active(self, device: str, at_s: float) -> frozenset[str]:
        """Return what is wrong with a device at `at_s`."""
        if self._cycle_s:
            at_s %= self._cycle_s
        return frozenset(
            fault.kind
            for fault in self._faults
            if fault.device == device and fault.start_s <= at_s < fault.end_s
        )


_MINUTE = 60.0

DEMO = Timeline(
    [
        Fault("t2/D14", "held_open", 0.5 * _MINUTE, 4 * _MINUTE),
        Fault("t1/D03", "forced", 2 * _MINUTE, 2.5 * _MINUTE),
        Fault("t2/T3", "cooling_lost", 0.0, 50 * _MINUTE),
        Fault("t2/A2", "taken", 3 * _MINUTE, 9 * _MINUTE),
        Fault("h04/fridge", "compressor_lost", 0.0, 85 * _MINUTE),
    ],
    cycle_s=240 * _MINUTE,
)
"""What goes wrong in the demo: each of the use cases, again every four hours."""
