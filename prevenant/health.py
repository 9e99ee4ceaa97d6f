"""How one process is: its parts, the brokers it hears, what waits, and what its self-audit has found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

STARTING, RUNNING, ENDING = "starting", "running", "ending"


@dataclass(frozen=True, slots=True)
class Deciding:
    """What a process knows that has a journal, and decides on what stands there."""

    decided: int
    """How many messages of devices were decided on since the start."""
    behind: int
    """How many are durable and wait to be decided on."""
    unwritten: int
    """How many changes of alarms wait to be written."""
    is_refused: bool
    """Whether the journal cannot be written at present."""
    journal_bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """How one process is."""

    roles: str
    started_at: datetime
    parts: Mapping[str, bool] = field(default_factory=dict)
    """By name: whether it runs."""
    channels: tuple[str, ...] = ()
    """Those that have credentials, and hand over."""
    brokers: Mapping[str, bool] = field(default_factory=dict)
    """By address without a password: whether it is heard. None in a process that does not listen."""
    deciding: Deciding | None = None
    """None in a process without a journal."""
    audited_at: datetime | None = None
    """When the last round of the self-audit began; None in a process without one, and before its first."""
    lost: int | None = None
    """What that round has found and is not healed."""
    state: str = RUNNING
    """`starting` until all its parts run, and `ending` once it was told to stop, or one has ended."""


class Watched(Protocol):
    """A process, to whoever asks how it is."""

    def describe(self) -> Health:
        """Return how it is, as far as it knows by itself."""

    def find_troubles(self) -> Iterable[str]:
        """Return why its parts cannot do their work at present; others may be asked for that."""


@dataclass(frozen=True, slots=True)
class Steady:
    """A process that is as it was described once, and has no troubles."""

    health: Health

    def describe(self) -> Health:
        """Return how it is."""
        return self.health

    def find_troubles(self) -> Iterable[str]:
        """Return nothing."""
        return ()


def find_reasons(health: Health, troubles: Iterable[str], *, has_store: bool) -> list[str]:
    """Return why a process is not ready, each reason once; nothing where it is. Pure."""
    reasons = [] if health.state == RUNNING else [f"the process is {health.state}"]
    reasons += [f"the part {name} has ended" for name, runs in health.parts.items() if not runs]
    if not has_store:
        reasons.append("the store does not answer: check PREVENANT_DATABASE_URL")
    reasons += [
        f"the broker {broker} is not heard: check PREVENANT_MQTT_URL"
        for broker, is_heard in health.brokers.items()
        if not is_heard
    ]
    return list(dict.fromkeys([*reasons, *troubles]))


def size_of(database: Path) -> int:
    """Return how many bytes a SQLite file and what belongs to it take."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(one.stat().st_size for one in files if one.exists())
