"""Times as a page by link says them: to the day and the minute, in the reader's zone and language."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from babel.numbers import format_decimal

_LOCALES = {"en": "en_GB"}
"""Where a language alone does not say how times are written."""

_FAR = 10.0


class Times:
    """Says times to one reader."""

    def __init__(self, zone: ZoneInfo, language: str, now: datetime) -> None:
        self._zone = zone
        self._locale = _LOCALES.get(language, language)
        self._today = now.astimezone(zone).date()

    def clock(self, at: datetime) -> str:
        """14:30."""
        text: str = format_time(at.astimezone(self._zone), "short", locale=self._locale)
        return text.replace("\u202f", " ")

    def hours(self, start: datetime, end: datetime) -> str:
        """14:30 to 16:30, with a dash."""
        return f"{self.clock(start)} \N{EN DASH} {self.clock(end)}"

    def day(self, at: datetime) -> str:
        """Monday 4 May."""
        text: str = format_date(at.astimezone(self._zone), "EEEE d MMMM", locale=self._locale)
        return text

    def km(self, km: float) -> str:
        """4.2 km."""
        number: str = format_decimal(round(km, 1 if km < _FAR else 0), locale=self._locale)
        return f"{number} km"

    def is_today(self, at: datetime) -> bool:
        """Return whether that is today where the reader is."""
        return at.astimezone(self._zone).date() == self._today

    def is_tomorrow(self, at: datetime) -> bool:
        """Return whether that is tomorrow where the reader is."""
        return at.astimezone(self._zone).date() == self._today + timedelta(days=1)
