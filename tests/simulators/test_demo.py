"""The demo as somebody starts and ends it in a terminal: Ctrl-C, going on, what stands in its way."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["Started"]:
    """Start demos in a folder of their own."""
    started = Started(tmp_path)
    yield started
    started.end()


class Started:
    """A demo and what it has printed since it was last started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "var" / "demo"
        self._said = folder / "said"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it, where a proxy leads to the outside."""
        away = {"http_proxy": "http://127.0.0.1:9"}
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prevenant", "demo", "--headless", *options],
                cwd=self.folder,
                env={**os.environ, **away, "PYTHONPATH": str(ROOT)},
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
    demo.start()
    wait_until((demo.kept / "broker" / "mosquitto.conf").exists, "start", 60)
    assert demo.interrupt() == 0
    assert demo.said() == ""


def test_started_again_it_goes_on_and_repeats_nothing(demo: Started) -> None:
    demo.start()
    wait_until(lambda: "case.opened" in demo.said(), "first case", 90)
    assert demo.interrupt() == 0
    first = [line for line in demo.said().splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]

    demo.start()
    wait_until(lambda: "message.delivered" in demo.said(), "rest of the story", 90)
    assert demo.interrupt() == 0
    again = [line for line in demo.said().splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]
    assert again
    assert set(first) & set(again) == set()
    assert not any("case 1: " in line and "case.opened" in line for line in again)
    assert "Traceback" not in demo.said()


def test_only_one_runs_in_a_folder(demo: Started, tmp_path: Path) -> None:
    demo.start()
    wait_until((demo.kept / "broker" / "mosquitto.conf").exists, "start", 60)
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
