"""One process that publishes as fast as the broker takes it: frames made beforehand, plain sockets.

python -m benchmarks.publisher PORT QOS COUNT RATE      waits for a line, then publishes so many (0: until
another line comes), so many a second (0: as fast as the broker takes them), and says how many it has sent
"""

import itertools
import json
import random
import socket
import struct
import sys
import threading
import time

DEVICES, VARIETY = 1_000, 40
FIELDS = ("temperature", "humidity", "current", "vibration", "pressure")
_BASES = (20.0, 40.0, 3.0, 0.5, 1000.0)
_EXCEEDS = 0.002
"""The share of readings beyond a few of the thresholds."""
_PAYLOAD_BYTES = 150
FRAMES_A_WRITE = 250
_SEED = 7


def payloads() -> list[tuple[str, bytes]]:
    """Return topics and JSON payloads of 150 bytes: every device in turn, each time other values."""
    noise = random.Random(_SEED)
    made = []
    for number in range(DEVICES * VARIETY):
        values: dict[str, float | str] = {
            name: round(base * noise.uniform(0.9, 1.1), 3)
            for name, base in zip(FIELDS, _BASES, strict=True)
        }
        if noise.random() < _EXCEEDS:
            values["temperature"] = round(noise.uniform(30.0, 35.0), 3)
        text = json.dumps(values | {"serial": ""})
        values["serial"] = "x" * (_PAYLOAD_BYTES - len(text))
        made.append((f"bench/s1/units/u{number % DEVICES}", json.dumps(values).encode()))
    return made


def publish_frame(topic: str, payload: bytes, qos: int, packet_id: int) -> bytes:
    """Return one PUBLISH packet of MQTT 3.1.1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name
    if qos:
        body += struct.pack("!H", packet_id)
    body += payload
    return bytes([0x30 | qos << 1]) + _length(len(body)) + body


def connect(port: int, client_id: str = "bench-publisher") -> socket.socket:
    """Connect to a broker of 127.0.0.1 and wait for its answer."""
    link = socket.create_connection(("127.0.0.1", port))
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(client_id)) + client_id.encode()
    link.sendall(b"\x10" + _length(len(body)) + body)
    link.recv(4)
    return link


def publish(port: int, qos: int, count: int, rate: int) -> None:
    """Publish in turns."""
    ids = itertools.cycle(range(1, 65_536))
    frames = [publish_frame(t, p, qos, next(ids)) for t, p in payloads()]
    writes = [
        b"".join(frames[start : start + FRAMES_A_WRITE])
        for start in range(0, len(frames), FRAMES_A_WRITE)
    ]
    link = connect(port)
    reader = threading.Thread(target=_forget_what_comes, args=(link,), daemon=True)
    reader.start()
    print("ready", flush=True)  # noqa: T201  for the one who started us
    sys.stdin.readline()
    told_to_stop = threading.Event()
    threading.Thread(target=_wait_for_line, args=(told_to_stop,), daemon=True).start()
    sent, began = 0, time.monotonic()
    for write in itertools.islice(itertools.cycle(writes), count // FRAMES_A_WRITE or None):
        link.sendall(write)
        sent += FRAMES_A_WRITE
        if told_to_stop.is_set():
            break
        if rate:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    # Not before the broker has read it all: what is on its way would be lost with the connection.
    link.shutdown(socket.SHUT_WR)
    reader.join()
    print(sent, flush=True)  # noqa: T201  as above
    told_to_stop.wait()


def _wait_for_line(told: threading.Event) -> None:
    sys.stdin.readline()
    told.set()


def _forget_what_comes(link: socket.socket) -> None:
    while link.recv(1 << 20):
        pass


def _length(size: int) -> bytes:
    parts = bytearray()
    while True:
        size, part = size >> 7, size & 0x7F
        parts.append(part | (0x80 if size else 0))
        if not size:
            return bytes(parts)


if __name__ == "__main__":
    try:
        publish(*(int(text) for text in sys.argv[1:5]))
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        sys.exit(0)
