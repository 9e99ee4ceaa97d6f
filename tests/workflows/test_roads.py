"""Travel times by road: from a server that answers as OSRM or Valhalla does, and without it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.workflows.dispatching import HERE, URGENT, VISIT, DispatchDesk
from workflows.roads import NoWay, Question, Roads


class RoutingServer(ThreadingHTTPServer):
    """Answers OSRM's table service and Valhalla's matrix: everybody takes a minute for each degree north.

    Who stands at a latitude in `slow` takes so many seconds instead; None: no road leads there.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.slow: dict[float, float | None] = {}
        self.status = 200
        self.body: bytes | None = None
        self.asked: list[str] = []
        self.released = threading.Event()
        self.released.set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def seconds(self, lat: float) -> float | None:
        """Return how long the way from a latitude takes."""
        return next((s for at, s in self.slow.items() if abs(at - lat) < 1e-4), 60.0)


class _Handler(BaseHTTPRequestHandler):
    server: RoutingServer

    def do_GET(self) -> None:
        places = self.path.split("?")[0].rpartition("/")[2].split(";")
        lats = [float(place.split(",")[1]) for place in places]
        durations = [[self.server.seconds(lat)] for lat in lats[:-1]]
        self._answer({"code": "Ok", "durations": durations})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [
            [{"time": self.server.seconds(one["lat"]), "distance": 1.0}] for one in asked["sources"]
        ]
        self._answer({"sources_to_targets": rows})

    def _answer(self, value: dict[str, Any]) -> None:
        self.server.asked.append(self.path)
        self.server.released.wait(60)
        body = self.server.body if self.server.body is not None else json.dumps(value).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[RoutingServer]:
    """Run a routing server."""
    server = RoutingServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def question(on_foot: bool = False) -> Question:
    positions = {"a": (48.0, 5.0), "b": (47.5, 5.0), "c": (47.0, 5.0)}
    return Question(1, "0", 0.0, HERE, positions, on_foot)


@pytest.mark.parametrize("engine", ["osrm", "valhalla"])
def test_both_engines_are_understood(server: RoutingServer, engine: str) -> None:
    server.slow = {47.5: 1_234.5, 47.0: None}
    roads = Roads(server.url, engine, timeout_s=30)
    assert roads.find_ways(question()) == {"a": 60.0, "b": 1_234.5}
    assert ("/table/v1/driving/5" in server.asked[0]) == (engine == "osrm")


BROKEN: list[tuple[int, bytes]] = [
    (500, b"{}"),
    (503, b"{}"),
    (429, b"{}"),
    (400, b'{"code": "InvalidQuery"}'),
    (200, b"not json"),
    (200, b'{"code": "Ok"}'),
    (200, b'{"durations": [[1]]}'),
    (200, b"[]"),
    (200, b'{"durations": [["near"], [1], [2]]}'),
    (200, b'{"durations": [[1' + b"0" * 400 + b"], [1], [2]]}"),
    (200, b"[" * 100_000),
]


@pytest.mark.parametrize(("status", "body"), BROKEN)
def test_anything_else_is_no_way(server: RoutingServer, status: int, body: bytes) -> None:
    server.status, server.body = status, body
    with pytest.raises(NoWay, match="OSRM"):
        Roads(server.url, timeout_s=30).find_ways(question())
    assert len(server.asked) == 1, "a server in trouble is left alone"


def test_a_server_that_is_not_there_or_silent_is_no_way(server: RoutingServer) -> None:
    server.released.clear()
    with pytest.raises(NoWay, match="OSRM does not answer"):
        Roads(server.url, timeout_s=0.2).find_ways(question())
    with pytest.raises(NoWay, match="OSRM does not answer"):
        Roads("http://127.0.0.1:9", timeout_s=0.2).find_ways(question())


def on_roads(desk: DispatchDesk, server: RoutingServer, engine: str = "osrm") -> Roads:
    """Let a desk ask the server."""
    roads = Roads(server.url, engine, timeout_s=30.0)
    desk.office.use_roads(roads, desk.store, desk.clock)
    for number, name in enumerate(("near", "middle", "far"), 1):
        desk.add_technician(name, 10 * number)
    return roads


def work_until_offered(desk: DispatchDesk) -> None:
    """Work on what the server answers."""

    def offered() -> bool:
        desk.work()
        return bool(desk.offers())

    wait_until(offered, "offer")


def test_the_way_by_road_decides_and_the_reason_says_so(
    store: Store, clock: MovedClock, server: RoutingServer
) -> None:
    desk = DispatchDesk(store, clock)
    roads = on_roads(desk, server)
    server.slow = {HERE[0] + 10 / 111.19: 7_200.0}
    desk.raise_alarm()
    work_until_offered(desk)
    assert desk.offers() == [("far", "open")] or desk.offers() == [("middle", "open")]
    (last,) = desk.rounds()
    assert last.ways == "OSRM, 3 ways"
    ranked = {name: (rank, why) for name, rank, why in desk.candidates()}
    assert ranked["near"] == (3, "120 min away by OSRM (10.0 km)")
    desk.reply(desk.offers()[0][0], "offer", "decline")
    assert len(server.asked) == 1, "what is known is not asked again"
    assert len(desk.offers()) == 2
    roads.stop()


def test_without_an_answer_the_great_circle_serves(
    store: Store, clock: MovedClock, server: RoutingServer
) -> None:
    desk = DispatchDesk(store, clock)
    roads = on_roads(desk, server)
    server.status = 500
    desk.raise_alarm()
    work_until_offered(desk)
    assert desk.offers() == [("near", "open")]
    assert desk.rounds()[0].ways == "great circle: OSRM answers with HTTP 500"
    roads.stop()


def test_an_answer_that_comes_too_late_changes_nothing(
    store: Store, clock: MovedClock, server: RoutingServer
) -> None:
    desk = DispatchDesk(store, clock)
    roads = on_roads(desk, server)
    server.released.clear()
    desk.raise_alarm()
    assert desk.offers() == []
    wait_until(lambda: server.asked, "question")
    desk.pass_time(seconds=2 * roads.timeout_s + 1)
    assert desk.offers() == [("near", "open")]
    assert desk.rounds()[0].ways == "great circle: OSRM did not answer in time"
    server.released.set()
    roads.stop()
    desk.work()
    assert desk.offers() == [("near", "open")]


def test_life_safety_waits_for_no_server(
    store: Store, clock: MovedClock, server: RoutingServer
) -> None:
    desk = DispatchDesk(store, clock, URGENT)
    on_roads(desk, server)
    desk.raise_alarm(severity=5)
    assert len(desk.offers()) == 3
    assert server.asked == []


def test_ways_on_foot_are_asked_of_valhalla_alone(
    store: Store, clock: MovedClock, server: RoutingServer
) -> None:
    desk = DispatchDesk(store, clock, VISIT.replace("offer: 10m", "offer: 10m, on_foot: true"))
    on_roads(desk, server)
    desk.raise_alarm()
    assert desk.offers() == [("near", "open")]
    assert server.asked == []
    roads = Roads(server.url, "valhalla", timeout_s=30.0)
    desk.office.use_roads(roads, store, clock)
    desk.raise_alarm(number=2)
    wait_until(lambda: server.asked, "question")
    roads.stop()
    desk.work()
    assert desk.rounds()[-1].ways == "Valhalla, 2 ways"
