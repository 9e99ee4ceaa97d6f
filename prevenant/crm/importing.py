"""Filling the CRM from files: everything is judged before anything is written, all errors at once.

A folder of CSV files, one CSV file or a workbook. Rows are found again by their id, so that the same files
imported twice change nothing; a file that names only some columns changes only those.
"""

from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from prevenant.crm.entities import ENTITIES
from prevenant.crm.judging import judge_sheets
from prevenant.crm.sheets import read_sheets
from prevenant.crm.writing import Tally, remove_missing, write_lines
from prevenant.errors import ConfigurationError, CrmImportError, Problem


def import_files(
    session: Session, path: Path, *, source: str = "", removed_at: datetime | None = None
) -> dict[str, Tally]:
    """Import a folder, a CSV file or a workbook, in the transaction of `session`.

    `source` says whose rows they are; where `removed_at` is given, rows of that source that its files
    list no more are taken out then. Raises CrmImportError with every problem; then nothing was written.
    """
    if removed_at is not None and not source:
        message = "say whose rows may be removed with --source NAME, as when they were imported"
        raise ConfigurationError(message)
    problems: list[Problem] = []
    sheets = read_sheets(path, problems)
    judgement = judge_sheets(session, sheets, problems)
    if judgement.problems:
        raise CrmImportError(judgement.problems)
    tallies = write_lines(session, judgement, source or None)
    if removed_at is not None:
        # Who refers to others goes first.
        for name in reversed(list(tallies)):
            keys = [line.key for line in judgement.lines[name]]
            removed = remove_missing(session, ENTITIES[name], source, keys, removed_at)
            tallies[name].removed = removed
    return tallies


def import_folder(session: Session, folder: Path) -> dict[str, int]:
    """Import a folder and return rows by kind. Raises CrmImportError."""
    return {name: tally.listed for name, tally in import_files(session, folder).items()}
