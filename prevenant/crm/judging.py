"""Judging rows before any is written: every mistake of every row at once, each with its place."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError
from sqlmodel import Session, SQLModel, col, select

from prevenant.crm.entities import ENTITIES, Entity
from prevenant.crm.erased_rows import find_erased
from prevenant.crm.sheets import Sheet
from prevenant.crm.tables import Technician
from prevenant.document import suggest
from prevenant.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_AT_ONCE = 500
"""How many ids are asked for in one query."""
_SUGGESTED, _COMPARED = 50, 20_000
"""Nearest names are sought for so many problems, among so many names."""


_WORDS = re.compile(r"\^\((\w+(?:\|\w+)+)\)\$")
"""A pattern that is a list of words."""


class Batch(Protocol):
    """Rows of one kind, wherever they come from."""

    @property
    def entity(self) -> Entity:
        """Which kind."""

    def rows(self) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """Yield each row by column, with what the batch calls it."""

    def problem(self, ref: Any, column: str, message: str) -> Problem:
        """Return a problem with a cell of the row that is called `ref`."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row that is good."""

    ref: Any
    key: str
    given: Mapping[str, Any]
    """By column, those alone that were given."""


@dataclass(slots=True)
class Judgement:
    """What is good, and what is wrong with the rest."""

    lines: dict[str, list[Line]] = field(default_factory=dict)
    """By kind of row."""
    problems: list[Problem] = field(default_factory=list)
    refused: dict[tuple[str, Any], str] = field(default_factory=dict)
    """By kind and `ref`, what is wrong with a row first."""

    def refuse(self, batch: Batch, ref: Any, column: str, message: str) -> None:
        """Note a problem; the row is not written."""
        problem = batch.problem(ref, column, message)
        self.problems.append(problem)
        self.refused.setdefault((batch.entity.name, ref), problem.message)


@dataclass(frozen=True, slots=True)
class SheetBatch:
    """The lines of a file."""

    sheet: Sheet

    @property
    def entity(self) -> Entity:
        """Which kind of row."""
        return self.sheet.entity

    def rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield each line by column."""
        columns = self.sheet.columns
        for number, cells in self.sheet.lines:
            yield number, dict(zip(columns, cells, strict=False))

    def problem(self, ref: int, column: str, message: str) -> Problem:
        """Return a problem with a cell."""
        return self.sheet.problem(ref, column, message)


def judge_sheets(session: Session, sheets: Sequence[Sheet], problems: list[Problem]) -> Judgement:
    """Judge all sheets together: a row may name one of another sheet, or of the store."""
    batches = []
    shifted: set[tuple[str, int]] = set()
    # Where something could not be read at all, it may be what is not there.
    unread = set(ENTITIES) - {one.entity.name for one in sheets} if problems else set()
    # A cell that could not be read is not said to be empty besides.
    told = {(one.source, one.line, one.column) for one in problems}
    for sheet in sheets:
        found = list(_check_columns(sheet))
        problems += found
        if found:
            unread.add(sheet.entity.name)
        else:
            batches.append(SheetBatch(sheet))
            for problem in _check_surplus(sheet):
                problems.append(problem)
                shifted.add((sheet.source, problem.line))
    judgement = judge(session, batches, unread=unread)
    # Where cells are shifted, what is wrong with each of them says nothing.
    others = [
        one
        for one in judgement.problems
        if (one.source, one.line) not in shifted and (one.source, one.line, one.column) not in told
    ]
    judgement.problems = others + problems
    return judgement


def judge(
    session: Session,
    batches: Sequence[Batch],
    *,
    whole: bool = True,
    unread: Collection[str] = (),
) -> Judgement:
    """Judge batches together. `whole`: nothing is to follow that a row's role could be at.

    `unread` are kinds of rows of which nobody knows yet which there are.
    """
    judgement = Judgement()
    for batch in batches:
        judgement.lines[batch.entity.name] = list(_read(batch, judgement))
    for batch in batches:
        _check_new(session, batch, judgement)
    for batch in batches:
        _check_references(session, batch, judgement, whole=whole, unread=unread)
        _check_unique(session, batch, judgement)
        _check_erased(session, batch, judgement)
    for batch in batches:
        name = batch.entity.name
        lines = judgement.lines[name]
        judgement.lines[name] = [x for x in lines if (name, x.ref) not in judgement.refused]
    return judgement


def _check_columns(sheet: Sheet) -> Iterator[Problem]:
    entity, known = sheet.entity, list(sheet.entity.row.model_fields)
    for index, name in enumerate(sheet.columns):
        if sheet.positions[name] != index:
            message = f"the column {name!r} stands here twice: keep one of them"
            yield sheet.problem(sheet.header, index, message)
        elif name not in known:
            message = f"the column {name!r} is not known: {suggest(name, known)}"
            yield sheet.problem(sheet.header, index, message)
    wanted = entity.identity
    if entity.name == "leave":
        wanted = ("id",) if "id" in sheet.columns else ("technician", "starts_at")
    for name in wanted:
        if name not in sheet.columns and name in entity.required:
            yield sheet.problem(sheet.header, 0, f"the column {name!r} is missing: add it")


def _check_surplus(sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each line that has more cells than there are columns."""
    width = len(sheet.columns)
    remedy = "put a cell that has the separator in it in quotes, or name the column"
    if sheet.in_workbook:
        remedy = "name the column in the first line, or empty the cell"
    for number, cells in sheet.lines:
        filled = (i for i in range(width, len(cells)) if str(cells[i]).strip())
        if (index := next(filled, None)) is not None:
            message = f"this cell is beyond the {width} columns that have names: {remedy}"
            yield sheet.problem(number, index, message)


