"""`prevenant models predict`: what a model says of each device in a file."""

import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from models.scoring import predict
from prevenant.cli.models_data import (
    BookFile,
    DataFile,
    Name,
    OnType,
    Since,
    VersionOption,
    ask_book,
    check_folder,
    err,
    open_registry,
    read_data,
    read_since,
    read_version,
)
from prevenant.errors import ConfigurationError
from prevenant.target import CYCLES

_PARQUET = {".parquet", ".pq"}


def predict_file(
    name: Name,
    *,
    data: DataFile,
    at: Annotated[str, typer.Option(help="last row of each device, or all.")] = "last",
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", help="CSV, or Parquet by its suffix.", show_default="standard output"
        ),
    ] = None,
    version: VersionOption = "active",
    on: OnType = "",
    since: Since = "",
    book: BookFile = None,
) -> None:
    """Write what a model says of each device: device, at, prediction, low, high."""
    if at not in {"last", "all"}:
        message = f"--at {at} is not known: write last or all"
        raise ConfigurationError(message)
    check_folder(to)
    model = open_registry().load(name, read_version(version))
    loaded = read_data(
        data,
        None,
        ask_book(name, on, book),
        target=model.card.target,
        run_to_failure=False,
        since=read_since(since),
    )
    for note in loaded.notes:
        err.print(str(note), markup=False)
    found = predict(model, loaded.history, at=at)
    write_predictions(with_places(found, loaded.history.unit), to)
    if to is not None:
        said = int(found["prediction"].notna().sum())
        err.print(
            f"{to}: {len(found)} rows, {said} with a prediction, "
            f"by version {model.card.version} of {name}",
            markup=False,
        )


def with_places(found: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return the predictions with `at` as the data has it: a time, or a whole cycle where it is one."""
    at = found["at"]
    if unit == CYCLES:
        whole = at.to_numpy() % 1 == 0
        return found.assign(at=at.astype("int64")) if whole.all() else found
    return found.assign(at=pd.to_datetime((at * 1e6).round().astype("int64"), unit="us", utc=True))


def write_predictions(found: pd.DataFrame, to: Path | None) -> None:
    """Write a table whole or not at all."""
    if to is not None and to.suffix.lower() in _PARQUET:
        partial = to.with_name(f".{to.name}.partial")
        found.to_parquet(partial, index=False)
        partial.replace(to)
        return
    if found["at"].dtype.kind == "M":
        found = found.assign(at=found["at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        found["at"] = found["at"].str.replace(r"\.0+Z$", "Z", regex=True)
    if to is None:
        found.to_csv(sys.stdout, index=False)
        return
    partial = to.with_name(f".{to.name}.partial")
    found.to_csv(partial, index=False)
    partial.replace(to)
