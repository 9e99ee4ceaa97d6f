"""What a process is asked at: the console's address, or one for probes alone where it has no console."""

import socket

from prevenant.api.probes import make_probes
from prevenant.clock import Clock
from prevenant.health import Watched
from prevenant.roles import CONSOLE
from prevenant.serving import Server, bind
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.website import bind_pages


class Probes(Server):
    """`/healthz`, `/readyz` and `/metrics` of a process without the console, and nothing else."""

    def __init__(
        self, listener: socket.socket, store: Store, clock: Clock, process: Watched
    ) -> None:
        super().__init__(make_probes(store, clock, process), listener)


def bind_for(settings: Settings, roles: frozenset[str]) -> socket.socket | None:
    """Take the address of a process: the console's, or that of its probes; None where it has neither."""
    if CONSOLE in roles:
        return bind_pages(settings)
    return bind(settings.probes, "PREVENANT_PROBES") if settings.probes else None
