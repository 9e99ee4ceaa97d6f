"""`prevenant rules check`: every mistake of a rule book, and what is doubtful in it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from prevenant.book import load_book
from prevenant.book_advice import advise, in_order
from prevenant.book_people import advise_on_people, people_in_folder, people_in_store
from prevenant.cli.shown import out
from prevenant.model_voices import RegistryVoices, describe_models
from prevenant.settings import load_settings

BookFile = Annotated[Path | None, typer.Argument(help="The rule book.", show_default="the setting")]


def check_rules(
    book: BookFile = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    crm: Annotated[
        Path | None,
        typer.Option(help="CSV files with the people; without it, those of the store."),
    ] = None,
) -> None:
    """Judge a rule book: every mistake at once, each with its place and remedy; else what is doubtful."""
    path = book or load_settings().book
    good = load_book(path)
    warnings = advise(good, datetime.now(UTC).date())
    people = people_in_folder(crm) if crm else people_in_store(load_settings().database_url)
    if people is not None:
        warnings = in_order([*warnings, *advise_on_people(good, people)])
    for one in warnings:
        sys.stderr.write(f"{one.source}:{one.line}:{one.column}: warning: {one.message}\n")
    if warnings and strict:
        raise typer.Exit(1)
    rules, types = len(good.rules.rules), len(good.rules.devices)
    counts = f"{_counted(rules, 'rule')} on {_counted(types, 'device type')}"
    out.print(f"{path}: {counts}, {_counted(len(good.workflows), 'workflow')}: good")
    for line in describe_models(good.rules, RegistryVoices(load_settings().models)):
        out.print(line, markup=False)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
