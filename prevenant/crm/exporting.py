"""Giving the CRM back as files that can be imported again: a folder of CSV files, or a workbook."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, select

from prevenant.crm.entities import ENTITIES, Entity
from prevenant.crm.erased_rows import digests_of
from prevenant.crm.rows import shown_counts
from prevenant.crm.shifts import show_shifts
from prevenant.crm.tables import ERASED, Erasure, RoleHolder

HIDDEN = "********"
_COUNTS = ("skills", "parts")


def export_files(session: Session, path: Path) -> dict[str, int]:
    """Write a workbook where `path` ends in .xlsx, else CSV files into the folder; return rows by kind.

    What was erased is left out: an import would refuse it.
    """
    erased = set(session.exec(select(Erasure.digest)))
    found = {
        name: [
            row
            for row in find_rows(session, one)
            if erased.isdisjoint(digests_of(one, one.key_of(row), row))
        ]
        for name, one in ENTITIES.items()
    }
    found = {name: rows for name, rows in found.items() if rows}
    if path.suffix.lower() == ".xlsx":
        _write_workbook(path, found)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name, rows in found.items():
            with (path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(_columns(ENTITIES[name]))
                writer.writerows(_cells(ENTITIES[name], row) for row in rows)
    return {name: len(rows) for name, rows in found.items()}


def find_rows(
    session: Session,
    entity: Entity,
    *,
    offset: int = 0,
    limit: int | None = None,
    only: str = "",
    among: ColumnElement[bool] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield rows as the file has their columns, in the order of their ids.

    `only` is one of the ids, `among` a condition on the rows.
    """
    table: Any = entity.table
    keys = [getattr(table, name) for name in entity.match]
    query = select(table).order_by(*keys).where(~keys[0].startswith(ERASED))
    if entity.name == "positions":
        query = query.where(table.position_at.is_not(None))
    if only:
        query = query.where(keys[0] == only)
    if among is not None:
        query = query.where(among)
    roles = _roles_by_contact(session, only) if entity.name == "contacts" else {}
    for one in session.exec(query.offset(offset).limit(limit)):
        yield view_row(entity, one, roles)


def hide_secrets(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it can be shown: of a chat's address its service alone."""
    if not row.get("chat"):
        return row
    return {**row, "chat": f"{row['chat'].partition('://')[0]}://{HIDDEN}"}


def view_row(
    entity: Entity, stored: Any, roles: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Return a row of a table by the columns of its file."""
    row = {}
    for name in entity.row.model_fields:
        value = getattr(stored, entity.columns.get(name, name), None)
        row[name] = "" if value is None and entity.columns.get(name) in entity.optional else value
    match entity.name:
        case "contacts":
            row["roles"] = list((roles or {}).get(stored.id, ()))
        case "devices":
            row["device"] = str(stored.id).rpartition("/")[2]
        case "leave":
            row["id"] = stored.key or ""
    return row


def _roles_by_contact(session: Session, only: str) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    query = select(RoleHolder).order_by(RoleHolder.role, RoleHolder.site_id)
    if only:
        query = query.where(RoleHolder.contact_id == only)
    for one in session.exec(query):
        text = f"{one.role}@{one.site_id}" if one.site_id else one.role
        roles.setdefault(one.contact_id, []).append(text)
    return roles


def _columns(entity: Entity) -> list[str]:
    return list(entity.row.model_fields)


def _cells(entity: Entity, row: Mapping[str, Any]) -> list[str]:
    return [_cell(name, row[name]) for name in _columns(entity)]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    if name == "shifts":
        return show_shifts(value)
    if name in _COUNTS:
        return shown_counts(value)
    return "; ".join(value) if isinstance(value, list) else str(value)


def _write_workbook(path: Path, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from openpyxl import Workbook  # noqa: PLC0415  few commands need it, and it takes long

    book = Workbook()
    for name, rows in found.items():
        sheet = book.create_sheet(name)
        lines = [_columns(ENTITIES[name]), *(_cells(ENTITIES[name], row) for row in rows)]
        for line, cells in enumerate(lines, 1):
            for column, text in enumerate(cells, 1):
                cell = sheet.cell(line, column, text)
                # As text: a spreadsheet would take + from a number, and run what begins with =.
                cell.data_type, cell.number_format = "s", "@"
    if found:
        book.remove(book.worksheets[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
