"""Files of the CRM as sheets: one kind of row each, with the place of every cell.

A folder of CSV files, one CSV file, or a workbook with a sheet for each kind.
"""

import codecs
import csv
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile

from prevenant.crm.entities import ENTITIES, Entity
from prevenant.errors import Problem

_WORKBOOKS = {".xlsx", ".xlsm"}
_SEPARATORS = ",;\t"
_SEPARATOR_SAID = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""The first line that spreadsheets write and read to say what stands between cells."""
UTF_8 = "UTF-8"
_DAMAGED = (
    *(OSError, EOFError, BadZipFile, zlib.error, ParseError, NotImplementedError),
    *(ValueError, LookupError, TypeError, AttributeError, RuntimeError),
)
"""What a workbook ends in that is damaged, encrypted, or none: its readers have no error of their own."""
_WORKED_OUT = re.compile(rb"<f[ >/]|t=\"e\"")
"""What stands in a sheet with formulas, or with errors of the spreadsheet's own."""
_UNREAD = {
    "f": "the formula here has no result: work it out in a spreadsheet and save it",
    "e": "the spreadsheet says {} here: write what is meant",
}
"""What is to be said of a cell that comes out empty, by the kind of it."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The lines of one kind of row."""

    entity: Entity
    source: str
    """A file, or `book.xlsx:sheet`."""
    columns: Sequence[str]
    lines: Sequence[tuple[int, Sequence[Any]]]
    """Each with its number in the file, from 1."""
    header: int = 1
    """The number of the line with the columns' names."""
    in_workbook: bool = False
    positions: dict[str, int] = field(default_factory=dict)
    """Where a column stands, from 0."""

    def problem(self, line: int, column: str | int, message: str) -> Problem:
        """Return a problem with one cell; `column` is a name, or an index from 0."""
        index = column if isinstance(column, int) else self.positions.get(column, 0)
        place = f"{self.source}!{_letters(index)}{line}" if self.in_workbook else ""
        return Problem(self.source, line, index + 1, message, place)

    @property
    def name(self) -> str:
        """What it is called beside the others: the file or the sheet."""
        return self.source.rpartition(":" if self.in_workbook else "/")[2]


def read_sheets(path: Path, problems: list[Problem], encoding: str = UTF_8) -> list[Sheet]:
    """Read a folder, a CSV file or a workbook; what is wrong with it as a whole goes to `problems`.

    CSV is UTF-8, or UTF-16 with its mark, unless `encoding` says otherwise.
    """
    if not path.exists():
        problems.append(Problem(str(path), 1, 1, "there is no such file or folder: check the path"))
        return []
    if path.is_dir():
        return list(_read_folder(path, problems, encoding))
    if path.suffix.lower() in _WORKBOOKS:
        return list(_read_workbook(path, problems))
    entity = ENTITIES.get(path.stem.lower())
    if entity is None:
        hint = f"name it after what it holds, as in {_file_names()}, or give a folder or a workbook"
        problems.append(Problem(str(path), 1, 1, f"it is not clear what this file holds: {hint}"))
        return []
    sheet = _read_csv(path, entity, problems, encoding)
    return [sheet] if sheet else []


def _file_names() -> str:
    return ", ".join(f"{name}.csv" for name in ENTITIES)


def _read_folder(folder: Path, problems: list[Problem], encoding: str) -> Iterator[Sheet]:
    files = {one.stem.lower(): one for one in sorted(folder.glob("*.csv"))}
    for stem, path in files.items():
        if stem not in ENTITIES and (close := get_close_matches(stem, ENTITIES, 1)):
            message = f"this file is not known: did you mean '{close[0]}.csv'?"
            problems.append(Problem(str(path), 1, 1, message))
    present = [name for name in ENTITIES if name in files]
    if not present:
        message = f"holds none of {_file_names()}"
        if books := sorted(folder.glob("*.xlsx")):
            message += f"; to read the workbook, name it: {books[0]}"
        problems.append(Problem(str(folder), 1, 1, message))
    for name in present:
        sheet = _read_csv(files[name], ENTITIES[name], problems, encoding)
        if sheet is not None:
            yield sheet


