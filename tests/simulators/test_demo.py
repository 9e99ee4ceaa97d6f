"""The demo as somebody starts and ends it in a terminal: Ctrl-C, going on, what stands in its way."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from simulators.broker import free_port
from simulators.demo import _PORT, hold_port
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["Started"]:
    """Start demos in a folder of their own."""
    started = Started(tmp_path)
    with usual_port_taken():
        yield started
        started.end()


@contextmanager
def usual_port_taken() -> Iterator[None]:
    """Let nobody find the usual port free, of whom another test's demo may take it a moment later."""
    with socket.socket() as taken:
        # Each such test holds it, so that there is no moment between two of them.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Where a program that is no test has it, it is taken as well.
        with suppress(OSError):
            taken.bind(("127.0.0.1", _PORT))
            taken.listen()
        yield


class Started:
    """A demo and what it has printed since it was last started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "var" / "demo"
        self._said = folder / "said"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def start(self, *options: str) -> None:
        """Start it, where a proxy leads to the outside."""
        away = {"http_proxy": "http://127.0.0.1:9"}
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prevenant", "demo", "--headless", *options],
                cwd=self.folder,
                env={**os.environ, **away, "PYTHONPATH": str(ROOT), **self.environment},
                stdout=out,
                stderr=out,
            )

    def said(self) -> str:
        """Return what it has printed."""
        return self._said.read_text("utf-8")

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(90)

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        assert self._process is not None
        return self._process.wait(120)

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def test_ctrl_c_ends_it_while_it_still_starts(demo: Started) -> None:
    # A broker that never listens, or the start could be over on a machine that is slow to tell us of it.
    program = demo.folder / "bin" / "mosquitto"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    demo.environment["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    demo.start()
    wait_until((demo.kept / "broker" / "mosquitto.conf").exists, "start", 150)
    assert demo.interrupt() == 0
    assert demo.said() == ""


def test_started_again_it_goes_on_and_repeats_nothing(demo: Started) -> None:
    demo.start()
    wait_until(lambda: "case.opened" in demo.said(), "first case", 120)
    assert demo.interrupt() == 0
    first = [line for line in demo.said().splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]

    demo.start()
    wait_until(lambda: "message.delivered" in demo.said(), "rest of the story", 120)
    assert demo.interrupt() == 0
    again = [line for line in demo.said().splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]
    assert again
    assert set(first) & set(again) == set()
    assert not any("case 1: " in line and "case.opened" in line for line in again)
    assert "Traceback" not in demo.said()


def test_only_one_runs_in_a_folder(demo: Started, tmp_path: Path) -> None:
    demo.start()
    wait_until((demo.kept / "broker" / "mosquitto.conf").exists, "start", 150)
    second = Started(tmp_path)
    second._said = tmp_path / "said too"
    second.start()
    assert second.wait() == 1
    assert second.said().startswith("error: a demo is running in this folder already: end it")
    assert demo.interrupt() == 0


@pytest.mark.parametrize("kept", ["", "[]", "{}", json.dumps({"now": "soon"})])
def test_a_damaged_state_is_told_with_the_way_out(demo: Started, kept: str) -> None:
    demo.kept.mkdir(parents=True)
    (demo.kept / "state.json").write_text(kept)
    demo.start()
    assert demo.wait() == 1
    assert demo.said() == "error: var/demo/state.json is damaged: begin anew with --fresh\n"


def test_a_folder_that_cannot_be_made_is_told(demo: Started) -> None:
    (demo.folder / "var").write_text("in the way")
    demo.start()
    assert demo.wait() == 1
    assert re.fullmatch(
        r"error: the demo cannot keep .*: start it in a folder .*\n".replace(": s", "; s"),
        demo.said(),
    )


def test_two_demos_that_start_at_once_do_not_take_the_same_port() -> None:
    port = free_port()
    held = hold_port(port)
    assert held is not None
    assert hold_port(port) is None
    held.close()
    again = hold_port(port)
    assert again is not None
    again.close()
