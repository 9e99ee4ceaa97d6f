"""The shapes in which the same engine runs, around one broker and a clock that a test moves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import paho.mqtt.client as paho
from pydantic import SecretStr
from sqlmodel import SQLModel, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from notify.message import Delivery
from prevenant.app import Engine
from prevenant.clock import epoch_seconds
from prevenant.crm.importing import import_folder
from prevenant.on_kafka import Deciding, Listening, make_process_on_kafka
from prevenant.roles import CONSOLE, DECIDE, ENGAGE, LISTEN, ROUTE
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import CaseEvent
from prevenant.worker import Worker, make_worker
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.fleet import connect, take_leave
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until
from tests.world import DEMO_DATA
from workflows.tables import Case

_PATIENCE_S = 60.0
_QUIET_LOOKS = 8
"""So many looks in a row find nothing to do, before a moment counts as over."""
_PARTITIONS = 4


class Process(Protocol):
    """An engine, or one process of several."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Shape:
    """One engine, in one process or in many; what is asked of it is the same."""

    clock: MovedClock
    store: Store
    devices: paho.Client
    processes: Sequence[Process]
    frames: Callable[[], int]
    """How many frames were decided on."""
    decided_until: Callable[[], float]
    """Up to when timers have run and alarms are written, in seconds since 1970."""
    published: int = field(default=0)

    def say(self, topic: str, payload: bytes) -> None:
        """Let a device say something, and wait until all that follows at this moment is done."""
        self.devices.publish(topic, payload, qos=1).wait_for_publish(_PATIENCE_S)
        self.published += 1
        wait_until(lambda: self.frames() >= self.published, "decision", _PATIENCE_S)
        self.settle()

    def let_pass(self, span: timedelta) -> None:
        """Let the time pass, and wait until all that is due then is done."""
        self.clock.advance(seconds=span.total_seconds())
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is left to do at this moment."""
        now = epoch_seconds(self.clock.now())
        wait_until(lambda: self.decided_until() >= now, "timers", _PATIENCE_S)
        quiet = 0

        def is_quiet() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if self._pending() == 0 else 0
            return quiet >= _QUIET_LOOKS

        wait_until(is_quiet, "quiet", _PATIENCE_S)

    def _pending(self) -> int:
        now = self.clock.now()
        with self.store.read() as session:
            return sum(
                session.exec(query).one()
                for query in (
                    _count(CaseEvent).where(col(CaseEvent.heard_at).is_(None)),
                    _count(Case).where(col(Case.due_at) <= now),
                    _count(Delivery)
                    .where(col(Delivery.state).in_(["queued", "sending", "uncertain", "sent"]))
                    .where(or_(col(Delivery.next_at).is_(None), col(Delivery.next_at) <= now))
                    .where(col(Delivery.channel).in_(["sms", "voice"])),
                )
            )

    def stop(self) -> None:
        """End every process, the last first."""
        take_leave(self.devices)
        for process in reversed(self.processes):
            process.stop()
        threads = [
            thread
            for process in self.processes
            if isinstance(process, Engine | Worker)
            for thread in process._parts._threads
        ]
        wait_until(lambda: not any(thread.is_alive() for thread in threads), "end of all parts")
        self.store.close()


def _count(table: type[SQLModel]) -> SelectOfScalar[int]:
    return select(func.count()).select_from(table)


def make_settings(
    folder: Path, broker: Broker, carrier: Carrier, database_url: str, kafka_url: str = ""
) -> Settings:
    """Return the settings that all processes of a shape have in common."""
    address = f"127.0.0.1:{free_port()}"
    carrier.inbound_url = f"http://{address}/webhooks/twilio/sms"
    return Settings(
        mqtt_url=f"{broker.url}?client_id={folder.name}",
        database_url=database_url,
        journal=folder / "journal.db",
        models=folder / "models",
        http=address,
        public_url=f"http://{address}",
        twilio_account_sid=carrier.account,
        twilio_auth_token=SecretStr(carrier.token),
        twilio_from="+33939980000",
        twilio_base_url=carrier.url,
        admin_token=SecretStr("admin"),
        kafka_url=kafka_url,
        kafka_partitions=str(_PARTITIONS),
    )


@contextmanager
def running(
    settings: Settings, clock: MovedClock, broker: Broker, make: Callable[..., Shape]
) -> Iterator[Shape]:
    """Run a shape with the people and places of the demo."""
    store = Store(settings.database_url)
    store.upgrade()
    with store.write() as session:
        import_folder(session, DEMO_DATA)
    with ExitStack() as stack:
        shape = make(settings, clock, store, connect(broker.url))
        stack.callback(shape.stop)
        yield shape


def in_one_process(
    settings: Settings, clock: MovedClock, store: Store, devices: paho.Client
) -> Shape:
    """Return everything in one process."""
    engine = Engine(settings, clock)
    engine.start()
    wait_until(engine.listening.is_set, "subscription")
    return _around_engine(engine, [engine], clock, store, devices)


def in_roles(settings: Settings, clock: MovedClock, store: Store, devices: paho.Client) -> Shape:
    """Return an engine that listens and decides, and a process for each other role."""
    engine = Engine(settings, clock, frozenset({LISTEN, DECIDE}))
    workers = [make_worker(settings, frozenset({role}), clock) for role in (ROUTE, ENGAGE, CONSOLE)]
    processes: list[Process] = [engine, *workers]
    for process in processes:
        process.start()
    wait_until(engine.listening.is_set, "subscription")
    return _around_engine(engine, processes, clock, store, devices)


def on_kafka(settings: Settings, clock: MovedClock, store: Store, devices: paho.Client) -> Shape:
    """Return two processes that decide, one that listens, and one for all else."""
    roles = [{DECIDE}, {DECIDE}, {LISTEN}, {ROUTE, ENGAGE, CONSOLE}]
    processes = [make_process_on_kafka(settings, frozenset(some), clock) for some in roles]
    for process in processes:
        process.start()
    listening = processes[2].find(Listening)
    assert listening is not None
    deciding = [process.find(Deciding) for process in processes[:2]]
    hosts = [one.host for one in deciding if one is not None]
    wait_until(listening.listeners.connected.is_set, "subscription")
    wait_until(
        lambda: [len(host.decided_until) for host in hosts] == [_PARTITIONS // 2] * 2,
        "partitions dealt out",
    )

    def decided_until() -> float:
        found = {number: at for host in hosts for number, at in host.decided_until.items()}
        return min(found.values()) if len(found) == _PARTITIONS else 0.0

    def frames() -> int:
        return sum(host.frames for host in hosts)

    return Shape(clock, store, devices, processes, frames, decided_until)


def _around_engine(
    engine: Engine,
    processes: Sequence[Process],
    clock: MovedClock,
    store: Store,
    devices: paho.Client,
) -> Shape:
    host, advance, decided = engine.host, engine.host.decider.advance, 0.0

    def advance_and_note(until: float) -> None:
        nonlocal decided
        advance(until)
        # Whoever writes alarms has been given all that was due by now.
        decided = until

    host.decider.advance = advance_and_note  # type: ignore[method-assign]

    def decided_until() -> float:
        until = decided
        return until if host._writer.is_idle() else 0.0

    return Shape(clock, store, devices, processes, lambda: host.frames, decided_until)
