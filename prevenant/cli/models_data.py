"""What commands about models share: their options, the data they are given, the book's word on a model."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.engine import make_url

from ingest.export import Selection, export_readings
from models.history import Loaded, Visit, read_history
from models.registry import Registry, Which
from models.training import Model
from prevenant.book import Book, load_book
from prevenant.cli.shown import out, printable
from prevenant.clock import from_epoch
from prevenant.document import suggest
from prevenant.domain import DeviceType
from prevenant.errors import ConfigurationError
from prevenant.labels import find_labels
from prevenant.moments import read_moment
from prevenant.settings import Settings, load_settings
from prevenant.store import open_store
from prevenant.target import ANOMALY, Target
from rules.models import BookModel

JOURNAL = "journal"

Name = Annotated[str, typer.Argument(help="The model, as in compressor.")]
DataFile = Annotated[
    str,
    typer.Option(
        "--data", help="CSV or Parquet: device, observed_at or cycle, and the fields; or: journal."
    ),
]
FailuresFile = Annotated[
    Path | None,
    typer.Option(
        "--failures",
        "--labels",
        help="CSV or Parquet: device, failed_at. Without it each record ends with its failure.",
    ),
]
Since = Annotated[
    str, typer.Option(help="Only from then on: a time in ISO 8601, or how long ago: 90d.")
]
OnType = Annotated[
    str, typer.Option("--on", help="A device type of the rule book, whose fields are taken.")
]
BookFile = Annotated[Path | None, typer.Option("--book", help="The rule book.")]
VersionOption = Annotated[
    str, typer.Option("--version", help="Its number, or active, shadow, latest.")
]
CostVisit = Annotated[float, typer.Option(min=0, help="What a visit costs you.")]
CostFailure = Annotated[float, typer.Option(min=0, help="What a failure in service costs you.")]

_NOTES_SHOWN = 20
_TOLD_EVERY_S = 10.0
_STANDINGS: Mapping[str, Which] = {"active": "active", "shadow": "shadow", "latest": "latest"}

err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rule book says of a model and of the devices that it is for."""

    model: BookModel | None = None
    """Its entry in the section `models`."""
    device_type: DeviceType | None = None
    types: Mapping[str, DeviceType] | None = None

    @property
    def kinds(self) -> dict[str, type] | None:
        """The fields that devices send, and what each is; None: whatever the data has."""
        if self.device_type is None:
            return None
        return {one.name: one.kind for one in self.device_type.fields}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each field that has one."""
        fields = self.device_type.fields if self.device_type else ()
        return {one.name: one.unit for one in fields if one.unit}


def open_registry() -> Registry:
    """Return the models below the folder of the settings."""
    return Registry(load_settings().models)


def read_version(text: str) -> Which:
    """Return the version that a user named. Raises ConfigurationError."""
    word = text.lower().removeprefix("v")
    if word.isdigit() and int(word) > 0:
        return int(word)
    if word in _STANDINGS:
        return _STANDINGS[word]
    message = f"{text!r} is no version: write its number, or active, shadow or latest"
    raise ConfigurationError(message)


def load_judged(registry: Registry, name: str, which: Which) -> Model:
    """Return a model that failures can judge. Raises ConfigurationError for a detector."""
    model = registry.load(name, which)
    if model.card.target.kind == ANOMALY:
        message = (
            f"{name} looks for what is unusual: failures are no measure of it; see what it says with "
            f"`prevenant models predict {name}`"
        )
        raise ConfigurationError(message)
    return model


def check_folder(to: Path | None) -> None:
    """Raise ConfigurationError where a file cannot be written for want of its folder."""
    if to is not None and not to.parent.is_dir():
        message = f"{to}: there is no folder {to.parent}: make it, or name another file"
        raise ConfigurationError(message)


def read_since(since: str) -> float:
    """Return from when on rows count, in seconds since 1970; all of them where nobody says."""
    return read_moment(since, load_settings().make_clock().now()) if since else -math.inf


def ask_book(name: str, on: str, book: Path | None) -> Asked:
    """Return what the user's own rule book says of a model. Raises ConfigurationError.

    The book that is shipped is nobody's own: in a folder without one, only what is typed counts.
    """
    found = _own_book(load_settings(), book)
    if found is None:
        if on:
            message = "--on names a device type, and there is no rule book: name it with --book"
            raise ConfigurationError(message)
        return Asked()
    return find_asked(found, name, on)


def find_asked(found: Book, name: str, on: str) -> Asked:
    """Return what a rule book says of a model. Raises ConfigurationError."""
    types = found.rules.devices
    model = found.rules.models.get(name)
    wanted = on or (model.on if model else "")
    if wanted and wanted not in types:
        message = f"the rule book has no device type {wanted!r}: {suggest(wanted, types)}"
        raise ConfigurationError(message)
    return Asked(model, types.get(wanted), types)


def _own_book(current: Settings, book: Path | None) -> Book | None:
    if book is not None:
        return load_book(book)
    is_own = "book" in current.model_fields_set or Path("rules.yaml").exists()
    return load_book(current.book) if is_own else None


def read_data(
    data: str,
    failures: Path | None,
    asked: Asked,
    *,
    target: Target | None = None,
    run_to_failure: bool = True,
    since: float = -math.inf,
    visits: Sequence[Visit] = (),
) -> Loaded:
    """Return what the data says; raises HistoryError and ConfigurationError with what is wrong."""
    is_counted = target is not None and target.kind != ANOMALY and not target.is_now
    unit = target.unit if target is not None and is_counted else None
    if data != JOURNAL:
        return read_history(
            Path(data),
            failures,
            unit=unit,
            kinds=asked.kinds,
            run_to_failure=run_to_failure,
            since=since,
            visits=visits,
        )
    if asked.device_type is None or asked.types is None:
        message = "--data journal needs the type of the devices: write --on TYPE"
        raise ConfigurationError(message)
    with tempfile.TemporaryDirectory(prefix="prevenant-") as folder:
        selection = Selection(max(since, 0.0), types=frozenset({asked.device_type.name}))
        source = load_settings().journal
        exported = export_readings(source, asked.types, Path(folder), selection)
        if not exported.rows:
            nothing = f"the journal {source} has no reading of {asked.device_type.name}"
            message = f"{nothing}: name another with PREVENANT_JOURNAL, or a file"
            raise ConfigurationError(message)
        for line in exported.damages:
            err.print(line, markup=False)
        (file,) = exported.rows
        return read_history(
            file,
            failures,
            unit=unit,
            kinds=asked.kinds,
            # What speaks in the journal is alive: its last reading is no failure.
            run_to_failure=False,
            visits=visits,
        )


def find_visits(name: str, asked: Asked, since: float) -> list[Visit]:
    """Return the visits since then at which technicians found that a device of the type had failed.

    What another model led to is left out: it is of another kind of failure.
    """
    current = load_settings()
    if asked.device_type is None or not _has_store(current):
        return []
    with open_store(current) as store, store.read() as session:
        labels = find_labels(session, asked.device_type.name, since=from_epoch(max(since, 0.0)))
        return [
            Visit(one.device, one.raised_at, one.at)
            for one in labels
            if one.is_failure and (not one.models or name in one.models)
        ]


def _has_store(current: Settings) -> bool:
    """Return whether there is a store already: training alone does not make one."""
    url = make_url(current.database_url)
    return url.drivername != "sqlite" or Path(url.database or "").exists()


def say_what_was_read(loaded: Loaded) -> None:
    """Print how much was read, and what was left out or taken for granted."""
    history = loaded.history
    rows, devices = len(history.rows), history.rows["device"].nunique()
    failures = len(history.failures)
    ended = "; each device's last row was taken as its failure" if loaded.ends_in_failure else ""
    out.print(f"read {rows} rows of {devices} devices, {failures} failures{ended}", markup=False)
    for note in loaded.notes[:_NOTES_SHOWN]:
        out.print(f"  {printable(str(note))}", markup=False)
    if len(loaded.notes) > _NOTES_SHOWN:
        out.print(f"  and {len(loaded.notes) - _NOTES_SHOWN} more remarks")


@contextmanager
def shown_progress(what: str) -> Iterator[Callable[[float, str], None]]:
    """Yield a function that shows how far the work is: a bar, or now and then a line in a file."""
    if not err.is_terminal:
        yield _told_by_lines(what)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    ) as progress:
        task = progress.add_task(what, total=1.0)

        def show(done: float, doing: str) -> None:
            progress.update(task, completed=done, description=escape(doing))

        yield show


def _told_by_lines(what: str) -> Callable[[float, str], None]:
    """Return a function that prints how far the work is, and no more often than is read."""
    told_at = time.monotonic()

    def show(done: float, doing: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _TOLD_EVERY_S:
            told_at = time.monotonic()
            err.print(f"{what}: {done:.0%}, {doing}", markup=False)

    return show
