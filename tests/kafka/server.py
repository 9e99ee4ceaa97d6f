"""A real Apache Kafka for tests and benchmarks: one broker that is its own controller (KRaft).

`make kafka` puts its jars, and a data folder that is ready to be copied, into `.kafka`.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from simulators.broker import free_port
from simulators.processes import start_process
from tests.servers import missing

JARS = Path(".kafka")
_FORMATTED = JARS / "formatted"
_PATIENCE_S = 90.0
_JAVA = [
    "java",
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
]


@dataclass
class Kafka:
    """A broker that can be killed, stopped and started again on the same port, with its topics."""

    folder: Path
    port: int = 0
    controller_port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def servers(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The same as Prevenant's setting."""
        return f"kafka://{self.servers}"

    def start(self) -> None:
        """Start it, on the port of before where there was one, and wait until it answers."""
        if shutil.which("java") is None or not _FORMATTED.is_dir():
            missing("Apache Kafka", "make kafka")
        self.port = self.port or free_port()
        self.controller_port = self.controller_port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        if not data.exists():
            shutil.copytree(_FORMATTED, data)
        properties = self.folder / "server.properties"
        properties.write_text(_properties(self, data), "utf-8")
        command = [*_JAVA, "-cp", f"{JARS}/*", "kafka.Kafka", str(properties)]
        self.process = start_process(command, self.folder / "kafka.log")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until it answers; fail if it never does."""
        quiet: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.servers,
            "log_level": 0,
        }
        admin = AdminClient(quiet)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(confluent_kafka.KafkaException):
                if admin.list_topics(timeout=1.0).brokers:
                    return
        log = (self.folder / "kafka.log").read_text("utf-8", "replace")
        pytest.fail(f"Kafka did not start: {log[-2_000:]}")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_PATIENCE_S)
            self.process = None

    def make_topic(self, name: str, partitions: int) -> None:
        """Make a topic."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        topic = NewTopic(name, partitions, 1)
        admin.create_topics([topic])[name].result(_PATIENCE_S)


def _properties(kafka: Kafka, data: Path) -> str:
    options = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{kafka.controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{kafka.port},"
        f"CONTROLLER://127.0.0.1:{kafka.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{kafka.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data.resolve(),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.cleaner.enable": "false",
    }
    return "".join(f"{name}={value}\n" for name, value in options.items())


@contextmanager
def running_kafka(folder: Path) -> Iterator[Kafka]:
    """Run a Kafka of one's own."""
    kafka = Kafka(folder)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.kill()
