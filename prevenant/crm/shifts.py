"""Working hours: `mon-fri 08:00-18:00; sat 09:00-12:00`, in a technician's own time zone."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from prevenant.domain import DAYS

_SHIFT = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)"
)


def parse_shifts(text: str) -> list[dict[str, Any]]:
    """Return shifts as plain values for the store; an end before its start is on the next day.

    `always` means around the clock. Raises ValueError with the form that is expected.
    """
    if text.strip().lower() == "always":
        return [{"days": list(range(7)), "start": "00:00", "end": "24:00"}]
    shifts = []
    for part in filter(None, (part.strip().lower() for part in text.split(";"))):
        match = _SHIFT.fullmatch(part)
        if match is None or match["first"] not in DAYS or (match["last"] or "mon") not in DAYS:
            message = f"{part!r} is no shift: write mon-fri 08:00-18:00, or always"
            raise ValueError(message)
        first = DAYS.index(match["first"])
        last = DAYS.index(match["last"]) if match["last"] else first
        count = (last - first) % 7 + 1
        _minutes(match["start"])
        _minutes(match["end"])
        days = [(first + offset) % 7 for offset in range(count)]
        shifts.append({"days": days, "start": match["start"], "end": match["end"]})
    return shifts


def show_shifts(shifts: Sequence[Mapping[str, Any]]) -> str:
    """Return shifts as `parse_shifts` reads them."""
    texts = []
    for shift in shifts:
        days, hours = list(shift["days"]), f"{shift['start']}-{shift['end']}"
        if len(days) == len(DAYS) and hours == "00:00-24:00":
            texts.append("always")
            continue
        while days:
            run = 1
            while run < len(days) and days[run] == (days[0] + run) % 7:
                run += 1
            first, last = DAYS[days[0]], DAYS[days[run - 1]]
            texts.append(f"{first}-{last} {hours}" if run > 1 else f"{first} {hours}")
            days = days[run:]
    return "always" if "always" in texts else "; ".join(texts)


def is_on_shift(shifts: Sequence[dict[str, Any]], at: datetime, timezone: str) -> bool:
    """Return whether `at` lies within a shift, by the local time of `timezone`."""
    local = at.astimezone(ZoneInfo(timezone))
    minute = local.hour * 60 + local.minute
    yesterday = (local - timedelta(days=1)).weekday()
    for shift in shifts:
        start, end = _minutes(shift["start"]), _minutes(shift["end"])
        if start < end:
            if local.weekday() in shift["days"] and start <= minute < end:
                return True
        elif (local.weekday() in shift["days"] and minute >= start) or (
            yesterday in shift["days"] and minute < end
        ):
            return True
    return False


@lru_cache(maxsize=4_096)
def _minutes(text: str) -> int:
    if text == "24:00":
        return 24 * 60
    moment = time.fromisoformat(text)
    return moment.hour * 60 + moment.minute