def _read(batch: Batch, judgement: Judgement) -> Iterator[Line]:
    """Yield each row once; one with a bad cell is refused, and its other cells are judged all the same."""
    entity, seen = batch.entity, dict[str, Any]()
    for ref, raw in batch.rows():
        given = _read_cells(batch, ref, raw, judgement)
        missing = [n for n in entity.identity if n in entity.required and n not in given]
        if missing and not (entity.name == "leave" and given.get("id")):
            if missing[0] not in raw:
                judgement.refuse(batch, ref, missing[0], f"{missing[0]}: this is missing: add it")
            continue
        key = entity.key_of(given)
        if key in seen:
            message = f"{key!r} stands in {_named(seen[key])} already: keep one of them"
            judgement.refuse(batch, ref, entity.identity[0], message)
            continue
        seen[key] = ref
        yield Line(ref, key, given)


def _read_cells(
    batch: Batch, ref: Any, raw: Mapping[str, Any], judgement: Judgement
) -> dict[str, Any]:
    """Return the good cells of a row; an empty one means the default."""
    entity = batch.entity
    values = {}
    for name, value in raw.items():
        if not _can_be_kept(value):
            message = f"{name}: it holds a character that no text has: write it anew"
            judgement.refuse(batch, ref, name, message)
            continue
        is_empty = value is None or (isinstance(value, str) and not value.strip())
        values[name] = entity.defaults[name] if is_empty and name in entity.defaults else value
    try:
        row = entity.partial.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0])
            judgement.refuse(batch, ref, name, f"{name}: {_told(detail, values.get(name))}")
            values.pop(name, None)
        row = entity.partial.model_validate(values)
    return {name: getattr(row, name) for name in values}


def _told(detail: "ErrorDetails", value: Any) -> str:
    """Return what is wrong with a cell, and what to write."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "this is empty: fill it in"
    pattern = str(detail.get("ctx", {}).get("pattern", ""))
    if words := _WORDS.fullmatch(pattern):
        return f"{value!r} is not known here: {suggest(str(value), words[1].split('|'))}"
    text = str(detail["msg"]).removeprefix("Value error, ")
    return f"{text[:1].lower()}{text[1:]}"


def _can_be_kept(value: Any) -> bool:
    """Return whether every database can keep a value: no NUL, no half of a character."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= one <= "\udfff" for one in value)
    if isinstance(value, Mapping):
        return all(_can_be_kept(one) for pair in value.items() for one in pair)
    return all(map(_can_be_kept, value)) if isinstance(value, list) else True


