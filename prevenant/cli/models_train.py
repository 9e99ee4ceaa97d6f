"""`prevenant models train`: from a file of readings to a model that can be put in force."""

import time
from dataclasses import dataclass
from typing import Annotated

import typer

from models.figures import describe_figures, describe_leaks
from models.history import Loaded
from models.judging import Costs, judge_training
from models.registry import Registry
from models.report import write_report
from models.rows import Progress
from models.target import deduce_target, describe_target
from models.training import Model, train
from prevenant.cli.models_data import (
    Asked,
    BookFile,
    CostFailure,
    CostVisit,
    DataFile,
    FailuresFile,
    Name,
    OnType,
    Since,
    ask_book,
    find_visits,
    open_registry,
    read_data,
    read_since,
    say_what_was_read,
    shown_progress,
)
from prevenant.cli.shown import out
from prevenant.target import CYCLES, Target, parse_target

Predicts = Annotated[
    str,
    typer.Option(
        help='What: "failure within 72h", "remaining life in cycles" or anomaly.',
        show_default="the rule book, else the data",
    ),
]
Features = Annotated[
    list[str] | None,
    typer.Option(
        help="What it listens to: fields, or arithmetic such as torque * speed; with commas between.",
        show_default="found out from the data",
    ),
]


def train_model(  # noqa: PLR0913  a command has as many options as it needs
    name: Name,
    *,
    data: DataFile,
    failures: FailuresFile = None,
    predicts: Predicts = "",
    features: Features = None,
    on: OnType = "",
    since: Since = "",
    seed: Annotated[int, typer.Option(help="Another draw of what is random in training.")] = 0,
    book: BookFile = None,
    cost_visit: CostVisit = 1.0,
    cost_failure: CostFailure = 10.0,
) -> None:
    """Learn from what devices said and when they failed; the result is the next version."""
    registry = open_registry()
    registry.versions(name)
    asked = ask_book(name, on, book)
    wanted = read_target(asked, predicts)
    begins = read_since(since)
    visits = find_visits(name, asked, begins) if since else []
    if visits:
        out.print(f"{len(visits)} failures were found by technicians at visits since then")
    loaded = read_data(data, failures, asked, target=wanted, since=begins, visits=visits)
    say_what_was_read(loaded)
    target = wanted or _deduce(loaded)
    out.print(f"predicts {describe_target(target)}", markup=False)
    started = time.monotonic()
    with shown_progress("training") as progress:
        stored, is_active = learn_version(
            registry,
            loaded,
            Lesson(name, target, read_inputs(features, asked), seed),
            Costs(cost_visit, cost_failure),
            progress,
        )
    seconds, unit = time.monotonic() - started, stored.card.judged_by
    out.print(f"trained in {seconds:.0f} s; cross-validated by {unit}:", markup=False)
    for line in describe_figures(stored.card.metrics, target):
        out.print(f"  {line}", markup=False)
    for line in describe_leaks(stored.card):
        out.print(line, markup=False)
    version = stored.card.version
    out.print(f"report: {registry.report(name, version)}", markup=False)
    if is_active:
        out.print(f"version {version} of {name} is active, for it is the first", markup=False)
    else:
        active = registry.standing(name).active
        out.print(
            f"version {version} of {name} waits, version {active} goes on: "
            f"`prevenant models shadow {name} {version}`, then `activate`",
            markup=False,
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a model is to learn."""

    name: str
    target: Target
    inputs: list[str] | None = None
    """What it listens to; None leaves it to training."""
    seed: int = 0


def learn_version(
    registry: Registry, loaded: Loaded, lesson: Lesson, costs: Costs, progress: Progress
) -> tuple[Model, bool]:
    """Train a model, judge it, and keep it as the next version; True where it is active."""
    model = train(
        loaded.history,
        name=lesson.name,
        target=lesson.target,
        inputs=lesson.inputs,
        seed=lesson.seed,
        progress=progress,
    )
    notes = [str(note) for note in loaded.notes]
    judged = judge_training(model, loaded.history, costs, notes)
    return registry.save(model, lambda card: write_report(card, judged))


def read_target(asked: Asked, predicts: str) -> Target | None:
    """Return what was typed, else what the rule book says; None where nobody does."""
    if predicts:
        return parse_target(predicts)
    model = asked.model
    return Target(model.kind, model.unit, model.horizon) if model else None


def _deduce(loaded: Loaded) -> Target:
    target, why = deduce_target(loaded.history, ends_in_failure=loaded.ends_in_failure)
    horizon = "30 cycles" if target.unit == CYCLES else "24h"
    why = f"--predicts is not given, and {why}"
    out.print(f'{why}: choose otherwise, as in --predicts "failure within {horizon}"')
    return target


def read_inputs(features: list[str] | None, asked: Asked) -> list[str] | None:
    """Return what the model is to listen to; None leaves it to training."""
    if features:
        return [one.strip() for text in features for one in text.split(",") if one.strip()]
    model = asked.model
    return list(model.features) if model and model.features else None
