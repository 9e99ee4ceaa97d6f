"""Files of readings as tables of cells, each of which knows its place in the file.

CSV (also compressed), Parquet, or a pandas frame. What a cell means is judged in models.history_values.
"""

import codecs
import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from prevenant.errors import Problem

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "-", "?")
"""What stands in files where there is no value, in small letters."""

_SEPARATORS = ",;\t|"
_SHOWN_ROWS = 3
_BLOCK_BYTES = 1 << 22
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The cells of one file, column by column; those of CSV are texts."""

    source: str
    """The file's name as the user wrote it."""
    names: Sequence[str]
    columns: Sequence[Any]
    rows: "np.ndarray[Any, np.dtype[np.int64]]"
    """For each line of the table the number of its row in the file; with CSV the headings are row 1."""
    separator: str = ""
    """Of CSV."""

    def column(self, name: str) -> Any:
        """Return the cells of one column."""
        return self.columns[self.names.index(name)]

    def problem(self, column: str, lines: Sequence[int], message: str) -> Problem:
        """Return what is wrong with the cells of a column in these lines of the table."""
        index = self.names.index(column) + 1 if column in self.names else 1
        row = int(self.rows[lines[0]]) if len(lines) else 1
        rows = shown_rows([int(self.rows[line]) for line in lines[: _SHOWN_ROWS + 1]], len(lines))
        return Problem(self.source, row, index, f"{rows}{message}")


@dataclass(slots=True)
class Findings:
    """What was found wrong while files were read."""

    fatal: list[Problem] = field(default_factory=list)
    """What cannot be learned from at all."""
    notes: list[Problem] = field(default_factory=list)
    """What was dropped or left out, and what was taken for granted."""


def shown_rows(first: Sequence[int], count: int) -> str:
    """Return which rows a remark is about, where it is about several: `rows 3, 9 and 2 more: `."""
    if count < 2:  # noqa: PLR2004  one row is in the place already
        return ""
    named = ", ".join(str(row) for row in first[:_SHOWN_ROWS])
    more = count - len(first[:_SHOWN_ROWS])
    return f"rows {named} and {more} more: " if more else f"rows {named}: "


def read_sheet(data: Path | pd.DataFrame, found: Findings) -> Sheet | None:
    """Return the cells of a file or a frame; None where it cannot be read, with the reason."""
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, found)
    if not data.is_file():
        what = "this is a folder" if data.is_dir() else "there is no such file"
        found.fatal.append(Problem(str(data), 1, 1, f"{what}: name a CSV or a Parquet file"))
        return None
    try:
        with data.open("rb") as file:
            is_parquet = file.read(4) == _PARQUET_MAGIC
        if is_parquet or data.suffix.lower() in {".parquet", ".pq"}:
            return _from_parquet(data, found)
        return _from_csv(data, found)
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        remedy = "save it as CSV in UTF-8 with a line of headings, or as Parquet"
        found.fatal.append(Problem(str(data), 1, 1, f"cannot be read: {reason}; {remedy}"))
        return None


def _from_csv(path: Path, found: Findings) -> Sheet | None:
    head = _read_head(path)
    first = head.splitlines()[0] if head.strip() else ""
    if not first or "\0" in first:
        message = "cannot be read as CSV: its first line has to name the columns"
        found.fatal.append(Problem(str(path), 1, 1, message))
        return None
    separator = max(_SEPARATORS, key=first.count)
    headings = next(csv.reader([first], delimiter=separator))
    keys = [f"c{index}" for index in range(len(headings))]
    crooked: list[tuple[int, int]] = []

    def skip(row: Any) -> Literal["skip"]:
        if row.text.strip():
            crooked.append((row.number, row.actual_columns))
        else:
            empty.append(row.number)
        return "skip"

    empty: list[int] = []
    table = pyarrow.csv.read_csv(
        str(path),
        # Rows are numbered only where one thread reads them.
        read_options=pyarrow.csv.ReadOptions(
            column_names=keys, skip_rows=1, use_threads=False, block_size=_BLOCK_BYTES
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(keys, pa.string()),
            strings_can_be_null=True,
            null_values=["", "NA", "NaN", "nan", "null"],
        ),
    )
    skipped = [*(row for row, _ in crooked), *empty]
    numbers = np.arange(2, len(table) + len(skipped) + 2, dtype=np.int64)
    rows = np.delete(numbers, np.array(skipped, dtype=np.int64) - 2)
    if crooked:
        row, cells = crooked[0]
        which = shown_rows([one for one, _ in crooked], len(crooked))
        message = (
            f"{cells} cells under {len(keys)} headings: the row is dropped; "
            f"quote a cell that holds {separator!r}"
        )
        found.notes.append(Problem(str(path), row, 1, which + message))
    return _named(str(path), headings, table.columns, rows, found, separator)


def _read_head(path: Path) -> str:
    """Return how the text begins, once all of it has been seen to be UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    head, line = "", 1
    with pa.input_stream(str(path), compression="detect") as stream:
        while block := stream.read(_BLOCK_BYTES):
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                message = f"row {line} is not UTF-8"
                raise csv.Error(message) from None
            head, line = head or text, line + block.count(b"\n")
    decoder.decode(b"", final=True)
    return head.removeprefix("\ufeff")


def _from_parquet(path: Path, found: Findings) -> Sheet:
    table = pyarrow.parquet.read_table(str(path))
    rows = np.arange(1, len(table) + 1, dtype=np.int64)
    return _named(str(path), table.column_names, table.columns, rows, found)


def _from_frame(frame: pd.DataFrame, found: Findings) -> Sheet:
    columns = []
    for index in range(frame.shape[1]):
        series = frame.iloc[:, index]
        try:
            cells = pa.array(series, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            cells = pa.array(
                [None if _is_nothing(one) else str(one) for one in series], pa.string()
            )
        columns.append(
            pa.chunked_array(cells)
            if isinstance(cells, pa.ChunkedArray)
            else pa.chunked_array([cells])
        )
    rows = np.arange(1, len(frame) + 1, dtype=np.int64)
    return _named("data", [str(name) for name in frame.columns], columns, rows, found)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _named(
    source: str,
    headings: Sequence[str],
    columns: Sequence[Any],
    rows: "np.ndarray[Any, np.dtype[np.int64]]",
    found: Findings,
    separator: str = "",
) -> Sheet:
    """Return the sheet with clean names; columns without one, or with one that is taken, are left out."""
    names: list[str] = []
    for index, heading in enumerate(headings):
        name = heading.strip()
        if not name or name in names:
            what = f"{name!r} stands here twice" if name else "this column has no name"
            found.notes.append(Problem(source, 1, index + 1, f"{what}: it is left out; name it"))
            name = f"\0{index}"
        names.append(name)
    kept = [index for index, name in enumerate(names) if not name.startswith("\0")]
    return Sheet(source, [names[i] for i in kept], [columns[i] for i in kept], rows, separator)
