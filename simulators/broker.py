"""An MQTT broker for the demo, in a process of its own: mosquitto where it is installed, else amqtt."""

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from prevenant.errors import ConfigurationError
from simulators.processes import start_process

_PATIENCE_S = 60.0
_FREE_PORTS = range(20_000, 32_768)
"""Below what systems give to those who connect: a server that starts again finds its port free."""
_turns = itertools.count(secrets.randbelow(len(_FREE_PORTS)))


def start_broker(
    folder: Path, kind: str = "", port: int = 0, options: Sequence[str] = ()
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a broker that keeps its sessions in `folder`; return its process and its address.

    `kind` is `mosquitto` or `amqtt`; empty takes the first that is there. Port 0 takes a free one.
    `options` are further lines of mosquitto's configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    program = find_mosquitto()
    if kind == "mosquitto" and program is None:
        message = "mosquitto is not installed: apt-get install mosquitto"
        raise ConfigurationError(message)
    if program is not None and kind != "amqtt":
        command = [program, "-c", str(_write_mosquitto_conf(folder, port, options))]
        url = f"mqtt://127.0.0.1:{port}"
    else:
        # amqtt refuses MQTT 5, and loses what a persistent session missed.
        command = [sys.executable, "-m", "simulators.amqtt_broker", str(port)]
        url = f"mqtt://127.0.0.1:{port}?protocol=3.1.1"
    broker = start_process(command, folder / "broker.log")
    wait_for_port(port, broker, folder)
    return broker, url


def find_mosquitto() -> str | None:
    """Return where mosquitto is; Debian installs it outside an ordinary user's path."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses, and that nobody is given by connecting.

    Each comes in turn: one that was given and is not in use yet is not given to the next who asks.
    """
    while True:
        port = _FREE_PORTS[next(_turns) % len(_FREE_PORTS)]
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _write_mosquitto_conf(folder: Path, port: int, more: Sequence[str]) -> Path:
    options: Mapping[str, object] = {
        "listener": f"{port} 127.0.0.1",
        "allow_anonymous": "true",
        "persistence": "true",
        "persistence_location": f"{folder.resolve()}/",
        "autosave_interval": 5,
        "max_queued_messages": 0,
        "max_inflight_messages": 0,
    }
    path = folder / "mosquitto.conf"
    lines = [f"{name} {value}" for name, value in options.items()]
    if _is_root():
        lines.append("user root")
    lines += more
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def wait_for_port(port: int, broker: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the broker listens. Raises ConfigurationError if it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if broker.poll() is not None:
            break
        with closing(socket.socket()) as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    broker.kill()
    message = f"the broker did not start: see {folder / 'broker.log'}"
    raise ConfigurationError(message)
