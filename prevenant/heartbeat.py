"""The heartbeat: calls an outside watch while all is well, so that its silence is heard there."""

from datetime import datetime, timedelta

import requests
import structlog

log = structlog.get_logger()

_PATIENCE_S = 5.0


class Heartbeat:
    """Calls an address at most once in a while. The address may hold a secret and is never shown."""

    def __init__(self, url: str, every: timedelta) -> None:
        self._url, self._every = url, every
        self._called_at: datetime | None = None
        self._fails = False

    def beat(self, now: datetime) -> None:
        """Call it, if it is time. A watch that does not answer is named once, and called again."""
        if not self._url or (self._called_at and now - self._called_at < self._every):
            return
        self._called_at = now
        try:
            answer = requests.get(self._url, timeout=_PATIENCE_S)
            fault = "" if answer.ok else f"it answers {answer.status_code}"
        except requests.RequestException as error:
            fault = type(error).__name__
        if fault and not self._fails:
            log.error("the heartbeat is not heard; check PREVENANT_HEARTBEAT_URL", reason=fault)
        self._fails = bool(fault)
