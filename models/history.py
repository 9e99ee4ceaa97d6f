"""What devices said and when they failed, read from files into a History.

Every problem is found at once. What can be left out is left out and said; what cannot raises.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.base import History
from models.history_file import Findings, Sheet, read_sheet
from models.history_values import (
    LEAST_EPOCH,
    first_rows,
    name_unit,
    read_moments,
    read_numbers,
    read_texts,
)
from prevenant.document import nearest_word
from prevenant.errors import HistoryError, Problem
from prevenant.target import CYCLES, SECONDS

_AXES = {SECONDS: "observed_at", CYCLES: "cycle"}
_MANY_AGAIN = 0.1
"""So many rows with a cycle that was there before are no slip."""
_BESIDE = ("site", "received_at", "retained")
"""Columns of an exported journal that say nothing of the device's condition."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit at which a technician found what was predicted. Times are seconds since 1970."""

    device: str
    raised_at: float
    """When the alarm was raised that the visit was for."""
    done_at: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A history, and what was said while it was read."""

    history: History
    notes: Sequence[Problem]
    """What was dropped, left out or taken for granted, in the order of the file."""
    ends_in_failure: bool
    """Whether each device's last row was taken as its failure."""


def read_history(
    data: Path | pd.DataFrame,
    failures: Path | pd.DataFrame | None = None,
    *,
    unit: str | None = None,
    kinds: Mapping[str, type] | None = None,
    run_to_failure: bool = True,
    since: float = -np.inf,
    visits: Sequence[Visit] = (),
) -> Loaded:
    """Return what `data` says; without `failures` and `visits`, each device's last row is its failure.

    `unit` is `cycles` or `seconds`, or None to go by the columns. `kinds` names the fields that are
    wanted, and what each is; without it, every column is a field. With `run_to_failure` false,
    nothing is known to have failed; `failures` without a row say the same. Rows before `since` are left
    out. What was found at `visits` counts as a failure of its device then. Raises HistoryError.
    """
    found = Findings()
    sheet = read_sheet(data, found)
    failed = None if failures is None else read_sheet(failures, found)
    sheet = sheet and _with_names(sheet, ("device", *_AXES.values()))
    failed = failed and _with_names(failed, ("device", "failed_at"))
    if sheet is not None:
        _need(sheet, ["device"], found)
        _need(sheet, [*_AXES.values()], found)
        _need_row(sheet, found)
    if failed is not None:
        _need(failed, ["device"], found)
        _need(failed, ["failed_at"], found)
    if found.fatal or sheet is None:
        raise HistoryError(found.fatal)
    axis = _choose_unit(sheet, failed, unit, found)
    rows = _read_rows(sheet, axis, unit, kinds, since, found)
    if found.fatal or rows is None:
        raise HistoryError(found.fatal)
    ended = failed is None and run_to_failure and not visits
    ends = _empty_failures()
    if failed is not None:
        ends = _read_failures(failed, axis, rows, found)
    elif ended:
        last = rows.groupby("device", sort=False)["at"].last()
        ends = pd.DataFrame({"device": last.index.astype("str"), "failed_at": last.to_numpy()})
    if found.fatal:
        raise HistoryError(found.fatal)
    if visits:
        ends = _add_visits(ends, visits, rows, axis, sheet, found)
    if axis != (unit or axis):
        rows, ends = _count_readings(rows, ends)
    history = History(rows, ends.reset_index(drop=True), unit or axis)
    return Loaded(history, sorted(set(found.notes)), ended)


def _with_names(sheet: Sheet, wanted: Sequence[str]) -> Sheet:
    """Return the sheet in which `Device ` and `Observed At` are called as they are here."""
    names = list(sheet.names)
    for index, name in enumerate(names):
        plain = "_".join(name.lower().replace("-", " ").split())
        if plain in wanted and plain not in names:
            names[index] = plain
    return Sheet(sheet.source, names, sheet.columns, sheet.rows, sheet.separator)


def _need(sheet: Sheet, names: Sequence[str], found: Findings) -> None:
    if any(name in sheet.names for name in names):
        return
    near = next((one for name in names if (one := nearest_word(name, sheet.names))), "")
    what, columns = " or ".join(repr(name) for name in names), ", ".join(sheet.names)
    message = f"there is no column {what}, but {columns}: {near or 'rename the one that it is'}"
    found.fatal.append(Problem(sheet.source, 1, 1, message))


def _need_row(sheet: Sheet, found: Findings) -> None:
    if not len(sheet.rows):
        message = "there is no row: name a file with readings"
        found.fatal.append(Problem(sheet.source, 1, 1, message))


