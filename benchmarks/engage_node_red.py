"""Node-RED on the same way: mqtt in, and an http request for each reading that says `hot` or `gone`.

Between the two stand what is needed to tell those from the other traffic: json, and a switch.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.listening_node_red import PROGRAM
from simulators.broker import free_port

_STARTS_WITHIN_S = 60.0


def flows(port: int, url: str) -> list[dict[str, Any]]:
    """Return the flow, as Node-RED's editor would save it."""
    broker: dict[str, Any] = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(port),
        "protocolVersion": "4",
        "cleansession": True,
    }
    rules = [{"t": "istype", "v": "boolean", "vt": "boolean"}]
    nodes: list[dict[str, Any]] = [
        {"id": "in", "type": "mqtt in", "topic": "#", "qos": "1", "datatype": "utf8"},
        {"id": "json", "type": "json", "property": "payload", "action": "obj"},
        {
            "id": "switch",
            "type": "switch",
            "property": "payload.hot",
            "propertyType": "msg",
            "rules": rules,
            "checkall": "true",
            "outputs": 1,
        },
        {"id": "post", "type": "http request", "method": "POST", "ret": "txt", "url": url},
    ]
    for node, wire in zip(nodes, ["json", "switch", "post", None], strict=True):
        # Without a place in the editor, a node is taken for configuration.
        node |= {"z": "tab", "x": 100, "y": 100, "wires": [[wire]] if wire else [[]]}
    nodes[0]["broker"] = "broker"
    return [{"id": "tab", "type": "tab", "label": "bench"}, broker, *nodes]


@contextmanager
def node_red(port: int, url: str, folder: Path) -> Iterator[None]:
    """Run Node-RED, connected to a broker of this machine, which posts to `url`."""
    (folder / "flows.json").write_text(json.dumps(flows(port, url)), "utf-8")
    log = folder / "node-red.log"
    with log.open("w") as output:
        node = subprocess.Popen(
            [str(PROGRAM), "-u", str(folder), "-p", str(free_port()), "flows.json"],
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_connected(log)
        yield
    finally:
        node.kill()
        node.wait()


def _wait_until_connected(log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while "Connected to broker" not in log.read_text("utf-8"):
        if time.monotonic() > deadline:
            message = f"Node-RED did not connect: {log.read_text('utf-8')[-500:]}"
            raise TimeoutError(message)
        time.sleep(0.1)
