"""Opening hours by trying the minutes of each day: the reference's own reading of `when_open`."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Hours:
    """The stretches of a schedule, found by trying the minutes of each day."""

    def __init__(self, when_open: Mapping[str, Any], zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.days = {
            DAYS.index(day[:3])
            for part in when_open.get("days", "mon-sun").split(",")
            for day in days_between(part.strip())
        }
        hours = when_open.get("hours", "00:00-24:00")
        self.hours = [
            tuple(one.split("-")) for one in ([hours] if isinstance(hours, str) else hours)
        ]
        self.known: dict[date, list[tuple[float, float]]] = {}

    def stretches(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Return the opening and closing of every stretch between two instants, joined where they meet."""
        first = datetime.fromtimestamp(begin, self.zone).date() - timedelta(days=2)
        last = datetime.fromtimestamp(end, self.zone).date() + timedelta(days=2)
        found: list[tuple[float, float]] = []
        day = first
        every = []
        while day <= last:
            if day not in self.known:
                self.known[day] = list(self.of_day(day))
            every += self.known[day]
            day += timedelta(days=1)
        for opens, closes in sorted(every):
            if found and opens <= found[-1][1]:
                found[-1] = (found[-1][0], max(closes, found[-1][1]))
            elif opens < closes:
                found.append((opens, closes))
        return found

    def of_day(self, day: date) -> Iterator[tuple[float, float]]:
        """Yield the stretches that begin on a day."""
        if day.weekday() not in self.days:
            return
        for opens, closes in self.hours:
            begin, end = minutes(opens), minutes(closes)
            yield self.instant(day, begin), self.instant(day, end if end > begin else end + 1440)

    def instant(self, day: date, minute: int) -> float:
        """Return the first instant at which clocks show this; if none does, that of an hour later."""
        day += timedelta(days=minute // 1440)
        wanted = (day, minute % 1440 // 60, minute % 60)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        for quarter in range(-16 * 4, 40 * 4):
            at = midnight + quarter * 900.0 + minute % 15 * 60
            local = datetime.fromtimestamp(at, self.zone)
            if (local.date(), local.hour, local.minute) == wanted:
                return at
        return self.instant(day, minute % 1440 + 60)


def minutes(text: str) -> int:
    """Return the minutes since midnight."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def days_between(text: str) -> list[str]:
    """Return the days of `mon-fri`."""
    first, _, last = text.partition("-")
    if not last:
        return [first]
    begin, end = DAYS.index(first), DAYS.index(last)
    return [DAYS[n % 7] for n in range(begin, end + 1 + 7 * (end < begin))]
