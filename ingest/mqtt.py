"""The MQTT client: paho's, reading in large chunks and handing over whole batches.

Stock paho takes several system calls and a callback for each message. `BatchClient` reads up to
256 KiB at a time, splits the PUBLISH packets out of it, and acknowledges a batch with one write, after
the batch was taken. Connecting, authentication, TLS, keep-alive, reconnection and every packet but
PUBLISH stay paho's. All that is touched of paho's insides stands in this file.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

Frame = tuple[bytes, bytes, int]
"""Topic, payload and flags of one message."""

RETAINED = 1
"""Flag: the broker had kept the message from before."""

_CHUNK_BYTES = 256 * 1024
_PUBLISH, _PUBLISH_MASK, _QOS_1 = 0x30, 0xF4, 0x02
"""The mask leaves out QoS 1, so that it finds QoS 0 and 1; QoS 2 is rare and has its own way."""
_KIND, _QOS, _QOS_2, _PUBREL = 0xF0, 0x06, 0x04, 0x62
_PUBACK, _PUBREC, _PUBCOMP = 0x40, 0x50, 0x70
_LAST_7_BITS = 0x7F
_USER_PROPERTY, _TOPIC_ALIAS, _SUBSCRIPTION = 38, 35, 11
_TEXTS = {3, 8, 9}
"""Properties of MQTT 5 with one text: content type, response topic, correlation data."""
_SIZES = {1: 1, 2: 4}
"""Bytes of the properties that have a fixed size: payload format, message expiry."""
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.5, 8.0
V311 = MQTTProtocolVersion.MQTTv311
V5 = MQTTProtocolVersion.MQTTv5


class BatchClient(paho.Client):
    """paho's client, which gives messages to `on_batch` in batches.

    A batch is acknowledged when `on_batch` returns: QoS 1 with PUBACK, QoS 2 with PUBREC. If it raises,
    nothing of the batch is acknowledged, the error ends the loop, and the broker sends the batch again in
    the next connection. What the broker repeats at QoS 2 is handed over once, as long as this client
    lives and the broker keeps the session; after a restart it may come again.
    """

    def __init__(
        self,
        client_id: str,
        protocol: MQTTProtocolVersion,
        on_batch: Callable[[Sequence[Frame]], None],
        transport: Any = "tcp",
        noise: random.Random | None = None,
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=False if protocol == V311 else None,
            protocol=protocol,
            transport=transport,
            manual_ack=True,
        )
        self._on_batch = on_batch
        self._unsplit = bytearray()
        self._awaited = 0
        """So many bytes have to be there before a whole packet is."""
        self._aliases: dict[int, bytes] = {}
        self._held: set[bytes] = set()
        """Packets of QoS 2 that we have, and whose release the broker has not sent yet."""
        self._received: list[bytes] = []
        """Packets of QoS 2 in the batch under way."""
        self._noise = noise or random.Random()  # noqa: S311  spreads reconnections, keeps no secret
        self._attempts = 0
        self._hurry = threading.Event()
        self._due: deque[Callable[[], None]] = deque()
        """What other threads want done in the loop's."""
        self.error: OSError | None = None
        """Why the last attempt to connect failed."""

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; half a packet of the old connection is forgotten."""
        self._unsplit.clear()
        self._awaited = 0
        self._aliases.clear()
        self._received.clear()
        self.error = None
        try:
            return super().reconnect()
        except OSError as error:
            self.error = error
            raise

    def was_welcomed(self, *, is_resumed: bool) -> None:
        """Take note that the broker has accepted us: the next waits are short again.

        Where it has not resumed our session, it numbers packets of QoS 2 anew.
        """
        self._attempts = 0
        if not is_resumed:
            self._held.clear()

    def call_soon(self, work: Callable[[], None]) -> None:
        """Have the loop do `work` in its own thread, once it is connected; any thread may ask."""
        self._due.append(work)
        if self._sockpairW is not None:
            with suppress(OSError):
                self._sockpairW.send(b"\0")

    def loop_misc(self) -> MQTTErrorCode:
        """Do what was asked for, then what paho does now and then."""
        while self._due:
            self._due.popleft()()
        return super().loop_misc()

    def leave(self) -> None:
        """Disconnect, and wait for nothing any more."""
        self._hurry.set()
        self.disconnect()

    def reconnect_delay_s(self) -> float:
        """Return how long to wait before the next attempt: longer each time, and never all at once."""
        self._attempts += 1
        longest = min(_LONGEST_WAIT_S, _SHORTEST_WAIT_S * 2**self._attempts)
        return self._noise.uniform(_SHORTEST_WAIT_S / 2, longest)

    def _reconnect_wait(self) -> None:
        self._hurry.wait(self.reconnect_delay_s())

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
        if len(self._unsplit) < self._awaited:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return self._take_packets()

    def _take_packets(self) -> MQTTErrorCode:
        """Split all whole packets off; what is left waits for the next chunk."""
        frames: list[Frame] = []
        packet_ids: list[bytes] = []
        taken, code = self._split(bytes(self._unsplit), frames, packet_ids)
        del self._unsplit[:taken]
        if frames:
            self._on_batch(frames)
        self._acknowledge(_PUBACK, packet_ids)
        if self._received:
            self._held.update(self._received)
            self._acknowledge(_PUBREC, self._received)
            self._received = []
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return self._loop_rc_handle(code)
        return code

    def _acknowledge(self, command: int, packet_ids: Sequence[bytes]) -> None:
        if packet_ids and self._sock is not None:
            head = bytes((command, 2))
            self._packet_queue(command, bytearray(head + head.join(packet_ids)), 0, 0)

    def _split(  # noqa: C901, PLR0912  written out for its speed, see below
        self, buffer: bytes, frames: list[Frame], packet_ids: list[bytes]
    ) -> tuple[int, MQTTErrorCode]:
        """Add every whole PUBLISH to `frames`; return where the rest begins, and what is wrong there.

        Every message of every device passes here: the loop is written out, and calls what is rare.
        """
        start, size, has_properties = 0, len(buffer), self._protocol == V5
        self._awaited = 0
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
                    self._awaited = end - start
                    break
                if command & _PUBLISH_MASK == _PUBLISH:
                    position = body + 2 + (buffer[body] << 8) + buffer[body + 1]
                    topic = buffer[body + 2 : position]
                    packet_id = position
                    if command & _QOS_1:
                        position += 2
                    if has_properties:
                        if buffer[position]:
                            topic, position = self._read_properties(topic, buffer, position, end)
                        else:
                            position += 1
                    if position > end or not topic:
                        return start, MQTTErrorCode.MQTT_ERR_PROTOCOL
                    frames.append((topic, buffer[position:end], command & RETAINED))
                    if command & _QOS_1:
                        packet_ids.append(buffer[packet_id : packet_id + 2])
                elif command & _KIND == _PUBLISH:
                    self._take_qos_2(command, buffer[body:end], frames)
                elif command == _PUBREL:
                    self._held.discard(buffer[body : body + 2])
                    self._acknowledge(_PUBCOMP, [buffer[body : body + 2]])
                else:
                    code = self._leave_to_paho(command, buffer[body:end])
                    if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                        return end, code
                start = end
        except (IndexError, KeyError, ValueError):
            return start, MQTTErrorCode.MQTT_ERR_PROTOCOL
        return start, MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_qos_2(self, command: int, packet: bytes, frames: list[Frame]) -> None:
        """Add a message of QoS 2, unless we hold it already. Raises as `_read_properties`."""
        if command & _QOS != _QOS_2:
            message = "a message of QoS 3"
            raise ValueError(message)
        start = 2 + int.from_bytes(packet[:2])
        topic, packet_id, position = packet[2:start], packet[start : start + 2], start + 2
        if self._protocol == V5:
            topic, position = self._read_properties(topic, packet, position, len(packet))
        if not topic or position > len(packet):
            message = "a message without a topic, or cut short"
            raise ValueError(message)
        if packet_id not in self._held and packet_id not in self._received:
            frames.append((topic, packet[position:], command & RETAINED))
        self._received.append(packet_id)

    def _read_properties(
        self, topic: bytes, buffer: bytes, start: int, end: int
    ) -> tuple[bytes, int]:
        """Return the topic, which may be an alias, and where the payload begins.

        The packet's properties are in `buffer` from `start` on, and the packet ends at `end`.

        Raises ValueError, IndexError or KeyError where the broker broke the protocol.
        """
        alias, position = _find_alias(buffer, start, end)
        if not alias:
            return topic, position
        if topic:
            self._aliases[alias] = topic
        return self._aliases[alias], position

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


def _find_alias(buffer: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the topic alias among the properties of a PUBLISH, or 0, and where the payload begins.

    Every other property is passed over. What devices write into them is not judged: one that a broker let
    through and we refused would come again in each connection.

    Raises ValueError, IndexError or KeyError where these are no properties of a PUBLISH.
    """
    alias = 0
    size, position = _long_length(buffer, start)
    stop = position + size
    if stop > end:
        message = "properties beyond the packet"
        raise ValueError(message)
    while position < stop:
        kind, position = buffer[position], position + 1
        if kind == _USER_PROPERTY:
            position += 2 + (buffer[position] << 8) + buffer[position + 1]
            position += 2 + (buffer[position] << 8) + buffer[position + 1]
        elif kind in _TEXTS:
            position += 2 + (buffer[position] << 8) + buffer[position + 1]
        elif kind == _TOPIC_ALIAS:
            alias = (buffer[position] << 8) + buffer[position + 1] or -1
            position += 2
        elif kind == _SUBSCRIPTION:
            _, position = _long_length(buffer, position)
        else:
            position += _SIZES[kind]
    if position != stop or alias < 0:
        message = "properties cut short, or an alias that is 0"
        raise ValueError(message)
    return alias, stop


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
