"""`prevenant models train`: from a file of readings to a model that can be put in force."""

import time
from typing import Annotated

import typer

from models.base import CYCLES, Target
from models.figures import describe_figures
from models.history import Loaded
from models.judging import Costs, judge_training
from models.report import write_report
from models.target import deduce_target, describe_target, parse_target
from models.training import train
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
    wanted = _target(asked, predicts)
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
        model = train(
            loaded.history,
            name=name,
            target=target,
            inputs=_inputs(features, asked),
            seed=seed,
            progress=progress,
        )
    seconds, unit = time.monotonic() - started, model.card.judged_by
    out.print(f"trained in {seconds:.0f} s; cross-validated by {unit}:", markup=False)
    for line in describe_figures(model.card.metrics, target):
        out.print(f"  {line}", markup=False)
    notes = [str(note) for note in loaded.notes]
    judged = judge_training(model, loaded.history, Costs(cost_visit, cost_failure), notes)
    stored, is_active = registry.save(model, lambda card: write_report(card, judged))
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


def _target(asked: Asked, predicts: str) -> Target | None:
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


def _inputs(features: list[str] | None, asked: Asked) -> list[str] | None:
    """Return what the model is to listen to; None leaves it to training."""
    if features:
        return [one.strip() for text in features for one in text.split(",") if one.strip()]
    model = asked.model
    return list(model.features) if model and model.features else None
