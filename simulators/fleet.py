"""The demo's devices: an airport and a town, publishing over MQTT as strangers would."""

import heapq
import json
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from prevenant.clock import Clock, ScaledClock, from_epoch
from prevenant.errors import ConfigurationError
from simulators.defibrillator import Defibrillator
from simulators.door import Door, Telemetry
from simulators.faults import DEMO, Timeline
from simulators.refrigerator import Refrigerator
from simulators.thermometer import Thermometer
from simulators.turbofan import demo_engines

_CATCH_UP_S = 3 * 3600.0
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_ANSWERS_WITHIN_S = 30.0


class SimulatedDevice(Protocol):
    """Anything that publishes."""

    device: str
    interval_s: float

    def step(self, at_s: float, faults: frozenset[str]) -> Iterable[Telemetry]:
        """Return what it sends at `at_s`, and move its own state on."""


def demo_devices(seed: int) -> list[SimulatedDevice]:
    """Return the devices of prevenant/crm/demo; its engines where their records are to be had."""
    devices: list[SimulatedDevice] = []
    for site in ("t1", "t2"):
        devices += [Door(site, f"D{number:02d}", seed) for number in (3, 7, 14)]
        devices += [Thermometer(site, f"T{number}", seed) for number in (1, 2, 3)]
        devices += [Defibrillator(site, f"A{number}", seed) for number in (1, 2)]
    devices += [Refrigerator(f"h{number:02d}", "fridge", seed) for number in range(1, 13)]
    return [*devices, *demo_engines()]


class Fleet:
    """Moves devices through time and publishes what they send, each reading with its own time."""

    def __init__(
        self,
        client: paho.Client,
        clock: Clock,
        devices: Sequence[SimulatedDevice],
        timeline: Timeline,
        began_at: datetime,
        *,
        left_off_at: datetime | None = None,
        stamped: bool = True,
    ) -> None:
        self._client = client
        self._clock = clock
        self._devices = devices
        self._timeline = timeline
        self._began_at = began_at.timestamp()
        self._left_off_at = (left_off_at or began_at).timestamp()
        self._stamped = stamped
        self._stopping = threading.Event()

    def run(self) -> None:
        """Publish until `stop`.

        A fleet that goes on lives silently through what it did before it left off, and then sends what
        it could not send meanwhile, as devices with a memory do.
        """
        start = max(self._began_at, self._left_off_at - _CATCH_UP_S)
        due = [
            (start + device.interval_s * number / len(self._devices), number)
            for number, device in enumerate(self._devices)
        ]
        heapq.heapify(due)
        while not self._stopping.is_set():
            at, number = due[0]
            pause = self._clock.seconds_until(from_epoch(at))
            if pause and self._stopping.wait(pause):
                break
            device = self._devices[number]
            heapq.heapreplace(due, (at + device.interval_s, number))
            at_s = at - self._began_at
            telemetry = list(device.step(at_s, self._timeline.active(device.device, at_s)))
            if at >= self._left_off_at:
                for topic, payload in telemetry:
                    self._publish(topic, payload, at)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    def _publish(self, topic: str, payload: dict[str, object], at: float) -> None:
        if self._stamped:
            payload = {"observed_at": from_epoch(at).isoformat(timespec="milliseconds"), **payload}
        self._client.publish(topic, json.dumps(payload), qos=1)


def connect(url: str, client_id: str = "") -> paho.Client:
    """Return a client that the broker has taken. Raises ConfigurationError where it does not."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    websockets = parts.scheme in {"ws", "wss"}
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, transport="websockets" if websockets else "tcp"
    )
    if websockets:
        client.ws_set_options(path=parts.path or "/mqtt")
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    client.max_queued_messages_set(100_000)
    client.max_inflight_messages_set(1_000)
    answered = threading.Event()
    answers: list[ReasonCode] = []

    def take_answer(
        _client: object, _data: object, _flags: object, code: ReasonCode, _p: object
    ) -> None:
        answers.append(code)
        answered.set()

    client.on_connect = take_answer
    host, port = parts.hostname or "127.0.0.1", parts.port or _PORTS[parts.scheme]
    try:
        if parts.scheme in {"mqtts", "wss"}:
            client.tls_set(query.get("ca"), query.get("cert"), query.get("key"))
        client.connect(host, port)
    except OSError as error:
        raise _not_connected(host, port, error.strerror or str(error)) from None
    client.loop_start()
    if not answered.wait(_ANSWERS_WITHIN_S) or answers[0].is_failure:
        take_leave(client)
        raise _not_connected(host, port, str(answers[0]) if answers else "it says nothing")
    return client


def take_leave(client: paho.Client) -> None:
    """Disconnect a client, and wait until its thread has ended."""
    client.disconnect()
    # paho forgets the thread as it ends, and may do so between `loop_stop`'s look at it and its wait.
    with suppress(AttributeError):
        client.loop_stop()


def _not_connected(host: str, port: int, reason: str) -> ConfigurationError:
    message = (
        f"the broker {host}:{port} does not take us: {reason}; "
        "start it, or mend PREVENANT_MQTT_URL (address, user and password, ?ca=)"
    )
    return ConfigurationError(message)


def run_fleet(url: str, speed: float, seed: int) -> None:
    """Publish the demo fleet's telemetry until Ctrl-C.

    A fleet that runs faster than the engine's clock sends no times of its own.
    """
    now = datetime.now(UTC)
    clock = ScaledClock(now, now, speed)
    client = connect(url)
    fleet = Fleet(client, clock, demo_devices(seed), DEMO, now, stamped=speed == 1)
    try:
        fleet.run()
    except KeyboardInterrupt:
        fleet.stop()
    finally:
        take_leave(client)
