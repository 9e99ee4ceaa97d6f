"""What devices have sent, wherever it is kept: to be looked at, not to decide by."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ingest.history import Coverage, Span, find_last, read_device, read_newer
from ingest.history_pages import Arrived, Found, Place, read_page
from ingest.journal_file import Batch
from prevenant.domain import DeviceType, Reading

_LOOKS_EVERY_S = 5.0


class Past(Protocol):
    """Where devices' readings are found again. Raises JournalError where they cannot be read."""

    looks_every_s: float
    """So often somebody who follows a device looks, although nothing rings."""

    def read(
        self, device_type: DeviceType, device_id: str, span: Span, coverage: Coverage
    ) -> Iterator[Reading]:
        """Yield what a device observed in a span, as it arrived; `coverage` says how far that is all."""

    def page(
        self,
        device_type: DeviceType,
        device_id: str,
        arrived: Arrived,
        limit: int,
        before: Place | None = None,
    ) -> Found:
        """Return at most `limit` readings of a device, from before a place on, the newest first."""

    def newer(
        self, device_type: DeviceType, device_id: str, after: int
    ) -> tuple[int, Sequence[Batch]]:
        """Return up to which batch there is anything, and what came after the one numbered `after`."""

    def last(self, device_type: DeviceType, device_id: str) -> int:
        """Return the number of the newest batch."""

    def explain(self, why: str) -> str:
        """Return what to say to somebody outside where nothing can be read, and why."""

    def close(self) -> None:
        """Give back what is held."""


class JournalPast:
    """The past of devices in a journal, which may be another process's."""

    looks_every_s = _LOOKS_EVERY_S

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(
        self, device_type: DeviceType, device_id: str, span: Span, coverage: Coverage
    ) -> Iterator[Reading]:
        """Yield what a device observed in a span, as it arrived."""
        return read_device(self._path, device_type, device_id, span, coverage)

    def page(
        self,
        device_type: DeviceType,
        device_id: str,
        arrived: Arrived,
        limit: int,
        before: Place | None = None,
    ) -> Found:
        """Return at most `limit` readings of a device, from before a place on, the newest first."""
        return read_page(self._path, device_type, device_id, arrived, limit, before)

    def newer(
        self, device_type: DeviceType, device_id: str, after: int
    ) -> tuple[int, Sequence[Batch]]:
        """Return up to which batch there is anything, and what came after the one numbered `after`."""
        del device_type, device_id
        batches = read_newer(self._path, after)
        return (batches[-1].seq if batches else after), batches

    def last(self, device_type: DeviceType, device_id: str) -> int:
        """Return the number of the newest batch; 0 in an empty journal."""
        del device_type, device_id
        return find_last(self._path)

    def explain(self, why: str) -> str:
        """Return what to say without a journal; where that would be is nobody's business outside."""
        del why
        return "no journal can be read in this process: ask one with the role `listen`"

    def close(self) -> None:
        """Do nothing: each look opens the file for itself."""
