"""The console's process finds what devices have sent in the topic, although another one listens."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from simulators.carrier import Carrier
from tests.kafka.server import Kafka, running_kafka
from tests.moved_clock import MovedClock
from tests.servers import Broker
from tests.stories.shapes import Shape, make_settings, on_kafka, running

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_TOPIC = "airport/t2/thermometers/T1"


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """Run a Kafka."""
    with running_kafka(tmp_path / "kafka") as running_one:
        yield running_one


def test_curves_pages_and_what_arrives(
    tmp_path: Path,
    clock: MovedClock,
    broker: Broker,
    carrier: Carrier,
    kafka: Kafka,
    database_url: str,
) -> None:
    settings = make_settings(tmp_path, broker, carrier, database_url, kafka.url)
    with running(settings, clock, broker, on_kafka) as shape:
        for degrees in (21.0, 22.0, 23.0):
            _warm(shape, degrees)
            shape.let_pass(timedelta(minutes=1))
        url, headers = f"http://{settings.http}", {"Authorization": "Bearer admin"}

        def get(path: str, **query: str) -> Any:
            query["device"] = "t2/T1"
            answer = requests.get(url + path, query, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
            return answer.json()

        assert [one["values"]["temperature"] for one in get("/api/v1/readings")] == [23, 22, 21]
        (curve,) = get("/api/v1/curves")["curves"]
        assert (curve["name"], curve["points"][1]) == ("temperature", [21, 22, 23])

        with requests.get(
            f"{url}/api/v1/live/readings",
            {"device": "t2/T1"},
            headers=headers,
            stream=True,
            timeout=60,
        ) as live:
            lines = live.iter_lines(chunk_size=1)
            # It is looked from where the topic ends now, once the stream has begun.
            assert next(lines) == b": still here"
            _warm(shape, 24.0)
            data = next(line for line in lines if line.startswith(b"data:"))
        (one,) = json.loads(data.removeprefix(b"data:"))
        assert one["values"] == {"temperature": 24.0}


def _warm(shape: Shape, degrees: float) -> None:
    shape.say(_TOPIC, json.dumps({"temperature": degrees}).encode())
