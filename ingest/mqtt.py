"""The MQTT client: paho's, reading in large chunks and handing over whole batches.

Stock paho takes several system calls and a callback for each message. `BatchClient` reads up to
256 KiB at a time, splits the PUBLISH packets out of it, and acknowledges a batch with one write, after
the batch was taken. Connecting, authentication, TLS, keep-alive, reconnection and every packet but
PUBLISH stay paho's. All that is touched of paho's insides stands in this file.
"""

import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import paho.mqtt.client as paho
import structlog
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

log = structlog.get_logger()

Frame = tuple[bytes, bytes, int]
"""Topic, payload and flags of one message."""

RETAINED = 1
"""Flag: the broker had kept the message from before."""

_CHUNK_BYTES = 256 * 1024
_PUBLISH, _PUBLISH_MASK, _QOS_1 = 0x30, 0xF4, 0x02
"""The mask leaves out QoS 1, so that it finds QoS 0 and 1: QoS 2 is paho's, and never asked for."""
_PUBACK, _PUBACK_2 = 0x40, b"\x40\x02"
_LAST_7_BITS = 0x7F
_SESSION_EXPIRY_S = 7 * 86_400
_RECEIVE_MAXIMUM, _ALIASES = 5_000, 1_000
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_V311 = MQTTProtocolVersion.MQTTv311
_V5 = MQTTProtocolVersion.MQTTv5


