"""Positions over MQTT: technicians' phones say where they are, beside the readings of devices.

They have sessions of their own with the brokers, so that no reading waits for them. Of each technician the
latest is kept in memory and written every few seconds.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import structlog

from ingest.mqtt import Frame
from prevenant.clock import Clock, Wakeup, from_epoch
from prevenant.crm.positions import Heard, Verdict, record_positions
from prevenant.errors import StoreUnavailable
from prevenant.store import Store, in_chunks

log = structlog.get_logger()

_EVERY = timedelta(seconds=5)
_MOST = 200_000
"""So many technicians wait at most; more would be somebody inventing names."""
_MOST_NAMED = 500
_NAMED_AGAIN = timedelta(hours=1)
_MAX_BYTES = 4_096
_SPARED = ("will", "session_expiry", "qos")


class _Plain(msgspec.Struct):
    latitude: float
    longitude: float
    observed_at: datetime | None = None
    accuracy: float = 0.0


class _OwnTracks(msgspec.Struct):
    lat: float
    lon: float
    tst: float | None = None
    acc: float = 0.0


class _Kind(msgspec.Struct):
    kind: str = msgspec.field(default="", name="_type")


class Positions:
    """Takes frames from the listeners in their threads, and writes in another."""

    def __init__(self, store: Store, clock: Clock, topic: str) -> None:
        self._store = store
        self._clock = clock
        self._levels = topic.split("/")
        self._latest: dict[str, Heard] = {}
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._wakeup = Wakeup()
        self._named: dict[tuple[str, str], datetime] = {}
        """When a technician's refused position was last in the log, by technician and reason."""
        self.refused = 0
        """How many positions were not believed, or not readable."""

    @property
    def subscription(self) -> str:
        """What to subscribe to."""
        return "/".join("+" if level == "{technician}" else level for level in self._levels)

    def take(self, frames: Sequence[Frame]) -> None:
        """Remember the latest position of each technician; costs a dictionary entry each."""
        now = self._clock.now()
        for topic, payload, _ in frames:
            name = self._technician(topic)
            if not name:
                continue
            try:
                heard = read_position(payload, now)
            except ValueError as error:
                self._refuse(name, str(error), now)
                continue
            if heard is not None:
                self._keep(name, heard)

    def _keep(self, name: str, heard: Heard) -> None:
        with self._changing:
            known = self._latest.get(name)
            if known is None and len(self._latest) >= _MOST:
                return
            if known is None or heard.observed_at > known.observed_at:
                self._latest[name] = heard

    def _technician(self, topic: bytes) -> str:
        levels = topic.decode(errors="replace").split("/")
        if len(levels) != len(self._levels):
            return ""
        pairs = zip(self._levels, levels, strict=True)
        return next((given for wanted, given in pairs if wanted == "{technician}"), "")

    def run(self) -> None:
        """Write every few seconds until `stop`."""
        due = self._clock.now() + _EVERY
        while not self._stopping.is_set():
            self._wakeup.wait(self._clock, due)
            if self._clock.now() >= due:
                self.write()
                due = self._clock.now() + _EVERY

    def stop(self) -> None:
        """End `run`; what was not written yet comes again."""
        self._stopping.set()
        self._wakeup.ring()

    def write(self) -> int:
        """Write what was heard since the last time; return how many were believed."""
        with self._changing:
            latest, self._latest = self._latest, {}
        taken = 0
        for names in in_chunks(list(latest)):
            some = {name: latest[name] for name in names}
            now = self._clock.now()
            try:
                with self._store.write() as session:
                    verdicts = record_positions(session, some, now)
            except StoreUnavailable as error:
                log.error("positions wait", reason=str(error))
                for name, heard in some.items():
                    self._keep(name, heard)
                continue
            taken += sum(verdict.taken for verdict in verdicts.values())
            self._name_refused(verdicts, now)
        return taken

    def _name_refused(self, verdicts: Mapping[str, Verdict], now: datetime) -> None:
        for name, verdict in verdicts.items():
            if not verdict.taken:
                self._refuse(name, verdict.reason, now)

    def _refuse(self, name: str, reason: str, now: datetime) -> None:
        """Say once an hour why a technician's position is not believed."""
        self.refused += 1
        kind = (name[:100], reason.split(":", maxsplit=1)[0][:20])
        named_at = self._named.get(kind)
        if named_at is None or now - named_at >= _NAMED_AGAIN:
            if len(self._named) >= _MOST_NAMED:
                self._named.clear()
            self._named[kind] = now
            log.warning("a position is not believed", technician=name[:100], reason=reason)


def read_position(payload: bytes, now: datetime) -> Heard | None:
    """Return the position in a payload: `latitude`, `longitude` …, or OwnTracks' own JSON.

    None where OwnTracks tells of something else. Raises ValueError with what is expected.
    """
    if len(payload) > _MAX_BYTES:
        message = f"a position of {len(payload)} bytes is too long"
        raise ValueError(message)
    try:
        kind = msgspec.json.decode(payload, type=_Kind).kind
        if kind and kind != "location":
            return None
        if kind:
            own = msgspec.json.decode(payload, type=_OwnTracks)
            at = now if own.tst is None else from_epoch(own.tst)
            return Heard(own.lat, own.lon, at, own.acc)
        plain = msgspec.json.decode(payload, type=_Plain)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        message = (
            'this is no position: send {"latitude": 47.3, "longitude": 5.0, "observed_at": "…Z"}, '
            "or OwnTracks' JSON"
        )
        raise ValueError(message) from None
    at = plain.observed_at or now
    if at.tzinfo is None:
        message = "observed_at has no offset: write 2026-05-04T08:00:00Z"
        raise ValueError(message)
    return Heard(plain.latitude, plain.longitude, at, plain.accuracy)


def position_urls(urls: Sequence[str]) -> list[str]:
    """Return the brokers' addresses for sessions of our own beside those of the readings."""
    return [_own_url(url) for url in urls]


def _own_url(url: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    options = {name: value for name, value in query.items() if name not in _SPARED}
    options["client_id"] = f"{query.get('client_id', 'prevenant')}-positions"
    options |= {"qos": "0", "session_expiry": "1m"}
    return urlunsplit(parts._replace(query=urlencode(options)))
