"""Fixtures: servers for the session, and a world for a story."""

import gc
import itertools
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from prevenant import auditing, parts
from prevenant.settings import Settings
from prevenant.store import Store, _make_engine
from prevenant.stream import hearing
from simulators import broker as ports
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.mailbox import Mailbox
from tests.engines import Engines
from tests.moved_clock import MovedClock
from tests.servers import (
    Broker,
    Databases,
    Files,
    make_database,
    make_tables,
    running_broker,
    running_postgres,
)
from tests.world import World

ROOT = Path(__file__).parents[1]
TRACED = {"rules", "workflows"}
"""The folders of tests that count for the coverage of `rules/` and `workflows/`."""

# Where a change is judged, by the same examples each time; elsewhere by new ones.
settings.register_profile(
    "untimed",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")
"""A busy machine fails no test."""


def pytest_configure(config: pytest.Config) -> None:
    """Give each process that shares the suite ports of its own, of those that it chooses from."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        chance = random.Random(worker["testrunuid"])
        number = int(worker["workerid"].removeprefix("gw"))
        share = len(ports._FREE_PORTS) // worker["workercount"]
        begin = chance.randrange(len(ports._FREE_PORTS)) + number * share
        ports._turns = itertools.count(begin)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the suite: its tests wait for servers a third of the time."""
    del config
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trace the tests of what is measured alone: elsewhere it takes a quarter of their time."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] not in TRACED:
            item.add_marker("no_cover")


_NAMES = (f"prevenant_{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the developer's own reach a test, and no log its output."""
    import os  # noqa: PLC0415  only here

    for name in [name for name in os.environ if name.startswith("PREVENANT_")]:
        monkeypatch.delenv(name)
    # Not the usual ones: to draw one traceback with all its variables takes them seconds.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )


@pytest.fixture(autouse=True)
def _own_garbage() -> Iterator[None]:
    """Let an engine leave what stands by now to itself until its test ends, and no longer."""
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


@pytest.fixture
def clock() -> MovedClock:
    """Return a clock that shows Monday, 10 o'clock in Paris."""
    return MovedClock()


@pytest.fixture(scope="session", autouse=True)
def _no_proxies() -> Iterator[None]:
    """Let no thread look for proxies in the environment, where commands and pytest write beside it.

    Whoever goes through the variables while another takes one away fails: tests call this machine alone.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in ("requests.sessions", "requests.utils"):
            patch.setattr(f"{module}.get_environ_proxies", lambda *_a, **_k: {})
        yield


@pytest.fixture(scope="session", autouse=True)
def _lent_engines() -> Iterator[None]:
    """Let the stores of one test after another have the same engine, with what it has compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prevenant.store._make_engine", Engines(_make_engine).lend)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run one PostgreSQL for the session."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: str) -> Databases:
    """Return the databases of that PostgreSQL."""
    return Databases(postgres)


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with all tables, to copy: to make them takes a quarter of a second."""
    path = tmp_path_factory.mktemp("tables") / "prevenant.db"
    make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'prevenant.db'}"
    return make_database(request.getfixturevalue("postgres"), next(_NAMES))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Lend a database with all tables, once of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    with request.getfixturevalue("databases").lent() as url:
        yield url


@pytest.fixture(scope="session")
def files(tables: Path) -> Files:
    """Return the SQLite files of the session."""
    return Files(tables)


@pytest.fixture
def sqlite_url(files: Files) -> Iterator[str]:
    """Lend a SQLite store with all tables."""
    with files.lent() as path:
        yield f"sqlite:///{path}"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """Return a store with all tables."""
    store = Store(database_url)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Run mosquitto."""
    with running_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def carrier(clock: MovedClock) -> Iterator[Carrier]:
    """Run a carrier whose phones answer when the story says so."""
    carrier = Carrier(clock).start()
    yield carrier
    carrier.stop()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server."""
    mailbox = Mailbox().start()
    yield mailbox
    mailbox.stop()


@pytest.fixture
def world(
    tmp_path: Path,
    clock: MovedClock,
    database_url: str,
    broker: Broker,
    carrier: Carrier,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Run an engine with the shipped rule book, among the people and places of the demo."""
    monkeypatch.setattr(hearing, "_BACKLOG_S", 0.0)
    # On a busy machine a part takes longer to end, and would work on in the database of the next test.
    monkeypatch.setattr(parts, "PATIENCE", timedelta(seconds=60))
    # A clock that leaps past a deadline makes nothing late that the audit should call lost.
    monkeypatch.setattr(auditing, "LATE", timedelta(days=1))
    address = f"127.0.0.1:{free_port()}"
    settings = Settings(
        mqtt_url=broker.url,
        database_url=database_url,
        journal=tmp_path / "journal.db",
        models=tmp_path / "models",
        tasks=tmp_path / "tasks",
        http=address,
        public_url=f"http://{address}",
        twilio_account_sid=carrier.account,
        twilio_auth_token=SecretStr(carrier.token),
        twilio_from="+33939980000",
        twilio_base_url=carrier.url,
        smtp_url=SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
        email_from="service@prevenant.example",
        email_webhook_secret=SecretStr("mail-secret"),
        readings_webhook_secret=SecretStr("readings-secret"),
        webhook_networks="127.0.0.0/8",
        admin_token=SecretStr("admin"),
        session_lasts="3650d",
        session_idle="3650d",
    )
    carrier.inbound_url = f"http://{address}/webhooks/twilio/sms"
    world = World(settings, clock, broker, carrier, mailbox)
    yield world
    world.stop()
