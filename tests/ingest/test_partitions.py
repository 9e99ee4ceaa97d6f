"""Which partition a message belongs to: what is decided together comes together."""

from itertools import chain
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import Decoder
from ingest.mqtt import Frame
from ingest.partitions import BY_DEVICE, BY_SITE, Part, Partitioner
from prevenant.book import load_book
from rules.rule import RuleBook

NOW = 1_777_881_600.0
BOOK = """
devices:
  door:
    topic: airport/{site}/doors/{device}
    fields: {open: bool}
    status: airport/{site}/doors/{device}/status
  meter:
    topic: meters/+
    fields: {level: number}
    readings: list
    identity: {device: id, site: place}
  node:
    topic: spBv1.0/{site}/+/+/{device}
    format: sparkplug
    fields: {level: number}
rules:
  left-open: {on: door, when: open}
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> RuleBook:
    path: Path = tmp_path_factory.mktemp("book") / "rules.yaml"
    path.write_text(dedent(BOOK), "utf-8")
    return load_book(path).rules


def make(book: RuleBook, keyed_by: str, partitions: int = 7) -> Partitioner:
    return Partitioner(book.devices.values(), partitions, keyed_by)


def frame(topic: str, payload: bytes = b'{"open": true}') -> Frame:
    return topic.encode(), payload, 0


def homes(partitioner: Partitioner, *frames: Frame) -> list[list[int]]:
    return [sorted(partitioner.split([one], NOW)) for one in frames]


NAMES = st.text("abc123", min_size=1, max_size=4)


@given(NAMES, st.lists(NAMES, min_size=2, max_size=6))
def test_by_site_all_of_a_site_is_together(book: RuleBook, site: str, devices: list[str]) -> None:
    frames = [frame(f"airport/{site}/doors/{one}") for one in devices]
    frames += [frame(f"airport/{site}/doors/{one}/status", b"online") for one in devices]
    found = homes(make(book, BY_SITE), *frames)
    assert len({tuple(one) for one in found}) == 1


@given(NAMES, NAMES)
def test_by_device_readings_and_status_of_a_device_are_together(
    book: RuleBook, site: str, device: str
) -> None:
    topic = f"airport/{site}/doors/{device}"
    reading, status = homes(
        make(book, BY_DEVICE), frame(topic), frame(f"{topic}/status", b"online")
    )
    assert reading == status
    assert len(reading) == 1


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=30), st.sampled_from([1, 3, 12]))
def test_every_frame_has_a_partition_and_order_stays(
    book: RuleBook, names: list[tuple[str, str]], partitions: int
) -> None:
    frames = [
        frame(f"airport/{site}/doors/{device}", str(number).encode())
        for number, (site, device) in enumerate(names)
    ]
    parts = make(book, BY_DEVICE, partitions).split(frames, NOW)
    assert all(0 <= one < partitions for one in parts)
    numbers = [[int(payload) for _, payload, _ in one] for one in parts.values()]
    assert sorted(chain(*numbers)) == list(range(len(names)))
    assert all(one == sorted(one) for one in numbers)


@given(
    st.lists(st.tuples(NAMES, NAMES, st.integers(0, 9)), min_size=1, max_size=8),
    st.sampled_from([BY_SITE, BY_DEVICE]),
)
def test_a_payload_of_several_devices_is_decided_once(
    book: RuleBook, elements: list[tuple[str, str, int]], keyed_by: str
) -> None:
    body = [{"place": site, "id": device, "level": level} for site, device, level in elements]
    payload = msgspec.json.encode({"list": body})
    sent = frame("meters/up", payload)
    partitioner = make(book, keyed_by)
    taken = []
    for number, some in partitioner.split([sent], NOW).items():
        decoded = Decoder(book.devices.values()).decode_batch(some, NOW)
        part = partitioner.part(number)
        assert part is not None
        part.keep(decoded)
        assert not decoded.rejected
        taken += [(one.site_id, one.device_id, one.values.level) for one in decoded.readings]
    expected = [(site, f"{site}/{device}", float(level)) for site, device, level in elements]
    assert sorted(taken) == sorted(expected)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("meters/up", b"rubbish"),
        ("airport/t2/windows/w1", b"{}"),
        ("airport/t2/doors/d1", b"rubbish"),
        ("airport/t2/doors/d1/status", b"perhaps"),
        ("spBv1.0/t2/DDATA/n/d", b"rubbish"),
        ("meters/up", b'{"list": [{"place": "a", "id": "1", "level": 1}, {"place": "b"}]}'),
    ],
)
@pytest.mark.parametrize("keyed_by", [BY_SITE, BY_DEVICE])
def test_what_cannot_be_read_is_refused_by_one_partition(
    book: RuleBook, topic: str, payload: bytes, keyed_by: str
) -> None:
    partitioner = make(book, keyed_by)
    refused = 0
    for number, some in partitioner.split([frame(topic, payload)], NOW).items():
        decoded = Decoder(book.devices.values()).decode_batch(some, NOW)
        part = partitioner.part(number)
        assert part is not None
        part.keep(decoded)
        refused += len(decoded.rejected)
    assert refused == 1


def test_all_of_an_edge_node_is_together_and_it_is_asked_to_be_born(book: RuleBook) -> None:
    topics = ["NDATA/n1", "DDATA/n1/d1", "DDATA/n1/d2", "DDEATH/n1/d1"]
    frames = [frame(f"spBv1.0/t2/{one}", b"") for one in topics]
    partitioner = make(book, BY_SITE)
    assert len({tuple(one) for one in homes(partitioner, *frames)}) == 1
    site = homes(partitioner, frame("airport/t2/doors/d1"))
    assert homes(partitioner, frames[0]) == site
    asked = partitioner.take_requests()
    assert [topic for topic, _ in asked] == ["spBv1.0/t2/NCMD/n1"]
    assert partitioner.take_requests() == []


def test_one_of_a_kind_needs_no_filter() -> None:
    assert isinstance(Part(Partitioner([], 3, BY_SITE), 0), Part)
    assert Partitioner([], 3, BY_SITE).part(0) is None
