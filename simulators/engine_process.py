"""The engine as a process of its own, set up to talk to simulated providers."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import requests

from prevenant.errors import ConfigurationError
from simulators.carrier import Carrier
from simulators.mailbox import Mailbox
from simulators.processes import start_process

NUMBER, SENDER = "+33939980000", "service@prevenant.example"

_READY_WITHIN_S, _STOPS_WITHIN_S = 60.0, 3.0


class Running(Protocol):
    """A process, as the standard library's `Popen` is one."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return its status, where it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its status."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


@dataclass
class EngineProcess:
    """`prevenant run`, with everything that it keeps in `folder`."""

    folder: Path
    book: Path
    mqtt_url: str
    carrier: Carrier
    mailbox: Mailbox
    port: int
    token: str
    clock: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings beside those that follow from the other fields."""
    process: Running | None = None

    @property
    def url(self) -> str:
        """The address of API and console."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self.folder / "engine.log"

    def start(self, command: Sequence[str] = ("-m", "prevenant", "run")) -> None:
        """Start the process; `command` is given to Python."""
        self.carrier.inbound_url = f"{self.url}/webhooks/twilio/sms"
        self.process = start_process([sys.executable, *command], self.log, self.environment())

    def run(self, *arguments: str) -> str:
        """Run another `prevenant` command with the same settings; return what it prints."""
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603  as above
            [sys.executable, "-m", "prevenant", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise ConfigurationError(said.removeprefix("error: "))
        return str(done.stdout)

    def wait_until_ready(self) -> None:
        """Wait until the store answers and the broker has confirmed the subscriptions."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline and self.is_running():
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/readyz", timeout=1).ok:
                    return
            time.sleep(0.05)
        words = self.log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        message = f"the engine did not start: {' '.join(words)} (see {self.log})"
        raise ConfigurationError(message)

    def is_running(self) -> bool:
        """Return whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """End the process in good order; return its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def environment(self) -> dict[str, str]:
        """Return the environment with all settings."""
        others = {k: v for k, v in os.environ.items() if not k.startswith("PREVENANT_")}
        folder = self.folder.resolve()
        return (
            others
            | {
                "PREVENANT_BOOK": str(self.book),
                "PREVENANT_MQTT_URL": self.mqtt_url,
                "PREVENANT_DATABASE_URL": f"sqlite:///{folder / 'prevenant.db'}",
                "PREVENANT_JOURNAL": str(folder / "journal.db"),
                "PREVENANT_HTTP": self.url.removeprefix("http://"),
                "PREVENANT_PUBLIC_URL": self.url,
                "PREVENANT_TWILIO_ACCOUNT_SID": self.carrier.account,
                "PREVENANT_TWILIO_AUTH_TOKEN": self.carrier.token,
                "PREVENANT_TWILIO_FROM": NUMBER,
                "PREVENANT_TWILIO_BASE_URL": self.carrier.url,
                "PREVENANT_SMTP_URL": f"smtp://127.0.0.1:{self.mailbox.port}",
                "PREVENANT_EMAIL_FROM": SENDER,
                "PREVENANT_ADMIN_TOKEN": self.token,
                "PREVENANT_CLOCK": self.clock,
            }
            | self.settings
        )
