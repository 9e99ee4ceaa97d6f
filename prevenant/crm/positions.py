"""Where technicians are: what was heard of a position, judged, and kept where it is newer.

Only the last position is kept. It comes from the API, from a file, or over MQTT.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from prevenant.crm.tables import CRM, Technician
from prevenant.globe import distance_km
from prevenant.store import wake

_AHEAD = timedelta(minutes=1)
_OLD = timedelta(hours=24)
_COARSE_M = 5_000.0
_FAST_KMH = 1_000.0
_LEAST = timedelta(seconds=10)
"""Two fixes closer together than this say nothing of speed."""


KNOWN = "it is known already"


@dataclass(frozen=True, slots=True)
class Heard:
    """A position as it was told. Degrees, metres."""

    latitude: float
    longitude: float
    observed_at: datetime
    accuracy_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a position is taken, and why not."""

    taken: bool
    reason: str = ""


def judge_position(heard: Heard, known: Heard | None, now: datetime) -> Verdict:
    """Return whether to believe a position, next to the one that is known."""
    reason = ""
    if not (-90 <= heard.latitude <= 90 and -180 <= heard.longitude <= 180):  # noqa: PLR2004
        reason = "there is no such place: latitude is -90 to 90, longitude -180 to 180"
    elif heard.latitude == heard.longitude == 0.0:
        reason = "0, 0 is what a device says that does not know"
    elif heard.observed_at > now + _AHEAD:
        reason = "it is from the future: set the phone's clock"
    elif heard.observed_at < now - _OLD:
        reason = "it is older than 24 hours"
    elif heard.accuracy_m > _COARSE_M:
        reason = f"it is good to {heard.accuracy_m:.0f} m only; {_COARSE_M:.0f} is the most"
    elif known is not None and replace(heard, accuracy_m=known.accuracy_m) == known:
        reason = KNOWN
    elif known is not None and heard.observed_at <= known.observed_at:
        reason = "a newer one is known"
    elif known is not None:
        reason = _judge_speed(heard, known)
    return Verdict(not reason, reason)


def _judge_speed(heard: Heard, known: Heard) -> str:
    span = max(heard.observed_at - known.observed_at, _LEAST)
    km = distance_km((known.latitude, known.longitude), (heard.latitude, heard.longitude))
    kmh = km / (span / timedelta(hours=1))
    return f"nobody moves {km:.0f} km at {kmh:.0f} km/h" if kmh > _FAST_KMH else ""


def record_positions(
    session: Session, heard: dict[str, Heard], now: datetime | None
) -> dict[str, Verdict]:
    """Keep the positions that are believed, by technician; return what was thought of each.

    Without `now`, as in a rehearsal of the past, each is judged at the moment of which it tells.
    """
    query = select(Technician).where(col(Technician.id).in_(list(heard)))
    # Rows may have been written beneath the session.
    found = session.exec(query.execution_options(populate_existing=True))
    technicians = {one.id: one for one in found}
    verdicts = {}
    for name, position in heard.items():
        technician = technicians.get(name)
        if technician is None:
            verdicts[name] = Verdict(taken=False, reason="the CRM has no such technician")
            continue
        verdict = judge_position(position, _known(technician), now or position.observed_at)
        verdicts[name] = verdict
        if verdict.taken:
            technician.position_latitude = position.latitude
            technician.position_longitude = position.longitude
            technician.position_at = position.observed_at
            session.add(technician)
    if any(verdict.taken for verdict in verdicts.values()):
        wake(session, CRM)
    return verdicts


def _known(technician: Technician) -> Heard | None:
    latitude, longitude = technician.position_latitude, technician.position_longitude
    if latitude is None or longitude is None or technician.position_at is None:
        return None
    return Heard(latitude, longitude, technician.position_at)
