"""Node-RED: mqtt in, json, a switch on one threshold, mqtt out.

python -m benchmarks.listening_node_red PORT QOS COUNT FOLDER

What it lets through is rare, and its last message tells that the whole load was read.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.publisher import payloads
from simulators.broker import free_port
from simulators.fleet import take_leave

PROGRAM = Path(".peers/node_modules/.bin/node-red")

_THRESHOLD = 30.0
_STARTS_WITHIN_S, _PATIENCE_S = 60.0, 60.0


def flows(port: int, qos: int) -> list[dict[str, Any]]:
    """Return the flow, as Node-RED's editor would save it."""
    broker: dict[str, Any] = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(port),
        "protocolVersion": "4",
        "cleansession": True,
    }
    nodes: list[dict[str, Any]] = [
        {"id": "in", "type": "mqtt in", "topic": "bench/#", "qos": str(qos), "datatype": "utf8"},
        {"id": "json", "type": "json", "property": "payload", "action": "obj"},
        {
            "id": "switch",
            "type": "switch",
            "property": "payload.temperature",
            "propertyType": "msg",
            "rules": [{"t": "gt", "v": str(_THRESHOLD), "vt": "num"}],
            "checkall": "true",
            "outputs": 1,
        },
        {"id": "out", "type": "mqtt out", "topic": "over", "qos": str(qos)},
    ]
    for node, wire in zip(nodes, ["json", "switch", "out", None], strict=True):
        # Without a place in the editor, a node is taken for configuration.
        node |= {"z": "tab", "x": 100, "y": 100, "wires": [[wire]] if wire else []}
        if node["type"].startswith("mqtt"):
            node["broker"] = "broker"
    return [{"id": "tab", "type": "tab", "label": "bench"}, broker, *nodes]


def exceeding(count: int) -> int:
    """Return how many of the first `count` messages Node-RED lets through."""
    load = [bool(json.loads(payload)["temperature"] > _THRESHOLD) for _, payload in payloads()]
    whole, rest = divmod(count, len(load))
    return whole * sum(load) + sum(load[:rest])


def listen(port: int, qos: int, count: int, folder: Path) -> dict[str, float]:
    """Let Node-RED read `count` messages; return the rate and its processor time for each.

    Node-RED reads on while more comes, and lets nothing out meanwhile: only the end tells.
    """
    (folder / "flows.json").write_text(json.dumps(flows(port, qos)), "utf-8")
    expected, passed = exceeding(count), paho.Client(CallbackAPIVersion.VERSION2)
    times: list[float] = []
    passed.on_message = lambda *_: times.append(time.perf_counter())
    with (folder / "node-red.log").open("w") as log:
        node = subprocess.Popen(
            [str(PROGRAM), "-u", str(folder), "-p", str(free_port()), "flows.json"],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_connected(folder / "node-red.log")
        passed.connect("127.0.0.1", port)
        passed.subscribe("over", 1)
        passed.loop_start()
        time.sleep(1)
        used, began = _processor_seconds(node.pid), time.perf_counter()
        print("ready", flush=True)  # noqa: T201  for the one who started us
        while len(times) < expected and time.perf_counter() - began < _PATIENCE_S:
            time.sleep(0.05)
        used = _processor_seconds(node.pid) - used
    finally:
        node.kill()
        node.wait()
        take_leave(passed)
    if len(times) < expected:
        message = f"Node-RED let through {len(times)} of {expected} in {_PATIENCE_S:g} s"
        raise TimeoutError(message)
    return {"rate": count / (times[-1] - began), "cpu_us": used / count * 1e6}


def _wait_until_connected(log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while "Connected to broker" not in log.read_text("utf-8"):
        if time.monotonic() > deadline:
            message = f"Node-RED did not connect: {log.read_text('utf-8')[-500:]}"
            raise TimeoutError(message)
        time.sleep(0.1)


def _processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    port, qos, count = (int(text) for text in sys.argv[1:4])
    print(json.dumps(listen(port, qos, count, Path(sys.argv[4]))), flush=True)  # noqa: T201  the answer
