"""Quiet hours: when somebody is not to be disturbed, by the clock on that person's own wall.

Where a contact's time zone is not known (`UTC` is what the CRM holds then), it is quiet as soon as it is
in any of the zones that may be the contact's: that of the site, and those of the number's country or area.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import phonenumbers
import structlog

from prevenant.clock import timezones
from prevenant.daily import parse_daily

log = structlog.get_logger()

_LONGEST = timedelta(hours=24)
"""Where it is quiet for longer in one zone or another, the first of them has to do."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when to when, local time, and in which zones that may be."""

    start: time
    end: time
    zones: tuple[str, ...] = ("UTC",)

    def __str__(self) -> str:
        zones = ", ".join(self.zones[:2]) + (", …" if len(self.zones) > 2 else "")  # noqa: PLR2004
        return f"{self.start:%H:%M}-{self.end:%H:%M} ({zones})"

    def until(self, now: datetime) -> datetime | None:
        """Return when it is quiet no more, or None where it is not quiet now.

        An end that a clock skips in spring comes by as much later, one that it shows twice in autumn
        comes the first time.
        """
        at = now
        while zone := next((one for one in self.zones if self._covers(at, one)), None):
            at = self._end(at, zone)
            if at - now > _LONGEST:
                first = self.zones[0]
                return self._end(now, first) if self._covers(now, first) else None
        return at if at > now else None

    def _covers(self, at: datetime, zone: str) -> bool:
        shown = at.astimezone(_zone(zone)).time()
        if self.start <= self.end:
            return self.start <= shown < self.end
        return shown >= self.start or shown < self.end

    def _end(self, now: datetime, zone: str) -> datetime:
        """Return the first instant behind `now` at which a clock that shows quiet hours has done so."""
        return min(at for at in self._ends(now, zone) if at > now and not self._covers(at, zone))

    def _ends(self, now: datetime, zone: str) -> Iterator[datetime]:
        local = now.astimezone(_zone(zone))
        for days in range(3):
            day = local.date() + timedelta(days)
            for fold in (0, 1):
                end = datetime.combine(day, self.end, _zone(zone)).replace(fold=fold)
                yield end.astimezone(UTC)


def read_quiet_hours(text: str, zones: Sequence[str] = ("UTC",)) -> QuietHours | None:
    """Return the quiet hours that `22:00-07:00` names; None where that is nothing, or cannot be read."""
    if not text:
        return None
    try:
        return QuietHours(*parse_daily(text), tuple(zones) or ("UTC",))
    except ValueError as error:
        # The CRM takes none that cannot be read: these are older, or were written by hand.
        log.warning("quiet hours cannot be read", reason=str(error))
        return None


def possible_zones(own: str, of_site: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the zones in which a contact may be: the own one, or else all that come into question."""
    if _is_known(own):
        return (own,)
    of_numbers = [zone for one in addresses if one.startswith("+") for zone in _zones_of(one)]
    known = dict.fromkeys(zone for zone in (of_site, *of_numbers) if _is_known(zone))
    return tuple(known) or ("UTC",)


def _is_known(zone: str) -> bool:
    return zone != "UTC" and zone in timezones()


@lru_cache(10_000)
def _zones_of(number: str) -> tuple[str, ...]:
    # Only where a zone is missing: the table of all numbers takes its time to load.
    from phonenumbers import timezone  # noqa: PLC0415

    try:
        return tuple(timezone.time_zones_for_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return ()


@lru_cache(1_000)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
