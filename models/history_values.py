"""What cells mean: numbers, truths, words, and moments, whatever the file writes them as.

A cell that cannot be read is a missing value, and is noted with its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from models.history_file import MISSING_WORDS, Findings, Sheet
from prevenant.target import CYCLES, SECONDS

pc: Any = pyarrow.compute
"""Its stubs know of half of what it takes."""

Cells = Any
"""A column of an Arrow table."""

NUMBERS_SHARE = 0.9
"""A column with at least so many numbers among its cells is one of numbers; the rest is unreadable."""

_TRUTHS = {"true": 1.0, "false": 0.0}
_BITS = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_WITH_COMMA = r"^[-+]?\d*,\d+([eE][-+]?\d+)?$"
_ZONE = r"(?:[zZ]|[-+]\d\d(?::?\d\d)?)$"
_EPOCHS = ((1e11, 1.0, "seconds"), (1e14, 1e3, "milliseconds"), (1e17, 1e6, "microseconds"))
_LARGEST_ID = 2.0**53
LEAST_EPOCH = 1e8
"""Seconds since 1970 that are less lie before 1973: such numbers count something else."""


@dataclass(frozen=True, slots=True)
class Moments:
    """The places of rows on the axis; NaN where they cannot be read."""

    at: "np.ndarray[Any, np.dtype[np.float64]]"
    is_calendar: bool
    """Whether they were written as dates and times."""


def read_numbers(sheet: Sheet, name: str, found: Findings, kind: type | None = None) -> Any:
    """Return a field's cells: float64 with NaN where missing, or texts with NaN where missing.

    `kind` is float, bool or str where it is known what the field is. None where the column holds
    nothing that a model can use; the reason is noted.
    """
    column = sheet.column(name)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if _is_text(column.type) and kind is not str:
        return _read_words(sheet, name, column, found, kind)
    if kind is str:
        return _texts(column, None)
    try:
        values = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowException:
        message = f"the column {name!r} holds {column.type}, which no model reads: it is left out"
        found.notes.append(sheet.problem(name, [], message))
        return None
    return _finite(sheet, name, np.array(values, dtype=np.float64), found)


def _read_words(sheet: Sheet, name: str, column: Cells, found: Findings, kind: type | None) -> Any:
    """Return texts as numbers where they are such, as truths, or as they stand."""
    if kind is not bool and (plain := _plain_numbers(column)) is not None:
        return _finite(sheet, name, plain, found)
    if kind is not float and (truths := _read_truths(column)) is not None:
        return truths
    if kind is None and not _is_numeric(sheet, column):
        return _texts(column, None)
    return _numbers_of_texts(sheet, name, column, found)


def read_texts(sheet: Sheet, name: str) -> "pd.Series[str]":
    """Return names of devices: '' where missing, 7.0 as 7."""
    column = sheet.column(name)
    if pa.types.is_floating(column.type):
        values = pc.cast(column, pa.float64()).to_numpy()
        is_whole = np.isnan(values) | (
            (values == np.floor(values)) & (np.abs(values) < _LARGEST_ID)
        )
        if np.all(is_whole):
            column = pc.cast(pa.chunked_array([pa.array(values, from_pandas=True)]), pa.int64())
    try:
        return _texts(column, "")
    except pa.ArrowException:
        return pd.Series([""] * len(column), dtype="str")


def read_moments(sheet: Sheet, name: str, unit: str, found: Findings) -> Moments:
    """Return the places of rows: cycles as they stand, times in seconds since 1970, UTC."""
    column = sheet.column(name)
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("us"))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            _say_utc(sheet, name, found)
        whole = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
        return Moments(_floats(whole) / 1e6, is_calendar=True)
    if _is_text(column.type):
        at = _plain_numbers(column)
        if at is None:
            column = _trimmed(column)
            if not _is_numeric(sheet, column):
                return Moments(_calendar(sheet, name, column, found), is_calendar=True)
            at = _numbers_of_texts(sheet, name, column, Findings())
    else:
        try:
            at = np.array(pc.cast(column, pa.float64()).to_numpy(), dtype=np.float64)
        except pa.ArrowException:
            at = np.full(len(column), np.nan)
    at[~np.isfinite(at)] = np.nan
    return Moments(at if unit == CYCLES else _seconds(sheet, name, at, found), is_calendar=False)


def name_unit(sheet: Sheet, name: str) -> str | None:
    """Return the unit that a column of moments is in, judged by its cells; None where either fits."""
    moments = read_moments(sheet, name, CYCLES, Findings())
    places = moments.at
    at = places[np.isfinite(places)]
    if moments.is_calendar or (len(at) and float(np.median(np.abs(at))) >= LEAST_EPOCH):
        return SECONDS
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _trimmed(column: Cells) -> Cells:
    return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))


def _without_missing_words(column: Cells) -> Cells:
    missing = pc.is_in(pc.utf8_lower(column), value_set=pa.array(MISSING_WORDS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), column)


def _cleaned(sheet: Sheet, column: Cells) -> Cells:
    column = _without_missing_words(_trimmed(column))
    if sheet.separator and sheet.separator != ",":
        # Where a comma separates no cells, it is the decimal point of much of the world.
        with_comma = pc.match_substring_regex(column, _WITH_COMMA)
        column = pc.if_else(with_comma, pc.replace_substring(column, ",", "."), column)
    return column


def _plain_numbers(column: Cells) -> Any:
    """Return texts as numbers where each of them is one or missing; else None."""
    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowException:
        return None
    is_empty = column.null_count == len(column)
    return None if is_empty else np.array(values.to_numpy(), dtype=np.float64)


def _is_numeric(sheet: Sheet, column: Cells) -> bool:
    cleaned = _cleaned(sheet, column)
    present = len(cleaned) - cleaned.null_count
    numbers = _count(pc.match_substring_regex(cleaned, _NUMBER))
    return bool(present and numbers >= NUMBERS_SHARE * present)


def _numbers_of_texts(sheet: Sheet, name: str, column: Cells, found: Findings) -> Any:
    cleaned = _cleaned(sheet, column)
    good = pc.match_substring_regex(cleaned, _NUMBER)
    bad = np.flatnonzero(_certainly(pc.invert(good)).to_numpy())
    if len(bad):
        first = cleaned[int(bad[0])].as_py()
        message = f"{first!r} is no number for {name!r}: taken as missing; leave such cells empty"
        found.notes.append(sheet.problem(name, bad.tolist(), message))
    values = pc.cast(pc.if_else(good, cleaned, pa.scalar(None, pa.string())), pa.float64())
    return _finite(sheet, name, np.array(values.to_numpy(), dtype=np.float64), found)


def _finite(sheet: Sheet, name: str, values: Any, found: Findings) -> Any:
    endless = np.flatnonzero(np.isinf(values))
    if len(endless):
        values[endless] = np.nan
        message = f"{name!r} is infinite: taken as missing"
        found.notes.append(sheet.problem(name, endless.tolist(), message))
    return values


def _read_truths(column: Cells) -> Any:
    """Return 1, 0 and NaN where every cell is a truth and one of them is a word; else None."""
    words = (
        pc.utf8_lower(_without_missing_words(_trimmed(column)))
        .dictionary_encode()
        .unify_dictionaries()
    )
    known = {
        str(one) for one in (words.chunk(0).dictionary.to_pylist() if words.num_chunks else [])
    }
    if not known & _TRUTHS.keys() or not known <= _TRUTHS.keys() | _BITS.keys():
        return None
    meanings = _TRUTHS | _BITS
    return pd.Series(pc.cast(words, pa.string()).to_pandas()).map(meanings).to_numpy(np.float64)


def _texts(column: Cells, missing: str | None) -> "pd.Series[str]":
    words = pc.fill_null(_without_missing_words(_trimmed(column)), pa.scalar(missing, pa.string()))
    return pd.Series(words.to_pandas(), dtype="str")


def _floats(column: Cells) -> Any:
    return np.array(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _seconds(sheet: Sheet, name: str, at: Any, found: Findings) -> Any:
    """Return numbers as seconds since 1970: they may count milli- or microseconds."""
    good = np.abs(at[np.isfinite(at)])
    middle = float(np.median(good)) if len(good) else 0.0
    scale, word = next(
        ((scale, word) for limit, scale, word in _EPOCHS if middle < limit), (1e9, "nanoseconds")
    )
    if len(good):
        message = f"{name!r} holds numbers: they are read as {word} since 1970"
        found.notes.append(sheet.problem(name, [], message))
    return at / scale


def _calendar(sheet: Sheet, name: str, column: Cells, found: Findings) -> Any:
    column = _without_missing_words(column)
    zoned = _certainly(pc.match_substring_regex(column, _ZONE))
    # A day alone ends like an offset: 2026-11-26.
    days = _certainly(pc.match_substring_regex(column, r"^\d{4}-\d\d-\d\d$"))
    zoned = pc.and_(zoned, pc.invert(days))
    with_zone = _count(zoned)
    present = len(column) - column.null_count
    if with_zone < present:
        _say_utc(sheet, name, found)
    if with_zone in {0, present}:
        kind = pa.timestamp("us", tz="UTC") if with_zone else pa.timestamp("us")
        try:
            return _floats(pc.cast(pc.cast(column, kind), pa.int64())) / 1e6
        except pa.ArrowException:
            pass
    moments = pd.to_datetime(column.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    return (
        moments.dt.as_unit("us").astype("int64").where(moments.notna()).to_numpy(np.float64) / 1e6
    )


def _say_utc(sheet: Sheet, name: str, found: Findings) -> None:
    message = (
        f"times in {name!r} have no zone: they are taken as UTC; write +02:00 or Z behind them"
    )
    found.notes.append(sheet.problem(name, [], message))


def _certainly(truths: Cells) -> Cells:
    return pc.fill_null(truths, pa.scalar(value=False))


def _count(truths: Cells) -> int:
    return int(pc.sum(pc.cast(truths, pa.int64())).as_py() or 0)


def first_rows(mask: Any) -> Sequence[int]:
    """Return the lines in which `mask` is true."""
    return [int(line) for line in np.flatnonzero(mask)]
