"""`prevenant demo`: broker, engine, devices and people together, told as a story.

The engine runs as the process that a user would run; everything else reaches it over MQTT, HTTP and
SMTP. All of them live on one clock that runs faster. What was reached is kept in `var/demo`.
"""

import fcntl
import importlib.resources
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import requests
from rich.console import Console

from prevenant.clock import ScaledClock
from prevenant.errors import ConfigurationError
from prevenant.settings import shipped_book
from simulators import people
from simulators.broker import find_mosquitto, free_port, start_broker
from simulators.carrier import Carrier, Expected
from simulators.engine_process import EngineProcess
from simulators.faults import DEMO
from simulators.fleet import Fleet, connect, demo_devices
from simulators.mailbox import Mailbox
from simulators.storyteller import Storyteller
from simulators.terminal import own_terminal

_FOLDER = Path("var/demo")
_STATE = "state.json"
_KEPT = ("began_at", "now", "told", "token", "expected")
_ZONE = ZoneInfo("Europe/Paris")
_BEGINS_AT_HOUR = 10
_PORT = 8080
_TOLD_WITHIN_S, _STOPS_WITHIN_S = 120.0, 2.0
_FRIDAY = 4


def run_demo(
    *, headless: bool, until_told: bool, fresh: bool, speed: float, broker: str = ""
) -> int:
    """Run the demo until Ctrl-C, or until everybody was told; return the exit status."""
    _be_the_only_one()
    if fresh:
        shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    _let_no_proxy_between()
    ending = _Ending()
    demo = Demo(speed, broker)
    with own_terminal():
        try:
            ending.breaks_in = True
            demo.start()
            ending.breaks_in = False
            if not headless:
                _open_browser(demo.console_url)
            return demo.tell(ending.asked, until_told=until_told)
        except KeyboardInterrupt:
            return 0
        finally:
            ending.breaks_in = False
            demo.stop()


class _Ending:
    """Ctrl-C or SIGTERM: while things are being started it breaks in; later it is looked at."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.breaks_in = False
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked.set()
        if self.breaks_in:
            self.breaks_in = False
            raise KeyboardInterrupt


class Demo:
    """All the processes and threads of one demo."""

    def __init__(self, speed: float, broker: str) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._state = _load_state()
        now = datetime.fromisoformat(self._state["now"])
        self._clock = ScaledClock(now, datetime.now(UTC), speed)
        self._broker_kind = broker
        self._broker: subprocess.Popen[bytes] | None = None
        self._engine: EngineProcess | None = None
        self._carrier: Carrier | None = None
        self._stops: list[Callable[[], object]] = []
        self.console_url = ""

    def start(self) -> None:
        """Start everything and wait until the engine is ready."""
        if find_mosquitto() is None:
            self._out.print(
                "[yellow]mosquitto is not installed, so amqtt stands in, which loses what a "
                "persistent session missed. Better: apt-get install mosquitto[/]"
            )
        self._broker, mqtt_url = start_broker(_FOLDER / "broker", self._broker_kind)
        carrier = Carrier(self._clock).start()
        carrier.answers_to, carrier.key_for = people.answers_to, people.key_for
        self._carrier = carrier
        mailbox = Mailbox().start()
        self._stops += [carrier.stop, mailbox.stop]
        self._engine = EngineProcess(
            _FOLDER,
            shipped_book(),
            mqtt_url,
            carrier,
            mailbox,
            self._take_port(_PORT),
            self._state["token"],
            str(self._clock),
        )
        self._engine.run("crm", "import", str(demo_data()))
        self._engine.start()
        self._engine.wait_until_ready()
        for number, to, text, at in self._state["expected"]:
            carrier.expect(Expected(number, to, text, datetime.fromisoformat(at)))
        self._start_fleet(mqtt_url)
        self.console_url = f"{self._engine.url}/?token={self._state['token']}"
        if self._engine.port != _PORT:
            self._out.print(f"Port {_PORT} is in use, so the console stands on another.")
        self._out.print(f"Console: [bold]{self.console_url}[/]")
        self._out.print(
            f"One second here is {self._clock.speed:g} seconds there. Ctrl-C ends it; "
            "started again, it goes on from where it was.\n"
        )

    def tell(self, stopping: threading.Event, *, until_told: bool) -> int:
        """Tell the story as the engine streams it; return the exit status."""
        storyteller = Storyteller(self._out, _ZONE, after=int(self._state["told"]))
        reader = threading.Thread(target=self._follow, args=(storyteller, stopping), daemon=True)
        reader.start()
        deadline = time.monotonic() + _TOLD_WITHIN_S
        while not stopping.wait(0.2):
            self._keep_state(storyteller)
            if self._engine is None or not self._engine.is_running():
                self._out.print(f"[red]the engine ended: see {_FOLDER / 'engine.log'}[/]")
                return 1
            if until_told and not storyteller.untold:
                self._out.print("\n[green]Every use case has told its people.[/]")
                return 0
            if until_told and time.monotonic() > deadline:
                for use_case in storyteller.untold:
                    self._out.print(f"[red]not told in {_TOLD_WITHIN_S:.0f} s: {use_case}[/]")
                return 1
        # What comes while everything stops is told by the next run.
        storyteller.end()
        self._keep_state(storyteller)
        return 0

    def stop(self) -> None:
        """Stop everything: the devices, the engine, its providers, the broker."""
        if self._engine is not None:
            # What the engine did while things were being started has happened, too.
            self._keep_now()
        for stop in reversed(self._stops):
            with suppress(Exception):
                stop()
        if self._engine is not None:
            self._engine.stop()
        if self._broker is not None:
            self._broker.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._broker.wait(_STOPS_WITHIN_S)
            self._broker.kill()

    def _take_port(self, port: int) -> int:
        held = hold_port(port)
        if held is None:
            return free_port()
        self._stops.append(held.close)
        return port

    def _start_fleet(self, mqtt_url: str) -> None:
        left_off_at = None
        if self._state["began_at"]:
            left_off_at = datetime.fromisoformat(self._state["now"])
        else:
            self._state["began_at"] = self._clock.now().isoformat()
        began_at = datetime.fromisoformat(self._state["began_at"])
        client = connect(mqtt_url)
        devices = demo_devices(seed=1)
        fleet = Fleet(client, self._clock, devices, DEMO, began_at, left_off_at=left_off_at)
        self._stops += [client.disconnect, fleet.stop]
        threading.Thread(target=fleet.run, daemon=True).start()

    def _follow(self, storyteller: Storyteller, stopping: threading.Event) -> None:
        """Follow the engine's live story; where the stream breaks, take it up again."""
        headers = {"Authorization": f"Bearer {self._state['token']}"}
        while not stopping.is_set() and self._engine is not None:
            with suppress(requests.RequestException):
                answer = requests.get(
                    f"{self._engine.url}/api/v1/live",
                    params={"after": storyteller.heard},
                    headers=headers,
                    stream=True,
                    timeout=(2, 30),
                )
                for entry in _events(answer):
                    storyteller.hear(entry)
            stopping.wait(0.5)

    def _keep_state(self, storyteller: Storyteller) -> None:
        self._state["told"] = storyteller.told
        self._keep_now()

    def _keep_now(self) -> None:
        """Keep the time, and what people have read and are going to answer."""
        self._state["now"] = self._clock.now().isoformat()
        if self._carrier is not None:
            self._state["expected"] = [
                (one.number, one.to, one.text, one.at.isoformat())
                for one in self._carrier.expected()
            ]
        _save_state(self._state)


