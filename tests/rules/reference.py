"""A second, slow and obvious reading of the rule book's language, for comparison with the processor.

It shares no line with `rules/`: conditions are walked as Python's own tree each time, windows are lists
of everything that was ever said, and time goes on in small steps, at each of which everything is
weighed anew. Every time in a book and in a stream has to be a whole multiple of `step_s`.
"""

from collections.abc import Mapping
from typing import Any

from prevenant.domain import Reading
from tests.rules.reference_conditions import Device, Said
from tests.rules.reference_life import SETTLE, Happened, Lives

MOMENT = 1e-3
"""Just after a step: `within 10 s` is over."""


class Reference(Lives):
    """Decides as docs/rule-book.md says."""

    def __init__(
        self,
        types: Mapping[str, Mapping[str, Any]],
        rules: Mapping[str, Mapping[str, Any]],
        zone: str,
        step_s: float,
    ) -> None:
        super().__init__(types, rules, zone)
        self.step_s, self.now = step_s, 0.0

    def run(self, readings: list[Reading], until: float) -> list[Happened]:
        """Take all readings, and let time pass until `until`."""
        self.now = readings[0].received_at if readings else until
        for reading in readings:
            self.pass_time(reading.received_at)
            self.take(reading)
        self.pass_time(until)
        return sorted(self.happened)

    def pass_time(self, until: float) -> None:
        """Weigh everything at each step up to `until`, and just after each."""
        while self.now < until:
            begin = self.now
            offsets = {MOMENT, SETTLE, SETTLE + MOMENT, self.step_s}
            for offset in sorted(one for one in offsets if one <= self.step_s):
                self.weigh_all(begin + offset)
            self.now = begin + self.step_s

    def weigh_all(self, now: float) -> None:
        """Let time do its work on everything at `now`, in the order in which timers end."""
        for device in sorted(self.devices.values(), key=lambda d: (d.type, d.name)):
            self.weigh(device, now, (device.time(now), now), is_reading=False)
            for name in sorted(self.rules_on(device)):
                self.end_holding_back(name, device, now)
                self.end_hold(name, device, now)
            self.weigh(device, now, (device.time(now), now), is_reading=False, answers=True)
            silent_after = self.types[device.type].get("silent_after")
            if silent_after and now - device.heard_at >= silent_after and not device.silent:
                device.silent = True
                self.weigh(device, now, (device.time(now), now), is_reading=False)
                self.weigh_site(device, now)

    def take(self, reading: Reading) -> None:
        """Take one reading."""
        key = (reading.type, reading.device_id)
        device = self.devices.get(key)
        values = {n: getattr(reading.values, n) for n in self.types[reading.type]["fields"]}
        now, at = reading.received_at, reading.observed_at
        if device is None:
            device = self.devices[key] = Device(reading.type, reading.site_id, reading.device_id)
        elif at < device.said[-1].at:
            if not device.is_put_back(at, now):
                return
            at = max(now, device.said[-1].at)
        else:
            device.behind = []
        before = device.said[-1] if device.said else None
        repeated = before is not None and (before.at, before.values) == (at, values)
        device.said.append(Said(at, now, values, repeated))
        if before is None or at > device.clock[0]:
            device.clock = (at, now)
        device.heard_at, device.silent = now, False
        self.weigh(device, now, (at, now), is_reading=True)
        self.weigh_neighbours(device, now)
        self.weigh_site(device, now)

    def weigh_site(self, cause: Device, now: float) -> None:
        """Weigh the other devices of a site: a number of theirs may be another."""
        for device in list(self.devices.values()):
            if device is not cause and device.site == cause.site:
                self.weigh(device, now, (device.time(now), now), is_reading=False)

    def weigh_neighbours(self, cause: Device, now: float) -> None:
        """Weigh the other devices of a site whose `near` may be answered."""
        for device in sorted(self.devices.values(), key=lambda d: (d.type, d.name)):
            if device is not cause and device.site == cause.site:
                self.weigh(device, now, (device.time(now), now), is_reading=False, answers=True)