def _choose_unit(sheet: Sheet, failed: Sheet | None, unit: str | None, found: Findings) -> str:
    """Return what the rows are ordered by: cycles where they are counted, else time."""
    there = [axis for axis, name in _AXES.items() if name in sheet.names]
    if len(there) == 1:
        return there[0]
    axis = unit
    if axis is None:
        axis = (failed and name_unit(failed, "failed_at")) or CYCLES
    other = _AXES[SECONDS if axis == CYCLES else CYCLES]
    message = f"there are both observed_at and cycle: rows go by {_AXES[axis]}, not by {other}"
    found.notes.append(sheet.problem(other, [], message))
    return axis


def _read_rows(
    sheet: Sheet,
    axis: str,
    unit: str | None,
    kinds: Mapping[str, type] | None,
    since: float,
    found: Findings,
) -> pd.DataFrame | None:
    if axis == CYCLES and unit == SECONDS:
        message = "what is to be predicted counts time, and the rows count cycles: add observed_at"
        found.fatal.append(sheet.problem("cycle", [], message))
        return None
    devices = read_texts(sheet, "device")
    at = read_moments(sheet, _AXES[axis], axis, found).at
    if axis == SECONDS:
        early = at < since
        if early.any():
            found.notes.append(
                sheet.problem(
                    _AXES[axis], [], f"{int(early.sum())} rows before --since are left out"
                )
            )
    else:
        early = np.zeros(len(at), dtype=bool)
    kept = _good_rows(sheet, axis, devices, at, found) & ~early
    if not kept.any():
        message = "no row is left: each needs a device and a time or cycle"
        found.fatal.append(sheet.problem("device", [], message))
        return None
    columns: dict[str, Any] = {"device": devices, "at": at}
    for name in _fields(sheet, axis, kinds, found):
        values = read_numbers(sheet, name, found, (kinds or {}).get(name))
        if values is not None:
            columns[_as_field(sheet, name, columns, found)] = values
    frame = pd.DataFrame(columns, copy=False)
    if not kept.all():
        frame = frame[kept]
    return _in_order(frame, sheet, axis, found)


def _good_rows(sheet: Sheet, axis: str, devices: Any, at: Any, found: Findings) -> Any:
    """Return which rows have a device and a place; the others are dropped and said."""
    nameless, timeless = (devices == "").to_numpy(), np.isnan(at)
    blank = nameless & timeless
    if (lone := nameless & ~timeless).any():
        message = "the device is missing: the row is dropped; name it"
        found.notes.append(sheet.problem("device", first_rows(lone), message))
    if (lost := timeless & ~nameless).any():
        lines = first_rows(lost)
        name = _AXES[axis]
        cell = sheet.column(name)[lines[0]].as_py()
        what = "is missing" if cell is None else f"{cell!r} cannot be read"
        form = "a number" if axis == CYCLES else "ISO 8601, as 2026-11-23T08:00:00Z"
        message = f"{name} {what}: the row is dropped; write {form}"
        found.notes.append(sheet.problem(name, lines, message))
    return ~(blank | nameless | timeless)


def _fields(
    sheet: Sheet, axis: str, kinds: Mapping[str, type] | None, found: Findings
) -> Sequence[str]:
    others = {"device", _AXES[axis], *_BESIDE}
    if axis == CYCLES:
        others.add(_AXES[SECONDS])
    names = [name for name in sheet.names if name not in others]
    if kinds is None:
        return names
    for name in names:
        if name not in kinds:
            message = f"{name!r} is no field of the device type: it is left out"
            found.notes.append(sheet.problem(name, [], message))
    for name in kinds:
        if name not in names and name not in others:
            message = f"there is no column for the field {name!r}: nothing is learned from it"
            found.notes.append(Problem(sheet.source, 1, 1, message))
    return [name for name in names if name in kinds]


def _as_field(sheet: Sheet, name: str, taken: Collection[str], found: Findings) -> str:
    """Return a column's name as arithmetic and the rule book can have it: `Torque [Nm]` is Torque_Nm."""
    # As Python has it, a micro sign is the letter mu, and a raised 3 is a 3.
    plain = "_".join(re.findall(r"\w+", unicodedata.normalize("NFKC", name))) or "field"
    if not plain.isidentifier() or iskeyword(plain) or plain == "at":
        plain = f"{plain}_" if plain.isidentifier() else f"_{plain}"
    while plain in taken:
        plain = f"{plain}_"
    if plain != name:
        found.notes.append(sheet.problem(name, [], f"{name!r} is called {plain} here"))
    return plain


