"""Records of a stream: how frames are gathered, and up to when timers may run."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.records import (
    BookTaken,
    Heard,
    Marks,
    ModelTaken,
    TimePassed,
    decode_record,
    encode_record,
    in_records,
)

FRAMES = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=300), st.integers(0, 7)))


@given(FRAMES, st.floats(0, 1e10), st.floats(0, 1e10))
def test_a_record_comes_back_as_it_was(
    frames: list[tuple[bytes, bytes, int]], at: float, until: float
) -> None:
    for record in (
        Heard("a", 1, at, until, frames),
        BookTaken("a", 2, at, until, 7, "print"),
        ModelTaken(at, "engine", 3, "print", is_shadow=True),
        TimePassed(at),
    ):
        assert decode_record(encode_record(record)) == record


@given(FRAMES, st.integers(1, 2_000))
def test_frames_are_gathered_in_order_and_up_to_a_size(
    frames: list[tuple[bytes, bytes, int]], most: int
) -> None:
    records = list(in_records(frames, most))
    assert [frame for one in records for frame in one] == frames
    assert all(one for one in records)
    for one in records:
        size = sum(len(topic) + len(payload) + 64 for topic, payload, _ in one)
        assert size <= most or len(one) == 1


def test_timers_run_up_to_what_the_least_well_informed_has_heard() -> None:
    marks = Marks()
    assert marks.take("a", 1, 100.0, 100.0)
    assert marks.until == 100.0
    assert marks.take("b", 1, 101.0, 90.0)
    assert (marks.latest, marks.until) == (101.0, 90.0)
    assert marks.take("b", 2, 102.0, 102.0)
    assert marks.until == 100.0


def test_who_says_nothing_for_a_minute_holds_nobody_back() -> None:
    marks = Marks()
    marks.take("killed", 1, 100.0, 100.0)
    marks.take("alive", 1, 160.0, 160.0)
    assert marks.until == 100.0
    marks.take("alive", 2, 160.1, 160.1)
    assert marks.until == 160.1


def test_whoever_has_the_seat_of_one_who_was_killed_is_waited_for_in_its_place() -> None:
    marks = Marks()
    marks.take("north.1", 1, 100.0, 100.0)
    marks.take("south.1", 1, 100.0, 100.0)
    marks.take("north.2", 1, 105.0, 0.0)
    assert marks.until == 0.0
    marks.take("north.2", 2, 107.0, 107.0)
    assert marks.until == 100.0
    marks.take("south.1", 2, 107.0, 107.0)
    assert marks.until == 107.0
    assert not marks.take("north.1", 1, 100.0, 100.0)


def test_where_nobody_listens_time_passes_once_they_are_given_up() -> None:
    marks = Marks()
    marks.take("killed", 1, 100.0, 100.0)
    marks.pass_time(130.0)
    assert marks.until == 100.0
    marks.pass_time(161.0)
    assert marks.until == 161.0


def test_a_record_that_is_published_again_counts_once() -> None:
    marks = Marks()
    assert marks.take("a", 1, 100.0, 100.0)
    assert marks.take("a", 3, 101.0, 101.0)
    assert not marks.take("a", 1, 100.0, 100.0)
    assert not marks.take("a", 3, 101.0, 101.0)
    assert marks.take("b", 1, 101.0, 101.0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 500), st.floats(0, 500)), min_size=1),
    st.integers(0, 40),
)
def test_time_never_runs_backwards_and_survives_a_snapshot(
    records: list[tuple[str, float, float]], cut: int
) -> None:
    marks, latest = Marks(), 0.0
    for number, (origin, at, until) in enumerate(records, 1):
        if number == cut:
            restored = Marks()
            restored.restore(marks.snapshot())
            assert (restored.latest, restored.until) == (marks.latest, marks.until)
            marks = restored
        marks.take(origin, number, at, until)
        assert marks.latest >= latest
        assert marks.until <= marks.latest
        latest = marks.latest
