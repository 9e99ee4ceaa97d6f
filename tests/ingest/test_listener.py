"""Sessions with real brokers: TLS, passwords, WebSockets, QoS 2, shared, several, and what goes wrong."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from structlog.testing import capture_logs

from ingest.listener import Listener, Listeners
from ingest.mqtt import RETAINED, Frame
from prevenant.errors import SettingsError
from simulators.broker import free_port, wait_for_port
from simulators.fleet import connect, take_leave
from simulators.processes import start_process
from tests.servers import Broker, running_broker, wait_until

Start = Callable[..., "Ear"]


LEAKY = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""paho leaves the socket of a failed handshake to the garbage collector."""


class Ear:
    """A listener that runs, and what it heard."""

    def __init__(self, url: str) -> None:
        self.frames: list[Frame] = []
        self.listener = Listener(url, ["a/#"], self._take, lambda: None)
        self._thread = threading.Thread(target=self.listener.run, daemon=True)
        self._thread.start()

    def _take(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def is_connected(self) -> bool:
        return self.listener.connected.is_set()

    def stop(self) -> None:
        self.listener.stop()
        self._thread.join(60)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return how to start listeners; they end with the test."""
    with ExitStack() as stack:

        def start(url: str, *, wait: bool = True) -> Ear:
            ear = Ear(url)
            stack.callback(ear.stop)
            if wait:
                wait_until(ear.is_connected, "subscription")
            return ear

        yield start


def publish(url: str, *messages: tuple[str, str], qos: int = 1, retain: bool = False) -> None:
    client = connect(url)
    for topic, payload in messages:
        client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(60)
    take_leave(client)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_quality_of_service(broker: Broker, start: Start, protocol: str, qos: int) -> None:
    base = broker.url.partition("?")[0]
    ear = start(f"{base}?protocol={protocol}&qos={qos}")
    publish(broker.url, *[("a/1", str(n)) for n in range(50)], qos=qos)
    wait_until(lambda: len(ear.frames) >= 50, "messages")
    assert [payload for _, payload, _ in ear.frames] == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_session_keeps_what_comes_meanwhile(
    broker: Broker, start: Start, protocol: str, qos: int
) -> None:
    url = f"{broker.url}?protocol={protocol}&qos={qos}"
    start(url).stop()
    publish(broker.url, ("a/1", "meanwhile"), qos=2)
    ear = start(url)
    wait_until(lambda: ear.frames, "message")
    assert ear.frames == [(b"a/1", b"meanwhile", 0)]


def test_a_retained_message_is_marked_and_comes_once_with_a_session(
    broker: Broker, start: Start
) -> None:
    publish(broker.url, ("a/1", "before"), retain=True)
    first = start(broker.url)
    wait_until(lambda: first.frames, "retained message")
    assert first.frames == [(b"a/1", b"before", RETAINED)]
    first.stop()
    again = start(broker.url)
    publish(broker.url, ("a/2", "after"))
    wait_until(lambda: again.frames, "message")
    assert again.frames == [(b"a/2", b"after", 0)]


def test_a_session_that_the_broker_lost_is_begun_anew(broker: Broker, start: Start) -> None:
    ear = start(f"{broker.url}?qos=2&client_id=lost")
    client = ear.listener._client
    client._held.add(b"\x00\x01")
    broker.stop()
    for kept in broker.folder.glob("*.db"):
        kept.unlink()
    wait_until(lambda: not ear.is_connected(), "loss")
    broker.start()
    wait_until(ear.is_connected, "return")
    publish(broker.url, ("a/1", "first of the new session"), qos=2)
    wait_until(lambda: ear.frames, "message")
    assert ear.frames == [(b"a/1", b"first of the new session", 0)]


def test_properties_of_a_device_reach_us_and_stop_nobody(broker: Broker, start: Start) -> None:
    ear = start(f"{broker.url}?client_id=p")
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("unit", "\ufeff°C"), ("unit", "K")]
    properties.MessageExpiryInterval = 60
    properties.ContentType = "application/json"
    properties.CorrelationData = b"\xff"
    for number in range(20):
        sent = client.publish("a/1", str(number), qos=1, properties=properties)
        sent.wait_for_publish(60)
    take_leave(client)
    wait_until(lambda: len(ear.frames) >= 20, "messages")
    assert [payload for _, payload, _ in ear.frames] == [b"%d" % n for n in range(20)]


def test_a_group_shares_the_messages(broker: Broker, start: Start) -> None:
    ears = [start(f"{broker.url}?share=g&client_id=e{n}") for n in range(2)]
    publish(broker.url, *[("a/1", str(n)) for n in range(40)])
    wait_until(lambda: sum(len(ear.frames) for ear in ears) >= 40, "messages")
    assert sum(len(ear.frames) for ear in ears) == 40
    assert all(ear.frames for ear in ears)


def test_the_will_tells_whether_the_engine_listens(broker: Broker, start: Start) -> None:
    said: list[bytes] = []
    watcher = paho.Client(CallbackAPIVersion.VERSION2)
    watcher.on_message = lambda _c, _d, message: said.append(bytes(message.payload))
    watcher.connect("127.0.0.1", broker.port)
    watcher.subscribe("engine/status", 1)
    watcher.loop_start()
    ear = start(f"{broker.url}?will=engine/status&client_id=w1")
    wait_until(lambda: said == [b"online"], "birth")
    ear.stop()
    wait_until(lambda: said == [b"online", b"offline"], "farewell")
    killed = start(f"{broker.url}?will=engine/status&client_id=w2")
    wait_until(lambda: said[2:] == [b"online"], "birth")
    killed.listener._client._sock.close()  # type: ignore[union-attr]
    wait_until(lambda: said[3:4] == [b"offline"], "will")
    take_leave(watcher)


def test_several_brokers_are_heard_and_the_missing_one_is_named(
    tmp_path: Path, broker: Broker
) -> None:
    heard: list[Frame] = []
    changes: list[bool] = []
    with running_broker(tmp_path / "other") as other:
        urls = [broker.url, other.url]
        listeners = Listeners(urls, ["a/#"], heard.extend, changes.append)
        threads = [threading.Thread(target=run) for run in listeners.runs().values()]
        for thread in threads:
            thread.start()
        wait_until(listeners.connected.is_set, "both")
        publish(broker.url, ("a/1", "one"))
        publish(other.url, ("a/2", "other"))
        wait_until(lambda: len(heard) == 2, "messages")
        other.stop()
        wait_until(lambda: listeners.missing() == [f"mqtt://127.0.0.1:{other.port}"], "loss")
        assert changes[-1] is False
        publish(broker.url, ("a/3", "still"))
        wait_until(lambda: len(heard) == 3, "message of the other broker")
        other.start()
        wait_until(listeners.connected.is_set, "return")
        listeners.stop()
        for thread in threads:
            thread.join(10)


class Authority:
    """Certificates of a CA that nobody else trusts, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, trustme.CA()
        folder.mkdir()
        self.ca.cert_pem.write_to_path(str(folder / "ca.pem"))

    def issue(self, name: str, *names: str, **options: Any) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        issued = self.ca.issue_cert(*names, **options)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@contextmanager
def tls_broker(
    folder: Path,
    authority: Authority,
    *options: str,
    names: Sequence[str] = ("127.0.0.1",),
    **more: Any,
) -> Iterator[Broker]:
    cert, key = authority.issue("broker", *names, **more)
    ca = authority.folder / "ca.pem"
    lines = [f"certfile {cert}", f"keyfile {key}", f"cafile {ca}", *options]
    with running_broker(folder / "tls", lines) as running:
        yield running


def burst(port: int, ca: Path, transport: Any) -> None:
    """Publish 300 messages of 2 KB at once, over TLS where a CA is named."""
    client = paho.Client(CallbackAPIVersion.VERSION2, transport=transport)
    if ca.name:
        client.tls_set(str(ca))
    client.connect("127.0.0.1", port)
    client.loop_start()
    last = None
    for number in range(300):
        last = client.publish("a/1", json.dumps({"n": number, "x": "y" * 2_000}), qos=1)
    assert last is not None
    last.wait_for_publish(60)
    take_leave(client)


def test_a_burst_over_tls_arrives_at_once(
    tmp_path: Path, authority: Authority, start: Start
) -> None:
    ca = authority.folder / "ca.pem"
    with tls_broker(tmp_path, authority) as running:
        ear = start(f"mqtts://127.0.0.1:{running.port}?ca={ca}")
        burst(running.port, ca, "tcp")
        wait_until(lambda: len(ear.frames) >= 300, "the whole burst")
        assert [json.loads(payload)["n"] for _, payload, _ in ear.frames] == list(range(300))


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_burst_over_websockets_arrives_at_once(
    tmp_path: Path, authority: Authority, start: Start, scheme: str
) -> None:
    # amqtt: Debian's mosquitto opens no port for WebSockets on a machine without IPv6.
    port, ca = free_port(), Path()
    command = [sys.executable, "-m", "simulators.amqtt_broker", str(port), "ws"]
    if scheme == "wss":
        ca = authority.folder / "ca.pem"
        command += [str(one) for one in authority.issue("broker", "127.0.0.1")]
    broker = start_process(command, tmp_path / "broker.log")
    try:
        wait_for_port(port, broker, tmp_path)
        more = f"&ca={ca}" if ca.name else ""
        ear = start(f"{scheme}://127.0.0.1:{port}/mqtt?protocol=3.1.1{more}")
        burst(port, ca, "websockets")
        wait_until(lambda: len(ear.frames) >= 300, "the whole burst")
        assert [json.loads(payload)["n"] for _, payload, _ in ear.frames] == list(range(300))
    finally:
        broker.kill()
        broker.wait()


@LEAKY
def test_a_client_certificate_opens_the_door(
    tmp_path: Path, authority: Authority, start: Start
) -> None:
    cert, key = authority.issue("client", "engine")
    ca = authority.folder / "ca.pem"
    with tls_broker(tmp_path, authority, "require_certificate true") as running:
        url = f"mqtts://127.0.0.1:{running.port}?ca={ca}"
        start(f"{url}&cert={cert}&key={key}")
        with capture_logs() as logs:
            refused = start(f"{url}&client_id=other", wait=False)
            wait_until(lambda: [one for one in logs if one["log_level"] == "error"], "complaint")
        assert not refused.is_connected()
        assert any("?cert=" in one.get("remedy", "") for one in logs)


def complaint(start: Start, url: str) -> dict[str, Any]:
    """Return the first error in the log of a listener that does not get in."""
    with capture_logs() as logs:
        ear = start(url, wait=False)

        def errors() -> list[Any]:
            """Return what this one complains of: others may have lost their brokers meanwhile."""
            own = [one for one in logs if one.get("broker") == ear.listener.shown]
            return [one for one in own if one["log_level"] == "error"]

        found = wait_until(errors, "complaint")
        ear.stop()
    assert "hunter2" not in str(logs)
    return dict(found[0])  # type: ignore[index]


@LEAKY
def test_what_is_wrong_with_a_certificate_is_said_with_its_remedy(
    tmp_path: Path, authority: Authority, start: Start
) -> None:
    ca = authority.folder / "ca.pem"
    with tls_broker(tmp_path, authority) as running:
        url = f"mqtts://127.0.0.1:{running.port}"
        assert "name its CA with ?ca=FILE" in complaint(start, url)["remedy"]
        start(f"{url}?ca={ca}")
        plain = complaint(start, f"mqtt://127.0.0.1:{running.port}?client_id=x")
        assert plain["event"] in {"broker closes the connection", "broker does not answer"}
        assert "write mqtts:// in PREVENANT_MQTT_URL" in plain["remedy"]
    with tls_broker(tmp_path / "2", authority, names=["elsewhere.example"]) as running:
        found = complaint(start, f"mqtts://127.0.0.1:{running.port}?ca={ca}")
        assert "is for another name" in found["remedy"]
    expired = datetime.now(UTC) - timedelta(days=1)
    with tls_broker(tmp_path / "3", authority, not_after=expired) as running:
        found = complaint(start, f"mqtts://127.0.0.1:{running.port}?ca={ca}")
        assert "has expired: renew it" in found["remedy"]


def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path, start: Start) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("engine:hunter2\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    options = ["allow_anonymous false", f"password_file {passwords}"]
    running = Broker(tmp_path / "auth", options=options)
    running.start()
    start(f"mqtt://engine:hunter2@127.0.0.1:{running.port}")
    found = complaint(start, f"mqtt://engine:hunter2x@127.0.0.1:{running.port}?client_id=b")
    assert found["event"] == "broker refused us"
    assert "right user and password" in found["remedy"]
    running.stop()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("mqtt://127.0.0.1:{port}", "start it, or name another"),
        ("mqtt://no-such-host.invalid", "there is no such host"),
    ],
)
def test_a_broker_that_is_not_there(start: Start, url: str, remedy: str) -> None:
    assert remedy in complaint(start, url.format(port=free_port()))["remedy"]


