"""The self-audit of a process, with the heartbeat that its settings ask for."""

from datetime import timedelta

from prevenant.clock import Clock
from prevenant.heartbeat import Heartbeat
from prevenant.settings import Settings
from prevenant.store import Store
from workflows.audit import LATE
from workflows.auditor import Auditor


def make_auditor(settings: Settings, store: Store, clock: Clock) -> Auditor:
    """Return the auditor, with the heartbeat that the settings ask for."""
    every = timedelta(seconds=settings.heartbeat_every_s)
    heartbeat = Heartbeat(settings.heartbeat_url.get_secret_value(), every)
    # On a faster clock the machine is as slow as ever: what is late there is later.
    return Auditor(store, clock, heartbeat.beat, LATE * max(1.0, settings.clock_speed))
