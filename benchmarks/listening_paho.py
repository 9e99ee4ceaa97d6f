"""paho's own client with a callback that counts.

python -m benchmarks.listening_paho PORT QOS COUNT
"""

import json
import resource
import sys
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Counting(paho.Client):
    """Counts messages and disconnects after `count`."""

    def __init__(self, count: int) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self._count = count
        self._taken = 0
        self.began = 0.0
        self.on_message = self._take
        self.on_subscribe = lambda *_: print("ready", flush=True)  # noqa: T201  for who started us

    def _take(self, _client: Any, _data: Any, _message: Any) -> None:
        if not self._taken:
            self.began = time.perf_counter()
        self._taken += 1
        if self._taken == self._count:
            self.disconnect()


def listen(port: int, qos: int, count: int) -> dict[str, float]:
    """Take `count` messages; return the rate and the processor's time for each."""
    client = Counting(count)
    client.connect("127.0.0.1", port)
    client.subscribe("bench/#", qos)
    client.loop_forever()
    seconds = time.perf_counter() - client.began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"rate": count / seconds, "cpu_us": (usage.ru_utime + usage.ru_stime) / count * 1e6}


if __name__ == "__main__":
    print(json.dumps(listen(*(int(text) for text in sys.argv[1:4]))), flush=True)  # noqa: T201
