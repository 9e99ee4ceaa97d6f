"""Filling the CRM from files: everything is judged before anything is written, all errors at once.

A folder of CSV files, one CSV file or a workbook. Rows are found again by their id, so that the same files
imported twice change nothing; a file that names only some columns changes only those.
"""

from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from prevenant.crm.entities import ENTITIES
from prevenant.crm.judging import Judgement, judge_sheets
from prevenant.crm.missing import MOST_REMOVED
from prevenant.crm.sheets import UTF_8, read_sheets
from prevenant.crm.writing import Tally, write_lines
from prevenant.crm.writing import remove_missing as take_out_missing
from prevenant.errors import ConfigurationError, CrmImportError, Problem, TooManyMissing


def import_files(
    session: Session,
    path: Path,
    now: datetime,
    *,
    source: str = "",
    remove_missing: bool = False,
    most_removed: float = MOST_REMOVED,
    encoding: str = UTF_8,
) -> dict[str, Tally]:
    """Import a folder, a CSV file or a workbook, in the transaction of `session`.

    `encoding` is that of CSV files. `source` says whose rows they are; with `remove_missing` rows of that
    source that its files list no more are taken out. Raises ConfigurationError where they are more than
    the share `most_removed` of a kind, CrmImportError with every problem; then nothing is to be kept.
    """
    if remove_missing and not source:
        message = "say whose rows may be removed with --source NAME, as when they were imported"
        raise ConfigurationError(message)
    judgement = _judge_files(session, path, encoding)
    tallies = write_lines(session, judgement, source or None, now=now)
    if remove_missing:
        # Who refers to others goes first.
        for name in reversed(list(tallies)):
            keys = [line.key for line in judgement.lines[name]]
            try:
                tallies[name].removed = take_out_missing(
                    session, ENTITIES[name], source, keys, now, most_removed
                )
            except TooManyMissing as error:
                message = f"{error} --most-removed 100%"
                raise ConfigurationError(message) from error
    return tallies


def import_folder(session: Session, folder: Path) -> dict[str, int]:
    """Import a folder into a store of its own, for whatever time; return rows by kind.

    Raises CrmImportError.
    """
    tallies = write_lines(session, _judge_files(session, folder), now=None)
    return {name: tally.listed for name, tally in tallies.items()}


def _judge_files(session: Session, path: Path, encoding: str = UTF_8) -> Judgement:
    """Return what is good of files of which all is good. Raises CrmImportError."""
    problems: list[Problem] = []
    judgement = judge_sheets(session, read_sheets(path, problems, encoding), problems)
    if judgement.problems:
        raise CrmImportError(judgement.problems)
    return judgement
