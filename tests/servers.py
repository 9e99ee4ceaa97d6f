"""Real servers for tests: mosquitto and PostgreSQL, on free ports of 127.0.0.1."""

import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import psycopg
import pytest

from prevenant.store import Store
from simulators.broker import find_mosquitto, free_port, start_broker

_PATIENCE_S = 60.0


def missing(what: str, command: str) -> None:
    """Skip a test whose server is not there and say how to get it; fail it where CI has to have it."""
    reason = f"{what} is not installed: {command}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Broker:
    """A mosquitto that can be stopped and started again on the same port, with its sessions."""

    folder: Path
    url: str = ""
    port: int = 0
    options: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def direct_url(self) -> str:
        """Where devices find it."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on the port of before where there was one."""
        if find_mosquitto() is None:
            missing("mosquitto", "apt-get install mosquitto")
        self.port = self.port or free_port()
        self.process, self.url = start_broker(
            self.folder, "mosquitto", port=self.port, options=self.options
        )

    def kill(self) -> None:
        """End it at once: it keeps what it wrote last."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_PATIENCE_S)
            self.process = None

    def stop(self) -> None:
        """End it in good order, so that it keeps its sessions."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(_PATIENCE_S)
            self.process = None


@contextmanager
def running_broker(folder: Path, options: Sequence[str] = ()) -> Iterator[Broker]:
    """Run a broker, perhaps with further lines of configuration."""
    broker = Broker(folder, options=options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Proxy:
    """A line to a port of 127.0.0.1 that can be cut: then nothing passes, and nobody is told."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._whole = threading.Event()
        self._whole.set()
        self._links: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.set()
        for link in [self._server, *self._links]:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def cut(self) -> None:
        """Let nothing pass; what is under way waits."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything pass again."""
        self._whole.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            self._links += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._whole.wait()
                target.sendall(data)
        for link in (source, target):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)


@dataclass
class Postgres:
    """A PostgreSQL that can be stopped and started again on the same port."""

    url: str
    """Its address, without a database's name."""
    control: Sequence[str] = field(repr=False)
    start_options: Sequence[str] = field(repr=False)

    def start(self) -> None:
        """Start it."""
        _run([*self.control, *self.start_options, "start"])

    def stop(self) -> None:
        """End it at once, as if the machine had lost its power."""
        _run([*self.control, "-m", "immediate", "stop"])


@contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[str]:
    """Run a PostgreSQL of its own; yield its address without a database's name."""
    with postgres_server(is_durable=is_durable) as server:
        yield server.url


@contextmanager
def postgres_server(*, is_durable: bool = False) -> Iterator[Postgres]:
    """Run a PostgreSQL of its own; where it is not durable, it does not wait for the disk."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        missing("PostgreSQL", "apt-get install postgresql")
    # Not below pytest's own folder, which every other run of pytest closes to all but its user.
    with TemporaryDirectory(prefix="prevenant-postgres-", ignore_cleanup_errors=True) as name:
        folder, bin_folder, port = Path(name), programs[-1], free_port()
        # PostgreSQL refuses to run as root.
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_user:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        initdb = [str(bin_folder / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
        _run([*as_user, *initdb])
        fsync = "on" if is_durable else "off"
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync={fsync} -c max_connections=200"
        # Its transactions are under way in every database, and so what ours has seen whole is older.
        options += " -c autovacuum=off"
        control = [*as_user, str(bin_folder / "pg_ctl"), "-D", str(data), "-w"]
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
        server = Postgres(url, control, ["-l", str(folder / "log"), "-o", options])
        server.start()
        try:
            yield server
        finally:
            server.stop()


def make_database(server: str, name: str) -> str:
    """Make an empty database and return its address."""
    plain = server.replace("+psycopg", "")
    with psycopg.connect(f"{plain}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


class Databases:
    """Databases of a PostgreSQL with all tables, emptied and lent again: to make one takes longer."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._names = itertools.count()
        self._free: list[str] = []

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend a database without rows; yield its address."""
        url = self._free.pop() if self._free else self._make()
        yield url
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(_EMPTY)
        self._free.append(url)

    def _make(self) -> str:
        url = make_database(self._server, f"lent_{next(self._names)}")
        make_tables(url)
        return url


_EMPTY = """
DO $$ DECLARE name text; has_rows bool; filled text[] := '{}';
BEGIN
  PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  FOR name IN SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO has_rows;
    IF has_rows THEN filled := filled || name; END IF;
  END LOOP;
  IF filled <> '{}' THEN
    EXECUTE format('TRUNCATE %s CASCADE', array_to_string(filled, ', '));
  END IF;
  PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""


class Files:
    """SQLite files with all tables, made anew and lent again under the same name."""

    def __init__(self, tables: Path) -> None:
        self._tables = tables
        self._names = itertools.count()
        self._free: list[Path] = []

    @contextmanager
    def lent(self) -> Iterator[Path]:
        """Lend a file without rows."""
        free = self._free
        path = free.pop() if free else self._tables.with_name(f"lent_{next(self._names)}.db")
        # Not written over: a connection that was forgotten would find what it knows nothing of.
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copy(self._tables, path)
        yield path
        free.append(path)


def make_tables(url: str) -> None:
    """Make all tables in an empty database."""
    store = Store(url)
    store.upgrade()
    store.close()


def wait_until(found: object, what: str, timeout_s: float = 60.0) -> object:
    """Wait until the function `found` returns something true, and return it; fail if it never does.

    On a busy machine a process takes half a minute to start: patience costs nothing where all is well.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        result = found()  # type: ignore[operator]
        if result:
            return result
        time.sleep(0.01)
    pytest.fail(f"in {timeout_s:g} s there was no {what}")


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, cwd="/"
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stderr or done.stdout}")
