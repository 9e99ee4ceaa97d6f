"""What one device has sent, out of the journal: all of it, bounded, and thinned with its extremes."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.history import Coverage, DeviceFrames, Span, find_last, read_device, read_newer
from ingest.journal import Journal
from ingest.thinning import Thinned
from prevenant.domain import DeviceType, FieldType, PayloadPath, Reading
from prevenant.errors import JournalError

NOW = 1_700_000_000.0
TYPE = DeviceType(
    "thermometer", "airport/{site}/thermometers/{device}", (FieldType("temperature", float),)
)
GATEWAY = DeviceType(
    "meter",
    "gateways/+/data",
    (FieldType("power", float),),
    readings_path=PayloadPath(("list",)),
    identity=(("site", PayloadPath(("site",))), ("device", PayloadPath(("id",)))),
)


def frame(device: str, temperature: float) -> tuple[bytes, bytes, int]:
    """Return what a thermometer sends."""
    topic = f"airport/t2/thermometers/{device}".encode()
    return topic, json.dumps({"temperature": temperature}).encode(), 0


def write(path: Path, batches: list[list[tuple[bytes, bytes, int]]], every: float = 1.0) -> None:
    """Write a journal whose batches arrive at equal distances from `NOW` on."""
    journal = Journal(path)
    for number, frames in enumerate(batches):
        journal.append(frames, NOW + number * every)
    journal.close()


def read(path: Path, span: Span, most: int = 10_000) -> tuple[list[Reading], Coverage]:
    """Return what T1 said in a span, and how far that is all."""
    coverage = Coverage()
    found = list(read_device(path, TYPE, "t2/T1", span, coverage, most))
    return found, coverage


def test_one_device_of_many_in_the_span_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [[frame("T1", n), frame("T2", 99.0), (b"other", b"?", 0)] for n in range(200)])
    found, coverage = read(path, Span(NOW + 50, NOW + 60))
    assert [one.values.temperature for one in found] == [float(n) for n in range(50, 61)]
    assert not coverage.is_cut
    assert coverage.last_seq == 200


def test_a_span_before_and_behind_the_journal_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [[frame("T1", n)] for n in range(10)])
    assert read(path, Span(NOW - 9_000, NOW - 5_000))[0] == []
    assert read(path, Span(NOW + 5_000, NOW + 9_000))[0] == []
    assert read(path, Span(NOW - 9_000, NOW + 9_000))[0]


def test_an_empty_journal_and_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [])
    assert read(path, Span(NOW, NOW + 1))[0] == []
    assert find_last(path) == 0
    with pytest.raises(JournalError):
        read(tmp_path / "missing.db", Span(NOW, NOW + 1))


def test_where_there_is_too_much_the_nearest_to_the_focus_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [[frame("T1", n)] for n in range(1_000)])
    found, coverage = read(path, Span(NOW, NOW + 1_000, NOW + 500), most=2_100)
    values = [one.values.temperature for one in found]
    assert coverage.is_cut
    assert len(values) == 100
    assert values == sorted(values)
    assert 449 <= values[0] <= 451
    newest, _ = read(path, Span(NOW, NOW + 1_000), most=2_100)
    assert [one.values.temperature for one in newest][-1] == 999.0


def test_batches_that_have_left_the_journal_do_not_hinder(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [[frame("T1", n)] for n in range(300)])
    journal = Journal(path)
    journal._writer.execute("DELETE FROM batch WHERE seq < 100 OR seq BETWEEN 150 AND 180")
    journal.close()
    found, coverage = read(path, Span(NOW, NOW + 300))
    assert [one.values.temperature for one in found] == [
        float(n) for n in range(300) if n >= 99 and not 149 <= n <= 179
    ]
    assert coverage.unreadable


def test_a_device_whose_payload_names_it(tmp_path: Path) -> None:
    payload = json.dumps(
        {"list": [{"site": "h1", "id": "M1", "power": 5}, {"site": "h1", "id": "M2", "power": 6}]}
    ).encode()
    path = tmp_path / "journal.db"
    write(path, [[(b"gateways/G7/data", payload, 0)]])
    found = list(read_device(path, GATEWAY, "h1/M2", Span(NOW - 1, NOW + 1), Coverage()))
    assert [one.values.power for one in found] == [6.0]


def test_what_is_newer_than_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    write(path, [[frame("T1", n)] for n in range(50)])
    frames = DeviceFrames(TYPE, "t2/T1")
    newer = [r.values.temperature for b in read_newer(path, 45) for r in frames.readings(b)]
    assert newer == [45.0, 46.0, 47.0, 48.0, 49.0]
    assert read_newer(path, 50) == []
    assert [batch.seq for batch in read_newer(path, 0, most=65)] == [48, 49, 50]


@given(
    st.lists(st.tuples(st.floats(0, 1_000), st.floats(-1e6, 1e6)), max_size=400),
    st.integers(1, 30),
)
def test_thinning_keeps_the_extremes_the_ends_and_the_order(
    points: list[tuple[float, float]], parts: int
) -> None:
    thinned = Thinned(0.0, 1_000.0, parts)
    for at, value in points:
        thinned.add(at, value)
    kept = thinned.points()
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    assert len(kept) <= max(4 * parts, 1)
    assert thinned.count == len(points)
    if points:
        values = [value for _, value in points]
        assert min(value for _, value in kept) == min(values)
        assert max(value for _, value in kept) == max(values)
        assert kept[0][0] == min(at for at, _ in points)
        assert kept[-1][0] == max(at for at, _ in points)


def test_a_spike_of_one_reading_among_many_is_seen() -> None:
    random.seed(4)
    thinned = Thinned(0.0, 100_000.0)
    for at in range(100_000):
        thinned.add(float(at), 95.0 if at == 54_321 else random.gauss(20, 1))
    assert (54_321.0, 95.0) in thinned.points()
    assert len(thinned.points()) <= 960
