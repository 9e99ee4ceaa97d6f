"""The life of alarms as docs/rule-book.md tells it: what the conditions are, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rules.reference_conditions import (
    SEVERITIES,
    Conditions,
    Device,
    both,
    ladder,
    opposite,
    seconds,
)
from tests.rules.reference_hours import Hours

LATE, SETTLE = 5.0, 5.0
Happened = tuple[float, str, str, str, float, int]
"""When, what, rule, device, onset, severity; times in whole hundredths of a second."""


@dataclass
class Alarm:
    """One rule on one device."""

    begun: float | None = None
    """Observed: since when the condition holds; None where it does not."""
    last: tuple[float, float] = (0.0, 0.0)
    """Observed and received time of the last reading that agrees."""
    waits: bool = False
    """The condition is unknown for now."""
    noted: bool = False
    """It has come about, too few times yet."""
    onsets: list[float] = field(default_factory=list)
    level: int = 0
    raised: bool = False
    onset: float = 0.0
    clearing: float | None = None
    lower: tuple[int, float] | None = None
    held_by: str = ""
    held_until: float = 0.0
    raises: list[float] = field(default_factory=list)
    shelved_until: float = 0.0
    ended: float = float("-inf")


@dataclass(frozen=True)
class Weighed:
    """What the conditions of a rule are on a device, and how that is known."""

    when: bool | None
    clear: bool | None
    levels: list[bool | None]
    since: float
    """Observed: when what holds now began to, if it did not before."""
    evidence: tuple[float, float]
    """Observed and received."""
    now: float
    is_reading: bool


class Lives(Conditions):
    """The alarms of a book, and what happens to them."""

    def __init__(
        self,
        types: Mapping[str, Mapping[str, Any]],
        rules: Mapping[str, Mapping[str, Any]],
        zone: str,
    ) -> None:
        super().__init__(types, rules)
        self.alarms: dict[tuple[str, str, str], Alarm] = {}
        self.happened: list[Happened] = []
        self.hours: dict[str, Hours] = {}
        for name, rule in rules.items():
            if "when_open" in rule:
                named = rule["when_open"].get("timezone", "site")
                self.hours[name] = Hours(rule["when_open"], zone if named == "site" else named)

    def rules_on(self, device: Device) -> list[str]:
        """Return the rules about a device, in the book's order."""
        silent = ["device-silent"] if self.types[device.type].get("silent_after") else []
        named = [n for n, rule in self.rules.items() if rule.get("on") == device.type]
        return named + silent

    def weigh(
        self,
        device: Device,
        now: float,
        evidence: tuple[float, float],
        *,
        is_reading: bool,
        answers: bool = False,
    ) -> None:
        """Weigh all rules on a device; with `answers`, those whose `near` is answered only now."""
        if not device.silent:
            device.furthest = max(device.furthest, device.time(now))
        for name in self.rules_on(device):
            since = evidence[0]
            at = evidence
            answered = self.move_nears(name, device, now, evidence, answers=answers)
            if answered is not None:
                since, at = answered, device.clock
            rule = self.rules.get(name, {})
            if name == "device-silent":
                since, at = (now, (now, now)) if device.silent else (since, at)
                when: bool | None = device.silent
                clear: bool | None = not device.silent
                levels: list[bool | None] = []
            else:
                levels = [self.truth(text, name, device, now) for text in ladder(rule).values()]
                if levels:
                    when = False
                    for level in levels:
                        when = opposite(both(opposite(when), opposite(level)))
                else:
                    when = self.truth(rule["when"], name, device, now)
                clear = (
                    self.truth(rule["clear"], name, device, now)
                    if "clear" in rule
                    else opposite(when)
                )
            self.judge(name, device, Weighed(when, clear, levels, since, at, now, is_reading))

    def judge(self, name: str, device: Device, weighed: Weighed) -> None:
        """Let what a rule's conditions are do its work."""
        alarm = self.alarms.setdefault((name, device.type, device.name), Alarm())
        rule = self.rules.get(name, {})
        if alarm.raised:
            self.judge_raised(name, device, weighed)
        elif weighed.when is None:
            alarm.waits = alarm.begun is not None
        elif weighed.when is False:
            if alarm.begun is not None and not alarm.noted:
                onset = self.held_long_enough(name, alarm, alarm.last[0])
                if onset is not None and self.counts(rule, alarm, onset):
                    self.tell(weighed.now, "passed", name, device, onset, alarm)
                    alarm.onsets = []
            alarm.begun, alarm.waits, alarm.noted = None, False, False
        else:
            if alarm.begun is None:
                alarm.begun, alarm.last = max(weighed.since, alarm.ended), weighed.evidence
            agree(alarm, weighed)
            alarm.level = max((n for n, truth in enumerate(weighed.levels) if truth), default=0)
        self.end_hold(name, device, weighed.now)

    def judge_raised(self, name: str, device: Device, weighed: Weighed) -> None:
        """Let what a rule's conditions are do its work on an alarm that is raised."""
        alarm = self.alarms[name, device.type, device.name]
        highest = max((n for n, truth in enumerate(weighed.levels) if truth), default=-1)
        if highest > alarm.level:
            alarm.level, alarm.lower = highest, None
            self.tell(weighed.now, "levelled", name, device, alarm.onset, alarm)
        if weighed.when is True or weighed.clear is False:
            alarm.clearing = None
            if highest in {alarm.level, -1}:
                alarm.lower = None
            elif None in weighed.levels[highest + 1 :]:
                alarm.waits = True
                return
            elif alarm.lower is None or alarm.lower[0] != highest:
                alarm.lower, alarm.last = (highest, weighed.since), weighed.evidence
        elif weighed.when is None or weighed.clear is None:
            alarm.waits = True
            return
        else:
            alarm.lower = None
            if alarm.clearing is None:
                alarm.clearing, alarm.last = weighed.since, weighed.evidence
        agree(alarm, weighed)

    def end_hold(self, name: str, device: Device, now: float) -> None:
        """End what time alone ends, at `now`."""
        rule = self.rules.get(name, {})
        alarm = self.alarms.get((name, device.type, device.name))
        if alarm is None or alarm.waits:
            return
        covered = alarm.last[0] + (now - alarm.last[1])
        """Observed time up to which there is evidence, and what is to be expected without any."""
        is_late = alarm.last[1] - alarm.last[0] > LATE
        if not alarm.raised:
            if alarm.begun is None or alarm.noted or (is_late and now < alarm.last[1] + SETTLE):
                return
            onset = self.held_long_enough(name, alarm, covered)
            if onset is None:
                return
            if self.counts(rule, alarm, onset):
                self.raise_alarm(name, device, alarm, onset, now)
            else:
                alarm.noted = True
        elif alarm.clearing is not None:
            if covered - alarm.clearing >= seconds(rule.get("clear_for", "0s")):
                self.clear_alarm(name, device, alarm, now)
        elif alarm.lower is not None:
            hold_s = seconds(rule.get("clear_for", "0s")) or seconds(rule.get("for", "0s"))
            if covered - alarm.lower[1] >= hold_s:
                alarm.level, alarm.lower = alarm.lower[0], None
                self.tell(now, "levelled", name, device, alarm.onset, alarm)

    def held_long_enough(self, name: str, alarm: Alarm, until: float) -> float | None:
        """Return since when the condition held long enough, within hours where there are any."""
        assert alarm.begun is not None
        hold_s = seconds(self.rules.get(name, {}).get("for", "0s"))
        if name not in self.hours:
            return alarm.begun if until - alarm.begun >= hold_s else None
        for opens, closes in self.hours[name].stretches(alarm.begun, until):
            begin = max(opens, alarm.begun)
            if begin < closes and begin <= until and min(closes, until) - begin >= hold_s:
                return begin
        return None

    @staticmethod
    def counts(rule: Mapping[str, Any], alarm: Alarm, onset: float) -> bool:
        """Return whether the condition came about often enough; take note of it otherwise."""
        if "repeat" not in rule:
            return True
        times, _, within = rule["repeat"].split()
        alarm.onsets = [one for one in alarm.onsets if onset - one <= seconds(within)] + [onset]
        return len(alarm.onsets) >= int(times)

    def raise_alarm(
        self, name: str, device: Device, alarm: Alarm, onset: float, now: float
    ) -> None:
        """Raise an alarm, unless something keeps it back."""
        rule = self.rules.get(name, {})
        alarm.raised, alarm.onset, alarm.onsets = True, onset, []
        alarm.clearing = alarm.lower = None
        alarm.held_by, alarm.held_until = self.inhibitor(name, device), 0.0
        self.tell(now, "raised", name, device, onset, alarm)
        flapping = rule.get("flapping", "10 in 10m, shelve 1h")
        is_life_safety = severity_of(rule, alarm.level) == SEVERITIES.index("life_safety") + 1
        if alarm.held_by or flapping == "never" or is_life_safety:
            return
        if now >= alarm.shelved_until:
            times, _, within, _, shelve = flapping.replace(",", "").split()
            alarm.raises = [one for one in alarm.raises if now - one <= seconds(within)] + [now]
            if len(alarm.raises) >= int(times):
                alarm.raises, alarm.shelved_until = [], now + seconds(shelve)
                self.tell(now, "shelved", name, device, onset, alarm)
        if now < alarm.shelved_until:
            alarm.held_by, alarm.held_until = "flapping", alarm.shelved_until

    def clear_alarm(self, name: str, device: Device, alarm: Alarm, now: float) -> None:
        """End an alarm, and let those that it kept back wait for their hold once more."""
        rule = self.rules.get(name, {})
        kind = "latched" if rule.get("latch") else "cleared"
        self.tell(now, kind, name, device, alarm.onset, alarm)
        alarm.raised, alarm.begun, alarm.clearing, alarm.noted = False, None, None, False
        alarm.ended, alarm.held_by = alarm.onset, ""
        if self.is_active(name, device.site):
            return
        for (other, kind_of, device_name), held in self.alarms.items():
            if held.raised and held.held_by not in {"", "flapping"}:
                there = self.devices[kind_of, device_name]
                if there.site == device.site and not self.inhibitor(other, there):
                    own = self.rules.get(other, {})
                    after = seconds(own.get("for", "0s"))
                    if other == "device-silent":
                        after = self.types[kind_of]["silent_after"]
                    if name in own.get("inhibited_by", ()):
                        held.held_until = now + after

    def end_holding_back(self, name: str, device: Device, now: float) -> None:
        """Tell what was kept back, where its time has come."""
        alarm = self.alarms.get((name, device.type, device.name))
        if alarm is None or not alarm.raised or not alarm.held_until or now < alarm.held_until:
            return
        alarm.held_until = 0.0
        inhibitor = self.inhibitor(name, device)
        if alarm.held_by and not inhibitor:
            self.tell(now, "released", name, device, alarm.onset, alarm)
        alarm.held_by = inhibitor

    def is_active(self, name: str, site: str) -> bool:
        """Return whether an alarm of a rule is raised at a site."""
        return any(
            alarm.raised and self.devices[kind, device].site == site
            for (rule, kind, device), alarm in self.alarms.items()
            if rule == name
        )

    def inhibitor(self, name: str, device: Device) -> str:
        """Return the first rule that keeps an alarm from being told."""
        names = self.rules.get(name, {}).get("inhibited_by", [])
        return next((one for one in names if self.is_active(one, device.site)), "")

    def tell(
        self, now: float, kind: str, name: str, device: Device, onset: float, alarm: Alarm
    ) -> None:
        """Write down what happened."""
        severity = severity_of(
            self.rules.get(name, {}), alarm.level, silent=name == "device-silent"
        )
        self.happened.append((round(now, 2), kind, name, device.name, round(onset, 2), severity))


def agree(alarm: Alarm, weighed: Weighed) -> None:
    """Take note of evidence; a reading observed at the same moment again is no news of it."""
    if alarm.waits or (weighed.is_reading and weighed.evidence[0] != alarm.last[0]):
        alarm.last, alarm.waits = weighed.evidence, False


def severity_of(rule: Mapping[str, Any], level: int, *, silent: bool = False) -> int:
    """Return how much an alarm matters, from 1."""
    levels = list(ladder(rule))
    word = levels[level] if levels else rule.get("severity", "minor" if silent else "major")
    return SEVERITIES.index(word) + 1
