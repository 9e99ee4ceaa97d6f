"""Listeners: a persistent session with each broker, kept for as long as the engine runs.

A broker's address says everything about the session with it:

    mqtts://user:password@host:8883?client_id=airport-1&ca=ca.pem&cert=us.pem&key=us.key
"""

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.mqtt import V5, V311, BatchClient, Frame
from prevenant.durations import parse_duration
from prevenant.errors import SettingsError

log = structlog.get_logger()

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_WITH_TLS = {"mqtt": "mqtts", "ws": "wss"}
_SESSION_EXPIRY_S, _KEEPALIVE_S = 7 * 86_400, 30
_RECEIVE_MAXIMUM, _ALIASES = 5_000, 1_000
_LARGEST_PACKET = 16 * 1024 * 1024
"""A broker of MQTT 5 sends us no larger one, so that no device fills the memory with one message."""
_TAKEN_OVER = 0x8E
_SHORT_LIFE_S, _SUSPICIOUS = 10.0, 3
_EXPIRED, _WRONG_HOSTS = 10, {62, 64}
"""OpenSSL's numbers for what may be wrong with a certificate."""


class Listener:
    """Keeps one persistent session with a broker and gives every batch to `on_batch`.

    A broker that is away is waited for; the log says so once, with what to do. `on_change` is called
    whenever we become connected and subscribed, or are no more. Raises SettingsError where the address
    names files that cannot be used.
    """

    def __init__(
        self,
        url: str,
        subscriptions: Sequence[str],
        on_batch: Callable[[Sequence[Frame]], None],
        on_change: Callable[[], None],
    ) -> None:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or _PORTS[parts.scheme]
        self._scheme = parts.scheme
        self.shown = f"{parts.scheme}://{self._host}:{self._port}"
        """The address without user and password."""
        self._query = query
        self._qos = int(query.get("qos", "1"))
        self._group = f"$share/{query['share']}/" if query.get("share") else ""
        self._wanted = [self._group + filter_ for filter_ in subscriptions]
        self._dropped: set[str] = set()
        """Topics that we listened to and that the session may still have."""
        self._changing = threading.Lock()
        """Held while `_wanted` and `_dropped` are compared and replaced."""
        self._asked: set[str] = set()
        """Topics that we have subscribed to in this connection."""
        self._unanswered: dict[int | None, list[str]] = {}
        """Topics by the packet with which we subscribed to them, or left them."""
        self._is_welcome = False
        self._client = self._make_client(parts.scheme, parts.path, on_batch)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._will = query.get("will", "")
        if self._will:
            self._client.will_set(self._will, "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._not_connected
        self._client.on_subscribe = self._subscribed
        self._client.on_unsubscribe = self._unsubscribed
        self._on_change = on_change
        self._complained = False
        self._subscribed_at, self._short_lives = 0.0, 0
        self._stopping = False
        self.connected = threading.Event()
        """Set while the broker has confirmed our subscriptions."""
        self.confirmed: set[str] = set()
        """The topics that the broker has confirmed in this connection."""

    def _make_client(
        self, scheme: str, path: str, on_batch: Callable[[Sequence[Frame]], None]
    ) -> BatchClient:
        query = self._query
        protocol = V311 if query.get("protocol", "5").startswith("3") else V5
        is_web = scheme in {"ws", "wss"}
        client = BatchClient(
            query.get("client_id", "prevenant"),
            protocol,
            on_batch,
            "websockets" if is_web else "tcp",
        )
        if is_web:
            client.ws_set_options(path=path or "/mqtt")
        if scheme in {"mqtts", "wss"}:
            try:
                client.tls_set(
                    query.get("ca"),
                    query.get("cert"),
                    query.get("key"),
                    cert_reqs=ssl.CERT_REQUIRED,
                )
            except (OSError, ValueError) as error:
                message = (
                    f"the TLS files of {self.shown} cannot be used: {error}; "
                    "check ?ca=, ?cert= and ?key= in PREVENANT_MQTT_URL"
                )
                raise SettingsError(message) from None
        return client

    def run(self) -> None:
        """Listen until `stop`."""
        keepalive = int(self._query.get("keepalive", _KEEPALIVE_S))
        if self._client.protocol == V5:
            expiry = self._query.get("session_expiry")
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = (
                round(parse_duration(expiry)) if expiry else _SESSION_EXPIRY_S
            )
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            properties.TopicAliasMaximum = _ALIASES
            properties.MaximumPacketSize = _LARGEST_PACKET
            self._client.connect_async(
                self._host, self._port, keepalive, clean_start=False, properties=properties
            )
        else:
            self._client.connect_async(self._host, self._port, keepalive)
        self._client.loop_forever(retry_first_connection=True)

    def change_subscriptions(self, subscriptions: Sequence[str]) -> None:
        """Listen to these topics from now on, first to the new ones; from any thread.

        What is wanted before and after is heard all the time.
        """
        wanted = [self._group + filter_ for filter_ in subscriptions]
        with self._changing:
            self._dropped = (self._dropped | set(self._wanted)) - set(wanted)
            self._wanted = wanted
        self._client.call_soon(self._ask)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send devices something, once, from any thread; while the broker is away it is not sent."""
        if self.connected.is_set():
            self._client.publish(topic, payload, qos=0)

    def hand_over(self, topic: str, payload: bytes) -> "paho.MQTTMessageInfo | None":
        """Publish at QoS 1, from any thread; None while the broker is away.

        Raises ValueError where the topic cannot be published to.
        """
        if not self.connected.is_set():
            return None
        return self._client.publish(topic, payload, qos=1)

    def stop(self) -> None:
        """End `run`; the broker keeps the session."""
        self._stopping = True
        if self._will and self.connected.is_set():
            self._client.publish(self._will, "offline", qos=0, retain=True)
        self._client.leave()

    def _connected(self, _client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._complain("broker refused us", str(code), _remedy_of_code(str(code).lower()))
            return
        self._client.was_welcomed(is_resumed=flags.session_present)
        self._is_welcome = True
        if self._will:
            self._client.publish(self._will, "online", qos=1, retain=True)
        self._ask()

    def _ask(self) -> None:
        """Subscribe to what is wanted and not asked for yet; where there is nothing, drop the rest."""
        if not self._is_welcome:
            return
        with self._changing:
            topics = [topic for topic in self._wanted if topic not in self._asked]
        if not topics:
            if not self._unanswered:
                self._settle()
            return
        log.info("listening", broker=self.shown, topics=topics)
        if self._client.protocol == V5:
            # Retained messages come once, with a new subscription, not with every reconnection.
            options = SubscribeOptions(qos=self._qos, retainHandling=1)
            _, mid = self._client.subscribe([(topic, options) for topic in topics])
        else:
            _, mid = self._client.subscribe([(topic, self._qos) for topic in topics])
        self._asked.update(topics)
        self._unanswered[mid] = topics

    def _settle(self) -> None:
        """Take note that all we asked for is confirmed, and leave the topics that are wanted no more."""
        if not self.connected.is_set():
            self.connected.set()
            self._on_change()
        with self._changing:
            topics = sorted(self._dropped)
        if topics:
            _, mid = self._client.unsubscribe(topics)
            self._asked.difference_update(topics)
            self._unanswered[mid] = topics

    def _unsubscribed(
        self, _client: Any, _data: Any, mid: Any, _codes: Any, _properties: Any
    ) -> None:
        topics = self._unanswered.pop(mid, [])
        with self._changing:
            self._dropped.difference_update(set(topics) - self._asked)
        log.info("no longer listening", broker=self.shown, topics=topics)
        self._ask()

    def _subscribed(
        self, _client: Any, _data: Any, mid: Any, codes: Sequence[Any], _properties: Any
    ) -> None:
        topics = self._unanswered.pop(mid, [])
        self.confirmed.update(topics)
        for topic, code in zip(topics, codes, strict=False):
            if code.is_failure:
                log.error(
                    "broker refused a subscription",
                    broker=self.shown,
                    topic=topic,
                    reason=str(code),
                    remedy="allow our user to read this topic in the broker's access list",
                )
        log.info("subscribed", broker=self.shown)
        self._complained = False
        self._subscribed_at = time.monotonic()
        if not self._unanswered:
            self._settle()

    def _disconnected(
        self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        was_connected = self.connected.is_set()
        self._is_welcome = False
        self._asked.clear()
        self._unanswered.clear()
        self.confirmed.clear()
        self.connected.clear()
        self._on_change()
        if self._stopping:
            return
        if getattr(code, "value", 0) == _TAKEN_OVER:
            self._complain(
                "another client has taken our session",
                str(code),
                "give each engine a name of its own: ?client_id= in PREVENANT_MQTT_URL",
            )
        elif was_connected:
            log.warning("broker lost, connecting again", broker=self.shown, reason=str(code))
            self._note_life()
        else:
            # Under TLS 1.3 a broker refuses a certificate after the handshake.
            remedy = _use_tls(self._scheme) or _remedy_of_code("")
            self._complain("broker closes the connection", str(code), remedy)

    def _note_life(self) -> None:
        """Count sessions that end as soon as they begin; several in a row have a reason."""
        is_short = time.monotonic() - self._subscribed_at < _SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        if self._short_lives == _SUSPICIOUS:
            log.error(
                "broker ends the session again and again",
                broker=self.shown,
                remedy="if another client uses our name, give each one of its own: ?client_id= in "
                "PREVENANT_MQTT_URL; else see the broker's own log",
            )

    def _not_connected(self, _client: Any, _data: Any) -> None:
        # The error's traceback would keep the failed socket open.
        error, self._client.error = self._client.error, None
        reason = str(error) if error else "no answer"
        is_cut = isinstance(error, ConnectionResetError | BrokenPipeError)
        remedy = (_use_tls(self._scheme) if is_cut else "") or _remedy_of_error(error)
        self._complain("broker does not answer", reason, remedy)

    def _complain(self, what: str, reason: str, remedy: str) -> None:
        """Say once what is wrong, until we have been connected again."""
        if not self._complained:
            self._complained = True
            log.error(
                what, broker=self.shown, reason=reason, remedy=f"{remedy}; trying on meanwhile"
            )


class Listeners:
    """One listener for each broker; together they hear, or do not hear, everything."""

    def __init__(
        self,
        urls: Sequence[str],
        subscriptions: Sequence[str],
        on_batch: Callable[[Sequence[Frame]], None],
        on_change: Callable[[bool], None],
    ) -> None:
        self._on_change = on_change
        self._telling = threading.Lock()
        self.connected = threading.Event()
        """Set while every broker has confirmed our subscriptions."""
        self._each = [Listener(url, subscriptions, on_batch, self._tell) for url in urls]

    def runs(self) -> Mapping[str, Callable[[], None]]:
        """Return what has to run until `stop`, each in a thread of its own."""
        return {f"listen {one.shown}": one.run for one in self._each}

    def heard(self) -> dict[str, bool]:
        """Return each broker, and whether we hear it."""
        heard: dict[str, bool] = {}
        for one in self._each:
            # Several sessions with one broker are heard once all of them are.
            heard[one.shown] = heard.get(one.shown, True) and one.connected.is_set()
        return heard

    def missing(self) -> list[str]:
        """Return the brokers that we do not hear."""
        return [one.shown for one in self._each if not one.connected.is_set()]

    def change_subscriptions(self, subscriptions: Sequence[str]) -> None:
        """Listen to these topics from now on, with every broker."""
        for one in self._each:
            one.change_subscriptions(subscriptions)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send devices something, by every broker: which one they hear is not known here."""
        for one in self._each:
            one.publish(topic, payload)

    def hand_over(self, topic: str, payload: bytes, patience_s: float) -> bool | None:
        """Publish by every broker that is there; return whether one has confirmed it in time.

        None: no broker is there, and nothing was published.
        """
        given = [info for one in self._each if (info := one.hand_over(topic, payload)) is not None]
        if not given:
            return None
        give_up_at = time.monotonic() + patience_s
        for info in given:
            with suppress(RuntimeError, ValueError):
                info.wait_for_publish(max(0.0, give_up_at - time.monotonic()))
        return any(info.rc == paho.MQTT_ERR_SUCCESS and info.is_published() for info in given)

    def stop(self) -> None:
        """End every listener."""
        for one in self._each:
            one.stop()

    def _tell(self) -> None:
        with self._telling:
            is_whole = not self.missing()
            if is_whole:
                self.connected.set()
            else:
                self.connected.clear()
            self._on_change(is_whole)


def seat_of(urls: Sequence[str]) -> str:
    """Return what stands for our sessions with these brokers: the same after a restart."""
    sessions = []
    for url in urls:
        parts = urlsplit(url)
        client_id = parse_qs(parts.query).get("client_id", ["prevenant"])[-1]
        sessions.append(f"{parts.hostname}:{parts.port}/{client_id}")
    return hashlib.sha256(" ".join(sorted(sessions)).encode()).hexdigest()[:12]


def _use_tls(scheme: str) -> str:
    """Return what to do where a broker hangs up on an address without TLS; empty where it has it."""
    secure = _WITH_TLS.get(scheme)
    if secure is None:
        return ""
    return (
        f"if this is the broker's TLS port, write {secure}:// in PREVENANT_MQTT_URL; "
        "else see the broker's own log"
    )


def _remedy_of_code(name: str) -> str:
    if "protocol" in name:
        return "add ?protocol=3.1.1 to PREVENANT_MQTT_URL"
    if "auth" in name or "user name" in name:
        return "put the right user and password into PREVENANT_MQTT_URL"
    return "see the broker's own log; it may want a client certificate: ?cert= and ?key="


def _remedy_of_error(error: OSError | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return "the broker's certificate has expired: renew it"
        if error.verify_code in _WRONG_HOSTS:
            return (
                "the broker's certificate is for another name: use that name in PREVENANT_MQTT_URL"
            )
        return "the broker's certificate is not trusted: name its CA with ?ca=FILE"
    if isinstance(error, ssl.SSLError):
        return (
            "is this the broker's TLS port, and does it want a client certificate (?cert=, ?key=)?"
        )
    if isinstance(error, socket.gaierror):
        return "there is no such host: check the name in PREVENANT_MQTT_URL"
    if isinstance(error, paho.WebsocketConnectionError):
        return "is this the broker's port for WebSockets, and the path right?"
    return "start it, or name another with PREVENANT_MQTT_URL"
