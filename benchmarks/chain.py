"""The demo's chain, timed from outside: a device's publish to the hand-over at the carrier.

The engine is the process that a user runs, on SQLite with `synchronous=FULL`, with the shipped rule
book. One defibrillator after the other is taken out of its cabinet; the clock stops when the first
call or text about it arrives at the carrier. What lies beyond the carrier is not measured.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho

from benchmarks.figures import Figure, percentile, report
from simulators.broker import free_port, start_broker
from simulators.carrier import Carrier, Sent
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox

_PAUSE_S = 0.25
_PATIENCE_S = 20.0
_WARM_UP = 5

DEMO_DATA = Path("prevenant/crm/demo")


class TimedCarrier(Carrier):
    """Notes when each hand-over arrived, and for which device, by the label in its text."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, float] = {}

    def accept(self, kind: str, fields: dict[str, str]) -> Sent:
        """Take something to deliver, and the time."""
        at = time.perf_counter()
        sent = super().accept(kind, fields)
        for word in sent.body.replace(",", " ").split():
            if word.startswith("bench-"):
                self.first.setdefault(word, at)
        return sent


def measure(count: int) -> list[float]:
    """Return the milliseconds from publish to hand-over, one for each of `count` alarms."""
    with tempfile.TemporaryDirectory(prefix="prevenant-chain-") as name:
        folder = Path(name)
        broker, url = start_broker(folder / "broker")
        carrier, mailbox = TimedCarrier(), Mailbox()
        carrier.start()
        mailbox.start()
        book = Path("rules.yaml")
        engine = EngineProcess(folder, book, url, carrier, mailbox, free_port(), "bench")
        try:
            engine.run("crm", "import", str(DEMO_DATA))
            engine.start()
            engine.wait_until_ready()
            client = connect(url)
            # The engine waits for what the broker has kept before it lets timers run.
            time.sleep(3)
            times = [_one(client, carrier, number) for number in range(count + _WARM_UP)]
            take_leave(client)
        finally:
            engine.stop()
            carrier.stop()
            mailbox.stop()
            broker.terminate()
            broker.wait()
    return times[_WARM_UP:]


def _one(client: paho.Client, carrier: TimedCarrier, number: int) -> float:
    device = f"bench-{number}"
    payload = json.dumps({"in_cabinet": False, "battery": 90.0})
    began = time.perf_counter()
    client.publish(f"airport/t2/defibrillators/{device}", payload, qos=1)
    if not carrier.wait_for(lambda: device in carrier.first, _PATIENCE_S):
        message = f"nobody was told of {device}"
        raise TimeoutError(message)
    time.sleep(_PAUSE_S)
    return (carrier.first[device] - began) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many alarms")
    count = parser.parse_args(arguments).count
    times = measure(count)
    conditions = {
        "alarms": count,
        "store": "sqlite, synchronous=FULL",
        "journal": "synchronous=FULL",
        "broker": "mosquitto, QoS 1, loopback",
        "carrier": "simulators.carrier, loopback",
        "one_at_a_time": True,
    }
    report(
        "chain",
        [
            Figure("handover_ms_p50", percentile(times, 0.5), "ms", conditions=conditions),
            Figure("handover_ms_p99", percentile(times, 0.99), "ms", conditions=conditions),
            Figure("handover_ms_max", max(times), "ms", conditions=conditions),
        ],
    )


if __name__ == "__main__":
    main()