def _named(ref: Any) -> str:
    return f"line {ref}" if isinstance(ref, int) else f"row {ref}"


def _check_new(session: Session, batch: Batch, judgement: Judgement) -> None:
    """Refuse rows that are not known yet and lack a column that has no default."""
    entity = batch.entity
    lines = judgement.lines[entity.name]
    lacking = [
        line
        for line in lines
        if any(n not in line.given for n in entity.required)
        and (entity.name, line.ref) not in judgement.refused
    ]
    if not lacking or len(entity.match) > 1:
        return
    known = find_known(session, entity, [line.key for line in lacking])
    for line in lacking:
        if line.key not in known:
            for name in entity.required:
                if name not in line.given:
                    message = f"the column {name!r} is missing: add it, since {line.key!r} is new"
                    judgement.refuse(batch, line.ref, name, message)


def _check_references(
    session: Session,
    batch: Batch,
    judgement: Judgement,
    *,
    whole: bool,
    unread: Collection[str],
) -> None:
    references = dict(batch.entity.references)
    if whole and batch.entity.name == "contacts":
        references["roles"] = "sites"
    for column, target in references.items():
        if target in unread:
            continue
        lines = [
            (line, wanted)
            for line in judgement.lines[batch.entity.name]
            for wanted in _names_in(line.given.get(column))
        ]
        here = {line.key for line in judgement.lines.get(target, ())}
        elsewhere = {wanted for _, wanted in lines if wanted not in here}
        known = here | find_known(session, ENTITIES[target], sorted(elsewhere))
        for line, wanted in lines:
            if wanted not in known:
                # What comes page by page is kept and judged again: it is no typing mistake.
                near = _hint(session, target, wanted, here, judgement) if whole else ""
                hint = near or ": add it there first"
                message = f"{column}: there is no {wanted!r} in {target}{hint}"
                judgement.refuse(batch, line.ref, column, message)


def _names_in(value: Any) -> Iterable[str]:
    """Return what a cell names: one row, several, or the sites of roles."""
    if isinstance(value, list):
        names = (one if isinstance(one, str) else one[1] for one in value)
        return [name for name in names if name]
    return [value] if value else []


def _hint(session: Session, target: str, wanted: str, here: set[str], judgement: Judgement) -> str:
    if len(judgement.problems) >= _SUGGESTED or len(here) > _COMPARED:
        return ""
    table: Any = ENTITIES[target].table
    stored = session.exec(select(table.id).limit(_COMPARED)).all() if not here else []
    close = get_close_matches(wanted, sorted(here) + [str(one) for one in stored], 1)
    return f": did you mean {close[0]!r}?" if close else ""


def _check_unique(session: Session, batch: Batch, judgement: Judgement) -> None:
    for column in batch.entity.unique:
        owners: dict[str, str] = {}
        lines = [x for x in judgement.lines[batch.entity.name] if column in x.given]
        wanted = [line.given[column] for line in lines]
        keys = {line.key for line in lines}
        for some in _some(wanted):
            query = select(Technician.contact_id, Technician.id)
            found = session.exec(query.where(col(Technician.contact_id).in_(some)))
            owners |= {value: key for value, key in found if key not in keys}
        for line in lines:
            owner = owners.setdefault(line.given[column], line.key)
            if owner != line.key:
                message = f"{column}: {owner!r} has {line.given[column]!r} already"
                judgement.refuse(batch, line.ref, column, message)


def _check_erased(session: Session, batch: Batch, judgement: Judgement) -> None:
    lines = judgement.lines[batch.entity.name]
    erased = find_erased(session, batch.entity, {line.key: line.given for line in lines})
    for line in lines if erased else ():
        if line.key in erased:
            judgement.refuse(batch, line.ref, batch.entity.identity[0], erased[line.key])


def find_known(session: Session, entity: Entity, keys: Sequence[str]) -> set[str]:
    """Return which of `keys` the store has; of kinds that one column identifies."""
    table: type[SQLModel] = entity.table
    column = getattr(table, entity.match[0])
    known: set[str] = set()
    for some in _some(keys):
        known.update(session.exec(select(column).where(column.in_(some))).all())
    return known


def _some(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