@LEAKY
def test_a_stranger_on_the_port_for_websockets(broker: Broker, start: Start) -> None:
    found = complaint(start, f"ws://127.0.0.1:{broker.port}")
    assert "port for WebSockets" in found["remedy"] or found["event"] == "broker does not answer"


def test_files_that_are_not_there_are_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"\?ca=, \?cert= and \?key="):
        Listener("mqtts://127.0.0.1?ca=/none.pem", [], lambda _: None, lambda: None)
    assert issubclass(ssl.SSLError, OSError)


def test_a_session_that_another_takes_is_said_with_its_remedy(broker: Broker, start: Start) -> None:
    with capture_logs() as logs:
        first = start(broker.url)
        second = start(broker.url)

        def said() -> list[Any]:
            return [one for one in logs if "?client_id=" in one.get("remedy", "")]

        wait_until(said, "complaint")
        assert said()[0]["event"] in {
            "broker ends the session again and again",
            "another client has taken our session",
        }
        first.stop()
        second.stop()


@pytest.mark.parametrize("options", ["", "?protocol=3.1.1", "?share=us"])
def test_topics_come_and_go_while_others_are_heard(
    broker: Broker, start: Start, options: str
) -> None:
    ear = start(broker.url + options)
    stopping = threading.Event()
    sent: list[int] = []

    def talk() -> None:
        client = connect(broker.url)
        while not stopping.is_set():
            client.publish("a/1", f"{len(sent)}", qos=1).wait_for_publish(60)
            sent.append(len(sent))
        take_leave(client)

    talker = threading.Thread(target=talk)
    talker.start()
    prefix = "$share/us/" if "share" in options else ""
    for number in range(20):
        wanted = [f"b{number}/#", "a/#"] if number % 2 else ["a/+", f"b{number}/#"]
        ear.listener.change_subscriptions(wanted)
        wait_until(
            lambda wanted=wanted: ear.listener.confirmed >= {prefix + one for one in wanted},
            "subscription",
        )
        publish(broker.url, (f"b{number}/x", "new"))
    wait_until(lambda: not ear.listener._dropped, "end of the subscriptions")
    publish(broker.url, ("b3/x", "gone"), ("b19/x", "still"))
    stopping.set()
    talker.join(60)
    last = {(b"b19/x", b"still"), (b"a/1", b"%d" % sent[-1])}
    wait_until(lambda: last <= {frame[:2] for frame in ear.frames}, "last")
    heard = {(topic, payload) for topic, payload, _ in ear.frames}
    assert {(b"a/1", b"%d" % one) for one in sent} <= heard
    assert {(b"b%d/x" % number, b"new") for number in range(20)} <= heard
    assert (b"b19/x", b"still") in heard
    assert (b"b3/x", b"gone") not in heard


def test_topics_that_change_while_the_broker_is_away_are_heard_and_left(
    broker: Broker, start: Start
) -> None:
    ear = start(broker.url)
    broker.stop()
    wait_until(lambda: not ear.is_connected(), "loss")
    ear.listener.change_subscriptions(["b/#"])
    broker.start()
    wait_until(ear.is_connected, "return")
    wait_until(lambda: not ear.listener._dropped, "end of the subscription")
    publish(broker.url, ("a/1", "gone"), ("b/1", "new"))
    wait_until(lambda: ear.frames, "message")
    assert [frame[:2] for frame in ear.frames] == [(b"b/1", b"new")]


def test_with_nothing_to_listen_to_the_session_is_whole_all_the_same(
    broker: Broker, start: Start
) -> None:
    ear = start(broker.url)
    ear.listener.change_subscriptions([])
    wait_until(lambda: not ear.listener._dropped, "end of the subscription")
    assert ear.is_connected()
    broker.stop()
    wait_until(lambda: not ear.is_connected(), "loss")
    broker.start()
    wait_until(ear.is_connected, "return")