class BatchClient(paho.Client):
    """paho's client, which gives QoS 0 and 1 messages to `on_batch` in batches.

    A batch is acknowledged when `on_batch` returns. If it raises, nothing of the batch is acknowledged,
    the error ends the loop, and the broker sends the batch again in the next connection.
    """

    def __init__(
        self,
        client_id: str,
        protocol: MQTTProtocolVersion,
        on_batch: Callable[[Sequence[Frame]], None],
        transport: Any = "tcp",
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=False if protocol == _V311 else None,
            protocol=protocol,
            transport=transport,
            manual_ack=True,
        )
        self._on_batch = on_batch
        self._unsplit = bytearray()
        self._aliases: dict[int, bytes] = {}

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; half a packet of the old connection is forgotten."""
        self._unsplit.clear()
        self._aliases.clear()
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what has arrived, and hand over the messages in it as one batch."""
        del max_packets
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            chunk = self._sock_recv(_CHUNK_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            chunk = b""
        if not chunk:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = paho.time_func()
        self._unsplit += chunk
        return self._take_packets()

    def _take_packets(self) -> MQTTErrorCode:
        """Split all whole packets off; what is left waits for the next chunk."""
        frames: list[Frame] = []
        packet_ids: list[bytes] = []
        taken, code = self._split(bytes(self._unsplit), frames, packet_ids)
        del self._unsplit[:taken]
        if frames:
            self._on_batch(frames)
        if packet_ids and self._sock is not None:
            acknowledgements = _PUBACK_2 + _PUBACK_2.join(packet_ids)
            self._packet_queue(_PUBACK, bytearray(acknowledgements), 0, 0)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return self._loop_rc_handle(code)
        return code

    def _split(  # noqa: C901, PLR0912  written out for its speed, see below
        self, buffer: bytes, frames: list[Frame], packet_ids: list[bytes]
    ) -> tuple[int, MQTTErrorCode]:
        """Add every whole PUBLISH to `frames`; return where the rest begins, and what is wrong there.

        Every message of every device passes here: the loop is written out, and calls what is rare.
        """
        start, size, has_properties = 0, len(buffer), self._protocol == _V5
        try:
            while start + 1 < size:
                command, length, body = buffer[start], buffer[start + 1], start + 2
                if length > _LAST_7_BITS:
                    if body < size and buffer[body] <= _LAST_7_BITS:
                        length, body = length - 0x80 + (buffer[body] << 7), body + 1
                    else:
                        length, body = _long_length(buffer, start + 1)
                end = body + length
                if end > size:
                    break
                if command & _PUBLISH_MASK == _PUBLISH:
                    position = body + 2 + (buffer[body] << 8) + buffer[body + 1]
                    topic = buffer[body + 2 : position]
                    packet_id = position
                    if command & _QOS_1:
                        position += 2
                    if has_properties:
                        if buffer[position]:
                            topic, position = self._read_properties(
                                topic, buffer[position:end], position
                            )
                        else:
                            position += 1
                    if position > end or not topic:
                        return start, MQTTErrorCode.MQTT_ERR_PROTOCOL
                    frames.append((topic, buffer[position:end], command & RETAINED))
                    if command & _QOS_1:
                        packet_ids.append(buffer[packet_id : packet_id + 2])
                else:
                    code = self._leave_to_paho(command, buffer[body:end])
                    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                        return end, code
                start = end
        except (IndexError, KeyError, ValueError):
            return start, MQTTErrorCode.MQTT_ERR_PROTOCOL
        return start, MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read_properties(self, topic: bytes, rest: bytes, position: int) -> tuple[bytes, int]:
        """Return the topic, which may be an alias, and where the payload begins.

        `rest` is the packet from its properties on, and `position` where that stands in the buffer.

        Raises ValueError, IndexError or KeyError where the broker broke the protocol.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        try:
            _, taken = properties.unpack(rest)  # type: ignore[no-untyped-call]
        except MQTTException as error:
            raise ValueError from error
        alias = getattr(properties, "TopicAlias", None)
        if alias is None:
            return topic, position + taken
        if topic:
            self._aliases[alias] = topic
        return self._aliases[alias], position + taken

    def _leave_to_paho(self, command: int, packet: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": command,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(packet),
            "packet": bytearray(packet),
            "to_process": 0,
            "pos": 0,
        }
        try:
            return self._packet_handle()
        finally:
            self._in_packet["command"] = 0


class Listener:
    """Keeps one persistent session with a broker and gives every batch to `on_batch`.

    A broker that is away is waited for; the log says so once, with what to do. `on_change` is told
    whether we are connected and subscribed, whenever that changes.
    """

    def __init__(
        self,
        url: str,
        subscriptions: Sequence[str],
        on_batch: Callable[[Sequence[Frame]], None],
        on_change: Callable[[bool], None],
    ) -> None:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or _PORTS[parts.scheme]
        self._shown = f"{parts.scheme}://{self._host}:{self._port}"
        self._subscriptions = subscriptions
        protocol = _V311 if query.get("protocol", "5").startswith("3") else _V5
        transport = "websockets" if parts.scheme in {"ws", "wss"} else "tcp"
        self._client = BatchClient(
            query.get("client_id", "prevenant"), protocol, on_batch, transport
        )
        if parts.scheme in {"ws", "wss"}:
            self._client.ws_set_options(path=parts.path or "/mqtt")
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme in {"mqtts", "wss"}:
            self._client.tls_set(
                query.get("ca"), query.get("cert"), query.get("key"), cert_reqs=ssl.CERT_REQUIRED
            )
        self._client.reconnect_delay_set(1, 4)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._not_connected
        self._on_change = on_change
        self._complained = False
        self._stopping = False
        self.connected = threading.Event()
        """Set while the broker has confirmed our subscriptions."""
        self._client.on_subscribe = self._subscribed

    def run(self) -> None:
        """Listen until `stop`."""
        properties = None
        if self._client.protocol == _V5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            properties.TopicAliasMaximum = _ALIASES
            self._client.connect_async(
                self._host, self._port, keepalive=30, clean_start=False, properties=properties
            )
        else:
            self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_forever(retry_first_connection=True)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send devices something, once, from any thread; while the broker is away it is not sent."""
        if self.connected.is_set():
            self._client.publish(topic, payload, qos=0)

    def stop(self) -> None:
        """End `run`; the broker keeps the session."""
        self._stopping = True
        self._client.disconnect()

    def _connected(
        self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        if code.is_failure:
            log.error(
                "broker refused us", broker=self._shown, reason=str(code), remedy=_remedy(code)
            )
            return
        self._complained = False
        log.info("listening", broker=self._shown, topics=list(self._subscriptions))
        if self._client.protocol == _V5:
            # Retained messages come once, with a new subscription, not with every reconnection.
            options = SubscribeOptions(qos=1, retainHandling=1)
            self._client.subscribe([(topic, options) for topic in self._subscriptions])
        else:
            self._client.subscribe([(topic, 1) for topic in self._subscriptions])

    def _subscribed(
        self, _client: Any, _data: Any, _mid: Any, codes: Sequence[Any], _properties: Any
    ) -> None:
        for topic, code in zip(self._subscriptions, codes, strict=False):
            if code.is_failure:
                log.error("broker refused a subscription", topic=topic, reason=str(code))
        self.connected.set()
        self._on_change(True)  # noqa: FBT003  the callback has one argument

    def _disconnected(
        self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any
    ) -> None:
        self.connected.clear()
        self._on_change(False)  # noqa: FBT003  as above
        if not self._stopping:
            log.warning("broker lost, connecting again", broker=self._shown, reason=str(code))

    def _not_connected(self, _client: Any, _data: Any) -> None:
        if not self._complained:
            self._complained = True
            log.error(
                "broker does not answer",
                broker=self._shown,
                remedy="start it, or name another with PREVENANT_MQTT_URL; trying again meanwhile",
            )


def _remedy(code: Any) -> str:
    name = str(code).lower()
    if "protocol" in name:
        return "add ?protocol=3.1.1 to PREVENANT_MQTT_URL"
    if "auth" in name or "user name" in name:
        return "put the right user and password into PREVENANT_MQTT_URL"
    return "see the broker's own log"


def _long_length(buffer: bytes, start: int) -> tuple[int, int]:
    """Return the length of a packet's body, and where that begins; beyond `buffer` if not known yet.

    Raises ValueError for a length of more than four bytes.
    """
    length = 0
    for number, byte in enumerate(buffer[start : start + 4]):
        length |= (byte & _LAST_7_BITS) << 7 * number
        if byte <= _LAST_7_BITS:
            return length, start + number + 1
    if len(buffer) - start >= 4:  # noqa: PLR2004  lengths have 4 bytes at most
        message = "a length has more than four bytes"
        raise ValueError(message)
    return 0, len(buffer) + 1
