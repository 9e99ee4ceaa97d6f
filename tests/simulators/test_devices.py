"""Simulated devices: the same seed gives the same telemetry, and faults show in it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from simulators.faults import DEMO, Fault, Timeline
from simulators.fleet import SimulatedDevice, demo_devices


def live(seed: int, minutes: float, timeline: Timeline = DEMO) -> Iterator[tuple[float, str, Any]]:
    """Yield time, topic and payload of everything that the demo's devices send."""
    for device in demo_devices(seed):
        at = 0.0
        while at < minutes * 60:
            for topic, payload in device.step(at, timeline.active(device.device, at)):
                yield at, topic, payload
            at += device.interval_s


def field(topic: str, name: str, minutes: float, timeline: Timeline) -> list[Any]:
    """Return the values of one field of one device."""
    return [p[name] for _, t, p in live(1, minutes, timeline) if t == topic and name in p]


def test_the_same_seed_gives_the_same_telemetry() -> None:
    assert list(live(1, 30)) == list(live(1, 30))
    assert list(live(1, 30)) != list(live(2, 30))


def test_every_device_speaks_and_everything_is_json() -> None:
    topics = {topic for _, topic, _ in live(1, 30)}
    assert len([t for t in topics if "/badges/" not in t]) == len(demo_devices(1))
    json.dumps([payload for _, _, payload in live(1, 30)])


QUIET = Timeline([])


@pytest.mark.parametrize(
    ("topic", "name", "fault", "is_wrong"),
    [
        ("airport/t2/doors/D14", "open", "held_open", lambda v: "True, True, True" in str(v)),
        ("airport/t2/thermometers/T3", "temperature", "cooling_lost", lambda v: max(v) > 28),
        ("airport/t2/defibrillators/A2", "in_cabinet", "taken", lambda v: False in v),
        ("homes/h04/fridges/fridge", "cabinet", "compressor_lost", lambda v: max(v) > 8),
    ],
)
def test_a_fault_shows_and_its_absence_does_not(
    topic: str, name: str, fault: str, is_wrong: Any
) -> None:
    levels = topic.split("/")
    device = f"{levels[1]}/{levels[3]}"
    broken = Timeline([Fault(device, fault, 60.0, 3_600.0)])
    assert is_wrong(field(topic, name, 60, broken))
    assert not is_wrong(field(topic, name, 60, QUIET))


def test_a_forced_door_opens_without_a_badge() -> None:
    forced = Timeline([Fault("t1/D03", "forced", 600.0, 660.0)])
    sent = [(at, topic) for at, topic, _ in live(1, 11, forced) if 600 <= at < 620]
    assert (600.0, "airport/t1/doors/D03") in sent
    assert (600.0, "airport/t1/badges/B03") not in sent


def test_a_timeline_comes_again() -> None:
    timeline = Timeline([Fault("d", "broken", 10, 20)], cycle_s=100)
    assert timeline.active("d", 15) == timeline.active("d", 115) == {"broken"}
    assert timeline.active("d", 25) == timeline.active("e", 15) == frozenset()
    assert Timeline([Fault("d", "broken", 10, 20)]).active("d", 115) == frozenset()


def test_devices_fit_the_interface() -> None:
    devices: list[SimulatedDevice] = demo_devices(1)
    assert all(device.interval_s > 0 for device in devices)