def _be_the_only_one() -> None:
    """Take the folder until this process ends. Raises ConfigurationError where another demo has it."""
    try:
        _FOLDER.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(_FOLDER.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        message = (
            f"the demo cannot keep its files in {_FOLDER}: {error.strerror}; "
            "start it in a folder that you may write to"
        )
        raise ConfigurationError(message) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = (
            "a demo is running in this folder already: end it with Ctrl-C, then start this one"
        )
        raise ConfigurationError(message) from None


def _let_no_proxy_between() -> None:
    """Have the parts of the demo speak to each other on this machine, whatever proxy leads out of it."""
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, (others, "127.0.0.1")))


def demo_data() -> Path:
    """Return the CSV files of the invented airport and town."""
    return Path(str(importlib.resources.files("prevenant") / "crm" / "demo"))


def _events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line and line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def _load_state() -> dict[str, Any]:
    """Return where the last demo ended; a new one begins on a working day at ten in the morning."""
    path = _FOLDER / _STATE
    if path.exists():
        try:
            kept = json.loads(path.read_text("utf-8"))
            datetime.fromisoformat(kept["now"])
            return {name: kept[name] for name in _KEPT}
        except (ValueError, LookupError, TypeError):
            message = f"{path} is damaged: begin anew with --fresh"
            raise ConfigurationError(message) from None
    day = datetime.now(_ZONE).replace(hour=_BEGINS_AT_HOUR, minute=0, second=0, microsecond=0)
    day -= timedelta(days=max(0, day.weekday() - _FRIDAY))
    begins = day.astimezone(UTC).isoformat()
    token = secrets.token_urlsafe(16)
    state = {"began_at": "", "now": begins, "told": 0, "token": token, "expected": []}
    _save_state(state)
    return state


def _save_state(state: dict[str, Any]) -> None:
    fresh = _FOLDER / f"{_STATE}.new"
    fresh.write_text(json.dumps(state), "utf-8")
    fresh.replace(_FOLDER / _STATE)


def hold_port(port: int) -> socket.socket | None:
    """Return what keeps other demos off a port until it is closed; None where somebody has the port.

    The engine opens it seconds later. UDP's port of the same number, which no program here uses, is
    taken at once, and given back by the system however this process ends.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            return None
    return held


def _open_browser(url: str) -> None:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with suppress(webbrowser.Error):
            webbrowser.open(url)
