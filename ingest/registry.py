"""The device registry: what was ever heard, when, with which values, and whether it is online.

Noting a batch costs one dictionary; rows are written some at a time, several times a second.
What a crash leaves unwritten is written again from the processor's snapshot.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, Session, col, func, select

from prevenant.clock import from_epoch
from prevenant.domain import DeviceType, Presence, Reading
from prevenant.rows import TableRow
from prevenant.tables import add_timeline, utc_column

MOST = 1_000_000
"""How many devices are listed; more would be somebody inventing names."""
_FIRMWARE = ("firmware", "firmware_version")


class HeardDevice(TableRow, table=True):
    """A device that was heard, whether or not the CRM knows it."""

    __tablename__ = "heard_device"

    id: str = Field(primary_key=True)
    type: str
    site_id: str = Field(index=True)
    first_seen_at: datetime = utc_column()
    last_seen_at: datetime | None = utc_column(nullable=True)
    """When its last reading arrived; None where only its status was heard."""
    observed_at: datetime | None = utc_column(nullable=True)
    """When its newest values were observed."""
    values: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    firmware: str = ""
    is_online: bool = True
    presence_at: datetime = utc_column()
    """Since when it is online, or offline."""
    presence_reason: str = ""
    silent_after_s: float = 0.0
    """After so long without a reading it counts as silent; 0 never."""

    def state_at(self, now: datetime) -> str:
        """Return `online`, `offline`, or `silent` where too long nothing came."""
        if not self.is_online:
            return "offline"
        seen = self.last_seen_at
        if self.silent_after_s and seen and (now - seen).total_seconds() > self.silent_after_s:
            return "silent"
        return "online"


class Registry:
    """Collects who was heard since the rows were last written."""

    def __init__(self, device_types: Mapping[str, DeviceType]) -> None:
        self._types = device_types
        self._heard: dict[str, Reading] = {}
        self._presences: dict[str, Presence] = {}
        self._written: list[str] = []
        self.dropped = 0
        """Devices that are not listed, because there were too many."""

    def change_types(self, device_types: Mapping[str, DeviceType]) -> None:
        """Go by the device types of another book from now on."""
        self._types = device_types

    @property
    def count(self) -> int:
        """How many devices wait to be written, at least."""
        return max(len(self._heard), len(self._presences))

    def note(self, readings: Sequence[Reading], presences: Iterable[Presence] = ()) -> None:
        """Take note of the readings and the presences of one batch."""
        self._heard.update({reading.device_id: reading for reading in readings})
        for presence in presences:
            self._presences[presence.device_id] = presence

    def write(
        self, session: Session, newest: Callable[[str, str], Reading | None], most: int
    ) -> int:
        """Write some of the devices that were heard; return how many. `written` then forgets them.

        `newest` gives a device's newest reading, by type and id: the last to arrive may be an older one.
        """
        names = self._written = self._next(most)
        if not names:
            return 0
        query = select(HeardDevice).where(col(HeardDevice.id).in_(names))
        rows = {row.id: row for row in session.exec(query)}
        room = MOST
        if len(rows) < len(names):
            room -= session.exec(select(func.count()).select_from(HeardDevice)).one()
        for name in names:
            row = rows.get(name)
            if row is None:
                if room <= 0:
                    self.dropped += 1
                    continue
                room -= 1
            self._write_device(session, name, row, newest)
        return len(names)

    def written(self) -> None:
        """Forget those whom the last `write` wrote, once it is committed."""
        for name in self._written:
            self._heard.pop(name, None)
            self._presences.pop(name, None)

    def _next(self, most: int) -> list[str]:
        names: list[str] = []
        for some in (self._presences, self._heard):
            for name in some:
                if len(names) >= most:
                    return names
                if some is self._presences or name not in self._presences:
                    names.append(name)
        return names

    def _write_device(
        self,
        session: Session,
        name: str,
        row: HeardDevice | None,
        newest: Callable[[str, str], Reading | None],
    ) -> None:
        heard, presence = self._heard.get(name), self._presences.get(name)
        about = heard or presence
        if about is None or about.type not in self._types:
            return
        arrived = from_epoch(heard.received_at if heard else presence.at if presence else 0.0)
        if row is None:
            row = HeardDevice(
                id=name,
                type=about.type,
                site_id=about.site_id,
                first_seen_at=arrived,
                presence_at=arrived,
                values={},
            )
            add_timeline(session, arrived, "device.heard", f"{name} was heard for the first time")
        row.type, row.site_id = about.type, about.site_id
        row.silent_after_s = self._types[about.type].silent_after_s
        if heard is not None:
            if row.last_seen_at is None or not heard.retained:
                # The broker repeats what it has kept, also of a device that is long gone.
                row.last_seen_at = arrived
            best = newest(heard.type, name) or heard
            row.observed_at = from_epoch(best.observed_at)
            row.values = _values_of(best, self._types[about.type])
            row.firmware = next((str(row.values[f]) for f in _FIRMWARE if f in row.values), "")
        _change_presence(session, row, heard, presence)
        session.add(row)


def _change_presence(
    session: Session, row: HeardDevice, heard: Reading | None, presence: Presence | None
) -> None:
    """Bring the row to the last that is known of whether the device can be heard; tell a change."""
    speaks = heard is not None and not heard.retained
    if presence is not None and (heard is None or not speaks or presence.at >= heard.received_at):
        is_online, at, reason = presence.online, from_epoch(presence.at), presence.reason
    elif speaks and heard is not None:
        is_online, at, reason = True, from_epoch(heard.received_at), "it sent a reading"
    else:
        return
    if is_online == row.is_online:
        row.presence_reason = row.presence_reason or reason
        return
    row.is_online, row.presence_at, row.presence_reason = is_online, at, reason
    word = "online" if is_online else "offline"
    add_timeline(session, at, f"device.{word}", f"{row.id} is {word}: {reason}")


def _values_of(reading: Reading, device_type: DeviceType) -> dict[str, Any]:
    fields = (*device_type.fields, *device_type.predicted)
    found = {field.name: getattr(reading.values, field.attribute, None) for field in fields}
    return {name: value for name, value in found.items() if value is not None}
