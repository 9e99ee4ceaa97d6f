"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

LOOK_AGAIN_S = 0.02


class MovedClock:
    """Shows the time that it was moved to. Whoever waits for a time looks again every few moments."""

    def __init__(self, at: datetime = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)) -> None:
        self._at = at

    def now(self) -> datetime:
        """Return the time that it was moved to."""
        return self._at

    def seconds_until(self, at: datetime) -> float:
        """Return 0 when `at` has come, else how long to wait before looking again."""
        return 0.0 if at <= self._at else LOOK_AGAIN_S

    def advance(self, **span: float) -> None:
        """Move the time on: `advance(minutes=5)`."""
        self._at += timedelta(**span)