def _in_order(frame: pd.DataFrame, sheet: Sheet, axis: str, found: Findings) -> pd.DataFrame:
    """Return the rows by device and place, of two with the same only the last."""
    codes, uniques = pd.factorize(frame["device"], sort=True)
    del uniques
    at = frame["at"].to_numpy()
    order = np.lexsort((np.arange(len(at)), at, codes))
    codes, at = codes[order], at[order]
    again = np.zeros(len(order), dtype=bool)
    again[:-1] = (codes[1:] == codes[:-1]) & (at[1:] == at[:-1])
    if again.any():
        lines = sorted(int(line) for line in frame.index.to_numpy()[order[again]])
        message = "the same device and time again further down: the last such row counts"
        if axis == CYCLES and len(lines) > _MANY_AGAIN * len(at):
            message += "; where the count begins again after a repair, name each life as a device"
        found.notes.append(sheet.problem("device", lines, message))
    if again.any() or not np.array_equal(order, np.arange(len(order))):
        frame = frame.iloc[order[~again]]
    return frame.reset_index(drop=True)


def _read_failures(sheet: Sheet, axis: str, rows: pd.DataFrame, found: Findings) -> pd.DataFrame:
    if not len(sheet.rows):
        return _empty_failures()
    devices = read_texts(sheet, "device")
    told = Findings()
    moments = read_moments(sheet, "failed_at", axis, told)
    if axis == CYCLES and moments.is_calendar:
        message = (
            "failed_at holds times, and the rows count cycles: write the cycle of each failure"
        )
        found.fatal.append(sheet.problem("failed_at", [], message))
        return _empty_failures()
    found.notes.extend(told.notes)
    at = moments.at
    first = float(rows["at"].min())
    if axis == SECONDS and first >= LEAST_EPOCH > np.nanmax(at, initial=-np.inf):
        message = "failed_at holds small numbers, and the rows are in time: write ISO 8601 times"
        found.fatal.append(sheet.problem("failed_at", [], message))
        return _empty_failures()
    missing = (devices == "").to_numpy() | np.isnan(at)
    if missing.any():
        message = "the device or its time cannot be read: the failure is dropped"
        found.notes.append(sheet.problem("failed_at", first_rows(missing), message))
    strange = ~missing & ~devices.isin(rows["device"].unique()).to_numpy()
    if strange.any():
        name = devices[first_rows(strange)[0]]
        message = f"no row is of the device {name!r}: its failure is dropped"
        found.notes.append(sheet.problem("device", first_rows(strange), message))
    good = ~(missing | strange)
    frame = pd.DataFrame({"device": devices[good], "failed_at": at[good]})
    return frame.drop_duplicates().sort_values(["device", "failed_at"], ignore_index=True)


def _add_visits(
    ends: pd.DataFrame,
    visits: Sequence[Visit],
    rows: pd.DataFrame,
    axis: str,
    sheet: Sheet,
    found: Findings,
) -> pd.DataFrame:
    """Return the failures with what was found at visits; one that is listed already counts once."""
    if axis == CYCLES:
        message = f"{len(visits)} visits have times, and the rows count cycles: they teach nothing"
        found.notes.append(sheet.problem("cycle", [], message))
        return ends
    known = {str(device): part.to_numpy() for device, part in ends.groupby("device")["failed_at"]}
    devices = set(rows["device"])
    new = [
        (one.device, one.done_at)
        for one in visits
        if one.device in devices
        and not any(one.raised_at <= at <= one.done_at for at in known.get(one.device, ()))
    ]
    if new:
        message = f"{len(new)} failures that technicians found at visits are added"
        found.notes.append(sheet.problem("device", [], message))
    both = pd.concat([ends, pd.DataFrame(new, columns=["device", "failed_at"])], ignore_index=True)
    return both.astype(ends.dtypes.to_dict()).sort_values(
        ["device", "failed_at"], ignore_index=True
    )


def _empty_failures() -> pd.DataFrame:
    return pd.DataFrame(
        {"device": pd.Series([], dtype="str"), "failed_at": pd.Series([], dtype=np.float64)}
    )


def _count_readings(rows: pd.DataFrame, ends: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows in time as rows in cycles: the number of the device's readings so far."""
    times = {str(device): part.to_numpy() for device, part in rows.groupby("device")["at"]}
    counted = rows.assign(
        at=rows.groupby("device", sort=False).cumcount().to_numpy(np.float64) + 1.0
    )
    failed_at = [
        float(np.searchsorted(times[device], at, side="right"))
        for device, at in zip(ends["device"], ends["failed_at"], strict=True)
    ]
    return counted, ends.assign(failed_at=np.array(failed_at, dtype=np.float64))
