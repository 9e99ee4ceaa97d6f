"""What people hand in is read as it was meant; what cannot be read is said, with its place."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.history import Loaded, Visit, read_history
from prevenant.errors import HistoryError
from prevenant.target import CYCLES, SECONDS

NOON = 1_780_056_000.0
"""2026-05-29T12:00:00Z"""


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def notes(loaded: Loaded) -> list[str]:
    return [str(note).rpartition("/")[2] for note in loaded.notes]


def problems(error: pytest.ExceptionInfo[HistoryError]) -> list[str]:
    return [str(problem).rpartition("/")[2] for problem in error.value.problems]


def test_cycles_until_each_device_fails(file: Any) -> None:
    data = file("device,cycle,speed\n1,1,10.5\n1,2,11\n2,1,9\n2,2,8.5\n2,3,8\n")
    loaded = read_history(data)
    assert loaded.history.unit == CYCLES
    assert loaded.ends_in_failure
    assert loaded.history.fields == ["speed"]
    assert loaded.history.rows["device"].tolist() == ["1", "1", "2", "2", "2"]
    assert loaded.history.rows["speed"].tolist() == [10.5, 11, 9, 8.5, 8]
    assert loaded.history.failures.to_dict("list") == {"device": ["1", "2"], "failed_at": [2, 3]}
    assert notes(loaded) == []


def test_times_and_failures(file: Any) -> None:
    data = file(
        "device,observed_at,amps,door,mode\n"
        "f1,2026-05-29T14:00:00+02:00,1.5,true,eco\n"
        "f1,2026-05-29T12:00:30Z,1.6,false,\n"
        "f2,2026-05-29T12:00:00.250Z,,0,boost\n"
    )
    failures = file("device,failed_at\nf1,2026-05-29T13:00:00Z\n", "failures.csv")
    loaded = read_history(data, failures)
    rows = loaded.history.rows
    assert (loaded.history.unit, loaded.ends_in_failure) == (SECONDS, False)
    assert rows["at"].tolist() == [NOON, NOON + 30, NOON + 0.25]
    assert rows["amps"].tolist()[:2] == [1.5, 1.6]
    assert np.isnan(rows["amps"].iloc[2])
    assert rows["door"].tolist() == [1.0, 0.0, 0.0]
    assert rows["mode"].fillna("none").tolist() == ["eco", "none", "boost"]
    assert loaded.history.failures.to_dict("list") == {
        "device": ["f1"],
        "failed_at": [NOON + 3600],
    }


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-05-29T12:00:00Z", ""),
        ("2026-05-29T12:00:00+00:00", ""),
        ("2026-05-29T14:00:00+0200", ""),
        ("2026-05-29 12:00:00", "no zone: they are taken as UTC"),
        ("1780056000", "seconds since 1970"),
        ("1780056000.0", "seconds since 1970"),
        ("1780056000000", "milliseconds since 1970"),
        ("1780056000000000", "microseconds since 1970"),
    ],
)
def test_a_moment_in_its_forms(file: Any, written: str, said: str) -> None:
    loaded = read_history(file(f"device,observed_at,x\na,{written},1\n"))
    assert loaded.history.rows["at"].tolist() == [NOON]
    assert said in "".join(notes(loaded))
    assert bool(notes(loaded)) is bool(said)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris"])
@pytest.mark.parametrize("precision", ["ns", "us", "ms", "s"])
def test_parquet_says_the_same_as_csv(tmp_path: Path, zone: str | None, precision: Any) -> None:
    at = pd.to_datetime([NOON, NOON + 60], unit="s", utc=True).as_unit(precision)
    frame = pd.DataFrame(
        {
            "device": [7, 7],
            "observed_at": at.tz_localize(None) if zone is None else at.tz_convert(zone),
            "x": np.array([1, 2], dtype=np.int16),
            "on": [True, False],
            "mode": pd.Categorical(["eco", "boost"]),
        }
    )
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    for data in (path, frame):
        rows = read_history(data).history.rows
        assert rows["device"].tolist() == ["7", "7"]
        assert rows["at"].tolist() == [NOON, NOON + 60]
        assert rows["on"].tolist() == [1.0, 0.0]
        assert rows["mode"].tolist() == ["eco", "boost"]
        assert rows["x"].dtype == np.float64


def test_whatever_is_wrong_is_said_with_its_place_and_the_rest_is_read(file: Any) -> None:
    data = file(
        "device,cycle,x,y\n"
        + "".join(f"a,{cycle},{cycle},0\n" for cycle in range(1, 31))
        + "a,31,two,1\n"  # row 32
        "a,32,3\n"
        "\n"
        ",33,3,1\n"
        "a,soon,4,1\n"
        "a,34,-inf,1\n"
        "a,30,99,1\n"
    )
    loaded = read_history(data)
    assert notes(loaded) == [
        "data.csv:31:1: the same device and time again further down: the last such row counts",
        "data.csv:32:3: rows 32, 37: 'two' is no number for 'x': taken as missing; leave such cells empty",
        "data.csv:33:1: 3 cells under 4 headings: the row is dropped; quote a cell that holds ','",
        "data.csv:35:1: the device is missing: the row is dropped; name it",
        "data.csv:36:2: cycle 'soon' cannot be read: the row is dropped; write a number",
    ]
    rows = loaded.history.rows
    assert rows["at"].tolist() == [*range(1, 32), 34]
    assert rows["x"].tolist()[29] == 99
    assert np.isnan(rows["x"].to_numpy()[-2:]).all()


def test_missing_columns_are_named_in_both_files_at_once(file: Any) -> None:
    data = file("id,observed\n1,2026-05-29\n")
    failures = file("devices,when\n1,2\n", "failures.csv")
    with pytest.raises(HistoryError) as error:
        read_history(data, failures)
    known = "but id, observed"
    assert problems(error) == [
        f"data.csv:1:1: there is no column 'device', {known}: rename the one that it is",
        f"data.csv:1:1: there is no column 'observed_at' or 'cycle', {known}: did you mean 'observed'?",
        "failures.csv:1:1: there is no column 'device', but devices, when: did you mean 'devices'?",
        "failures.csv:1:1: there is no column 'failed_at', but devices, when: rename the one that it is",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line has to name the columns"),
        ("device,cycle,x\n", "there is no row"),
        ("device,cycle,x\na,,1\n,2,1\n", "no row is left"),
        ("\0\0\0\0", "its first line has to name the columns"),
        ("PAR1 and nothing of it", "cannot be read"),
    ],
)
def test_a_file_of_nothing(file: Any, text: str, said: str) -> None:
    with pytest.raises(HistoryError, match=said):
        read_history(file(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there is no such file"):
        read_history(tmp_path / "data.csv")
    with pytest.raises(HistoryError, match="this is a folder"):
        read_history(tmp_path)


def test_latin_text_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("device,cycle,x\na,1,2\na,2,é\n".encode("latin-1"))
    with pytest.raises(HistoryError, match="row 3 is not UTF-8; save it as CSV in UTF-8"):
        read_history(path)


def test_semicolons_commas_compression_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    text = "\ufeffDevice;Cycle;température\na;1;12,5\na;2;-0,25\na;3;7\n"
    path.write_bytes(gzip.compress(text.encode()))
    loaded = read_history(path)
    assert loaded.history.rows["température"].tolist() == [12.5, -0.25, 7.0]
    assert notes(loaded) == []


def test_a_failure_of_nobody_and_one_without_a_time(file: Any) -> None:
    data = file("device,cycle,x\na,1,1\na,2,1\n")
    failures = file("device,failed_at\nb,2\na,\na,2\na,2\n", "failures.csv")
    loaded = read_history(data, failures)
    assert loaded.history.failures.to_dict("list") == {"device": ["a"], "failed_at": [2.0]}
    assert notes(loaded) == [
        "failures.csv:2:1: no row is of the device 'b': its failure is dropped",
        "failures.csv:3:2: the device or its time cannot be read: the failure is dropped",
    ]


@pytest.mark.parametrize(
    ("data", "failed_at", "said"),
    [
        ("device,cycle,x\na,1,1\n", "2026-05-29T12:00:00Z", "write the cycle of each failure"),
        ("device,observed_at,x\na,2026-05-29T12:00Z,1\n", "17", "write ISO 8601 times"),
    ],
)
def test_failures_in_other_terms_than_the_rows(
    file: Any, data: str, failed_at: str, said: str
) -> None:
    with pytest.raises(HistoryError, match=said):
        read_history(file(data), file(f"device,failed_at\na,{failed_at}\n", "failures.csv"))


def test_remaining_life_in_cycles_counts_readings_where_no_cycle_stands(file: Any) -> None:
    data = file("device,observed_at,x\na,2026-05-29T13:00Z,2\na,2026-05-29T12:00Z,1\n")
    failures = file("device,failed_at\na,2026-05-29T12:30Z\n", "failures.csv")
    loaded = read_history(data, failures, unit=CYCLES)
    assert loaded.history.unit == CYCLES
    assert loaded.history.rows["at"].tolist() == [1.0, 2.0]
    assert loaded.history.rows["x"].tolist() == [1.0, 2.0]
    assert loaded.history.failures["failed_at"].tolist() == [1.0]


def test_time_and_cycle_in_one_file_go_by_what_the_failures_say(file: Any) -> None:
    data = file("device,observed_at,cycle,x\na,2026-05-29T12:00Z,1,1\na,2026-05-29T13:00Z,2,1\n")
    by_time = file("device,failed_at\na,2026-05-29T13:00Z\n", "by_time.csv")
    by_cycle = file("device,failed_at\na,2\n", "by_cycle.csv")
    assert read_history(data).history.unit == CYCLES
    assert read_history(data, by_cycle).history.unit == CYCLES
    timed = read_history(data, by_time).history
    assert (timed.unit, timed.fields) == (SECONDS, ["cycle", "x"])


def test_an_exported_journal_is_read_without_what_is_beside_the_fields(file: Any) -> None:
    data = file(
        "site,device,observed_at,received_at,retained,x\n"
        "s,s/a,2026-05-29T12:00:00Z,2026-05-29T12:00:01Z,false,1\n"
    )
    assert read_history(data).history.fields == ["x"]


def test_a_type_of_the_book_says_what_its_fields_are(file: Any) -> None:
    data = file("device,cycle,code,on,serial\na,1,7,1,99\n")
    loaded = read_history(data, kinds={"code": str, "on": bool, "speed": float})
    assert loaded.history.rows["code"].tolist() == ["7"]
    assert loaded.history.fields == ["code", "on"]
    assert notes(loaded) == [
        "data.csv:1:1: there is no column for the field 'speed': nothing is learned from it",
        "data.csv:1:5: 'serial' is no field of the device type: it is left out",
    ]


def test_what_is_infinite_is_missing() -> None:
    frame = pd.DataFrame({"device": ["a", "a"], "cycle": [1, 2], "x": [np.inf, 1.0]})
    loaded = read_history(frame)
    assert np.isnan(loaded.history.rows["x"].iloc[0])
    assert notes(loaded) == ["data:1:3: 'x' is infinite: taken as missing"]


def test_without_failures_nothing_need_have_failed(file: Any) -> None:
    loaded = read_history(file("device,cycle,x\na,1,1\n"), run_to_failure=False)
    assert loaded.history.failures.empty
    assert not loaded.ends_in_failure


def test_rows_before_a_moment_are_left_out(file: Any) -> None:
    data = file("device,observed_at,x\na,2026-05-29T11:00Z,1\na,2026-05-29T12:00Z,2\n")
    loaded = read_history(data, since=NOON)
    assert loaded.history.rows["x"].tolist() == [2.0]
    assert notes(loaded) == ["data.csv:1:2: 1 rows before --since are left out"]


def test_what_technicians_found_counts_as_failures(file: Any) -> None:
    data = file(
        "device,observed_at,x\na,2026-05-29T12:00Z,1\na,2026-05-29T18:00Z,2\nb,2026-05-29T12:00Z,1\n"
    )
    failures = file("device,failed_at\na,2026-05-29T13:00Z\n", "failures.csv")
    visits = [
        Visit("a", NOON + 1800, NOON + 7200),  # for the failure that is listed already
        Visit("a", NOON + 9000, NOON + 10_800),
        Visit("nobody", NOON, NOON + 1),
    ]
    loaded = read_history(data, failures, visits=visits)
    assert loaded.history.failures.to_dict("list") == {
        "device": ["a", "a"],
        "failed_at": [NOON + 3600, NOON + 10_800],
    }
    assert notes(loaded) == ["data.csv:1:1: 1 failures that technicians found at visits are added"]
    alone = read_history(data, visits=visits[1:])
    assert alone.history.failures["failed_at"].tolist() == [NOON + 10_800]
    assert not alone.ends_in_failure
    counted = read_history(data, visits=visits[1:2], unit=CYCLES)
    assert counted.history.failures["failed_at"].tolist() == [1.0]


def test_visits_teach_nothing_to_rows_in_cycles(file: Any) -> None:
    loaded = read_history(file("device,cycle,x\na,1,1\n"), visits=[Visit("a", NOON, NOON)])
    assert loaded.history.failures.empty
    assert notes(loaded) == [
        "data.csv:1:2: 1 visits have times, and the rows count cycles: they teach nothing"
    ]


def test_a_column_without_a_name_and_one_twice(file: Any) -> None:
    loaded = read_history(file("device,cycle,x,,x\na,1,2,3,4\n"))
    assert loaded.history.rows["x"].tolist() == [2.0]
    assert notes(loaded) == [
        "data.csv:1:4: this column has no name: it is left out; name it",
        "data.csv:1:5: 'x' stands here twice: it is left out; name it",
    ]


def test_names_of_columns_become_names_of_fields(file: Any) -> None:
    loaded = read_history(file("device,cycle,Torque [Nm],at,class,2nd\na,1,2,3,4,5\na,2,3,4,5,6\n"))
    assert loaded.history.fields == ["Torque_Nm", "at_", "class_", "_2nd"]
    assert loaded.history.rows["at"].tolist() == [1.0, 2.0]
    assert loaded.history.rows["at_"].tolist() == [3.0, 4.0]
    assert "data.csv:1:3: 'Torque [Nm]' is called Torque_Nm here" in notes(loaded)


def test_a_column_that_no_model_reads(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pd.DataFrame({"device": ["a"], "cycle": [1], "x": [1.0], "spectrum": [[1, 2]]}).to_parquet(path)
    loaded = read_history(path)
    assert loaded.history.fields == ["x"]
    assert "which no model reads" in notes(loaded)[0]


cells = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-5, 5),
    st.booleans(),
    st.text(max_size=6),
)


@given(
    st.lists(st.tuples(cells, cells, cells, cells), min_size=1, max_size=12),
    st.sampled_from(["cycle", "observed_at"]),
)
def test_any_frame_is_read_in_order_or_refused(rows: list[tuple[Any, ...]], axis: str) -> None:
    frame = pd.DataFrame(rows, columns=["device", axis, "x", "y"], dtype=object)
    try:
        history = read_history(frame).history
    except HistoryError as error:
        assert error.problems  # noqa: PT017  either of the two outcomes is right
        return
    keys = list(zip(history.rows["device"], history.rows["at"], strict=True))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert all(device for device, _ in keys)
    for name in history.fields:
        values = history.rows[name]
        if values.dtype == np.float64:
            assert not np.isinf(values.to_numpy()).any()
        else:
            assert all(isinstance(value, str) for value in values.dropna())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "data.csv"
    path.write_bytes(b"device,cycle,x\n" + data)
    try:
        history = read_history(path).history
    except HistoryError:
        return
    assert len(history.rows)


def test_a_time_in_which_nothing_failed(file: Any) -> None:
    data = file("device,cycle,x\na,1,1\na,2,1\n")
    loaded = read_history(data, file("device,failed_at\n", "failures.csv"))
    assert loaded.history.failures.to_dict("list") == {"device": [], "failed_at": []}
    assert not loaded.ends_in_failure


def test_a_count_that_begins_again_after_a_repair_is_no_second_reading(file: Any) -> None:
    loaded = read_history(file("device,cycle,x\na,1,1\na,2,1\na,1,5\na,2,6\n"))
    assert loaded.history.rows["x"].tolist() == [5.0, 6.0]
    (note,) = notes(loaded)
    assert note.startswith("data.csv:2:1: rows 2, 3: the same device and time again further down")
    assert note.endswith("where the count begins again after a repair, name each life as a device")
