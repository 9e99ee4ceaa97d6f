"""The story of a case as it is shown: day by day, a message once with all that became of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

_MESSAGE = "message."
_TALK = ("message.", "reply", "desk.", "person.", "acknowledged", "confirmed", "survey")
_READINGS = ("alarm.", "device.", "model.")
VIEWS = ("all", "talk", "readings", "decisions")
"""Parts of a story that can be looked at alone: what was said, what devices and models said, the rest."""


@dataclass(slots=True)
class Line:
    """One line: what happened, and what belongs to it."""

    kind: str
    at: datetime
    time: str
    summary: str
    quote: str = ""
    candidates: Sequence[str] = ()
    deliveries: Sequence[Mapping[str, Any]] = ()
    """Of a message: each attempt, with its state."""
    later: list[tuple[str, str]] = field(default_factory=list)
    """What became of a message afterwards: the time, and in words."""

    @property
    def family(self) -> str:
        """The first word of its kind, which gives it its tone."""
        return self.kind.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Day:
    """The lines of one day, in the zone of the page."""

    day: date
    lines: list[Line]


def tell_story(
    entries: Iterable[Mapping[str, Any]],
    messages: Iterable[Mapping[str, Any]],
    zone: ZoneInfo,
    view: str = VIEWS[0],
) -> list[Day]:
    """Return a story by days, oldest first; of a message its first line, with its later ones in it."""
    deliveries = {one["id"]: one["deliveries"] for one in messages}
    told: dict[int, Line] = {}
    days: dict[date, list[Line]] = {}
    for entry in entries:
        number = entry["detail"].get("message") if entry["kind"].startswith(_MESSAGE) else None
        if number in told:
            told[number].later.append((entry["time"], entry["summary"]))
            continue
        if not _belongs(entry["kind"], view):
            continue
        line = _line_of(entry, deliveries.get(number, ()))
        if number is not None:
            told[number] = line
        days.setdefault(line.at.astimezone(zone).date(), []).append(line)
    return [Day(day, lines) for day, lines in days.items()]


def _line_of(entry: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]]) -> Line:
    detail = entry["detail"]
    return Line(
        entry["kind"],
        datetime.fromisoformat(entry["at"]),
        entry["time"],
        entry["summary"],
        quote=str(detail.get("text") or detail.get("said") or ""),
        candidates=tuple(map(str, detail.get("candidates", ()))),
        deliveries=deliveries,
    )


def _belongs(kind: str, view: str) -> bool:
    if view == "talk":
        return kind.startswith(_TALK)
    if view == "readings":
        return kind.startswith(_READINGS)
    if view == "decisions":
        return not kind.startswith((*_TALK, *_READINGS))
    return True