def _read_csv(path: Path, entity: Entity, problems: list[Problem], encoding: str) -> Sheet | None:
    try:
        text = _decode(path.read_bytes(), encoding)
        first, _, rest = text.partition("\n")
        number = 1
        if said := _SEPARATOR_SAID.fullmatch(first.strip()):
            text, number = rest, 2
        separator = said[1] if said else max(_SEPARATORS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        lines, before = [], number
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((number, cells))
            number = reader.line_num + before
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        remedy = "save it as CSV UTF-8, or say what it is, as in --encoding cp1252"
        message = f"cannot be read as {encoding}, beginning with this line: {remedy}"
        problems.append(Problem(str(path), line, 1, message))
        return None
    except (OSError, csv.Error) as error:
        message = f"cannot be read as CSV: {error}; save it as CSV UTF-8"
        problems.append(Problem(str(path), 1, 1, message))
        return None
    if not lines or "\0" in text:
        message = "cannot be read as CSV: it has no line with the columns' names"
        problems.append(Problem(str(path), 1, 1, message))
        return None
    return _make_sheet(entity, str(path), lines, in_workbook=False)


def _decode(raw: bytes, encoding: str) -> str:
    if encoding == UTF_8 and raw[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return raw.decode("utf-16")
    return raw.decode(encoding).removeprefix("\ufeff")


def _read_workbook(path: Path, problems: list[Problem]) -> Iterator[Sheet]:
    import pandas as pd  # noqa: PLC0415  half a second, for workbooks alone

    try:
        book = pd.read_excel(
            path,
            sheet_name=None,
            header=None,
            dtype=object,
            keep_default_na=False,
            na_values=[],
            engine="openpyxl",
        )
        unread = _find_unread(path)
    except _DAMAGED as error:
        problems.append(Problem(str(path), 1, 1, f"cannot be read as a workbook: {error}"))
        return
    sheets = {str(title).strip().lower(): (str(title), frame) for title, frame in book.items()}
    for key, (title, _) in sheets.items():
        if key not in ENTITIES and (close := get_close_matches(key, ENTITIES, 1)):
            message = f"this sheet is not known: did you mean {close[0]!r}?"
            problems.append(Problem(f"{path}:{title}", 1, 1, message, f"{path}:{title}"))
    present = [name for name in ENTITIES if name in sheets]
    if not present:
        message = f"holds none of the sheets {', '.join(ENTITIES)}"
        problems.append(Problem(str(path), 1, 1, message))
    for name in present:
        title, frame = sheets[name]
        rows = frame.itertuples(index=False, name=None)
        texts = list(enumerate(([cell_text(one) for one in row] for row in rows), 1))
        lines = [(number, cells) for number, cells in texts if any(cells)]
        source = f"{path}:{title}"
        for (row, index), message in unread.get(title, {}).items():
            cells = texts[row - 1][1] if row <= len(texts) else []
            if index >= len(cells) or not cells[index]:
                place = f"{source}!{_letters(index)}{row}"
                problems.append(Problem(source, row, index + 1, message, place))
        if lines:
            yield _make_sheet(ENTITIES[name], source, lines, in_workbook=True)
        else:
            message = "this sheet has no line with the columns' names: add it"
            problems.append(Problem(source, 1, 1, message, f"{source}!A1"))


def _find_unread(path: Path) -> dict[str, dict[tuple[int, int], str]]:
    """Return what is to be said of cells that may come out empty though something stands in them.

    A formula has no result where no spreadsheet has worked it out since; by sheet, row and column.
    """
    with ZipFile(path) as parts:
        names = [one for one in parts.namelist() if one.startswith("xl/worksheets/")]
        if not any(_WORKED_OUT.search(parts.read(one)) for one in names):
            return {}
    from openpyxl import load_workbook  # noqa: PLC0415  as pandas: for workbooks alone

    found: dict[str, dict[tuple[int, int], str]] = {}
    book = load_workbook(path, read_only=True)
    try:
        for sheet in book.worksheets:
            for number, row in enumerate(sheet.iter_rows(), 1):
                for index, cell in enumerate(row):
                    if cell.data_type in _UNREAD:
                        message = _UNREAD[cell.data_type].format(cell.value)
                        found.setdefault(sheet.title, {})[number, index] = message
    finally:
        book.close()
    return found


def _make_sheet(
    entity: Entity, source: str, lines: Sequence[tuple[int, Sequence[Any]]], *, in_workbook: bool
) -> Sheet:
    header, names = lines[0]
    columns = [_column_name(str(name)) for name in names]
    while columns and not columns[-1]:
        columns.pop()
    positions: dict[str, int] = {}
    for index, name in enumerate(columns):
        positions.setdefault(name, index)
    return Sheet(entity, source, columns, lines[1:], header, in_workbook, positions)


def _column_name(text: str) -> str:
    return "_".join(text.strip().lower().replace("-", " ").split())


def cell_text(value: Any) -> str:
    """Return a spreadsheet's cell as CSV would have it: `7.0` is 7, a day has no time."""
    if value is None or value != value:  # noqa: PLR0124  NaN, and pandas' own for times
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return str(value.date()) if value.time() == time() else value.isoformat()
    if isinstance(value, time):
        return value.isoformat("minutes")
    return str(value).strip()


def _letters(index: int) -> str:
    """Return a column as a spreadsheet calls it: 0 is A, 26 is AA."""
    letters, number = "", index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
