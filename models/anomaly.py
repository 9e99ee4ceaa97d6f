"""Anomaly without labels: a detector that learns each device as it goes, one setting for all.

Nothing is trained and nothing is looked up ahead: a value is judged by what the same device has said
before. Fields are judged apart (`models.anomaly_track`) and taken together for the device, each being
believed less the more of them there are. The score is `1 / (1 + n)`, where n is how many values as rare
are to be expected in a history as long as the one remembered. At a half, it is the rarest so far.

Once it has raised its voice, it is quiet for a while, and speaks again only of something much rarer. It is
not quiet for good: a second fault behind one that goes on has to be heard.
"""

from collections.abc import Mapping, Sequence
from math import isfinite, log10
from typing import Any, NamedTuple

from models.anomaly_state import Remembered
from models.anomaly_tail import PEAKS
from models.anomaly_track import NOTHING, Surprise, Track

ALARMING = 0.5
"""The score that says anomaly, the same for all devices and fields."""
_LOUD = log10(PEAKS)
"""The evidence of that score."""
_QUIET_SHARE = 0.05
"""After an alarm it is quiet for a twentieth of what it has seen, within these numbers of readings."""
_QUIET_LEAST, _QUIET_MOST = 50, 800
_RARER = 1.5
"""In logarithms to base 10, how much rarer something has to be to break the quiet."""
_HUSHED = 0.5
"""What evidence is worth while quiet."""


class Anomaly(NamedTuple):
    """What is said of one reading of one device."""

    score: float
    """From 0 to 1; `ALARMING` and more is an anomaly."""
    expected: float | None
    low: float | None
    high: float | None
    """Of the field that stands out most: what was expected, and where nine in ten values lie."""
    field: str
    """The field that stands out most; empty where none does."""
    cause: str
    """What stands out of it, as `models.anomaly_track` names it; empty where nothing does."""
    scores: tuple[float, ...]
    """Of each field by itself, which is never quiet."""


class _Device(Remembered):
    """What is remembered of one device."""

    __slots__ = ("at", "count", "last", "loud", "loud_at", "tracks")

    def __init__(self, fields: int, *, calendar: bool) -> None:
        self.tracks = [Track(calendar=calendar) for _ in range(fields)]
        self.at = -float("inf")
        self.count = 0
        self.loud, self.loud_at = 0.0, -_QUIET_MOST
        self.last = Anomaly(0.0, None, None, None, "", "", (0.0,) * fields)

    def hush(self, evidence: float) -> float:
        """Return what is said aloud of evidence."""
        if evidence < _LOUD:
            return evidence
        quiet = max(_QUIET_LEAST, min(_QUIET_SHARE * self.count, _QUIET_MOST))
        if self.count - self.loud_at < quiet and evidence < self.loud + _RARER:
            return _HUSHED * _LOUD
        self.loud, self.loud_at = evidence, self.count
        return evidence


class Detector:
    """Scores readings of any number of devices that have the same fields.

    Each device's state is its own, of constant size. A value that is missing or not finite says nothing; a
    reading not later than the device's last changes nothing and gets the last answer again.
    """

    def __init__(self, fields: Sequence[str], *, calendar: bool = True) -> None:
        """Score these fields; `calendar` is whether times are seconds since 1970 (else cycles)."""
        self.fields = tuple(fields)
        self.calendar = calendar
        self.devices: dict[str, _Device] = {}

    def score(self, device_id: str, at: float, values: Mapping[str, float | None]) -> Anomaly:
        """Take in a reading, and say how rare it is."""
        device = self.devices.get(device_id)
        if device is None:
            device = _Device(len(self.fields), calendar=self.calendar)
            self.devices[device_id] = device
        if at <= device.at:
            return device.last
        device.at = at
        device.count += 1
        surprises = [
            NOTHING if value is None or not isfinite(value) else track.see(at, value)
            for track, value in zip(device.tracks, map(values.get, self.fields), strict=True)
        ]
        device.last = self._take_together(device, surprises)
        return device.last

    def snapshot(self) -> dict[str, Any]:
        """Return all that is remembered, as plain values."""
        return {
            "fields": list(self.fields),
            "calendar": self.calendar,
            "devices": {name: device.snapshot() for name, device in self.devices.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what another detector remembered of the same fields; others are begun anew."""
        self.devices = {}
        if state["fields"] != list(self.fields) or state["calendar"] != self.calendar:
            return
        for name, its in state["devices"].items():
            device = _Device(len(self.fields), calendar=self.calendar).restore(its)
            *rest, scores = its["last"]
            device.last = Anomaly._make([*rest, tuple(scores)])
            self.devices[name] = device

    def forget(self, device_id: str) -> None:
        """Drop what is remembered of a device."""
        self.devices.pop(device_id, None)

    def _take_together(self, device: _Device, surprises: Sequence[Surprise]) -> Anomaly:
        if len(surprises) == 1:
            (most,) = surprises
            together = most.evidence
            field = self.fields[0] if most.cause else ""
            aloud = device.hush(together)
            return Anomaly(_score(aloud), *most[2:], field, most.cause, (_score(together),))
        heard = [(one.evidence, i) for i, one in enumerate(surprises) if one.evidence]
        if not heard:
            return Anomaly(0.0, None, None, None, "", "", (0.0,) * len(surprises))
        together = sum(evidence * evidence for evidence, _ in heard) ** 0.5
        together = max(0.0, together - log10(len(surprises)))
        _, first = max(heard)
        most = surprises[first]
        scores = tuple(_score(one.evidence) for one in surprises)
        aloud = device.hush(together)
        return Anomaly(_score(aloud), *most[2:], self.fields[first], most.cause, scores)


def _score(evidence: float) -> float:
    return 1 / (1 + PEAKS * 10**-evidence) if evidence else 0.0
