"""`prevenant models evaluate` and `compare`: what versions are worth on other data."""

from pathlib import Path
from typing import Annotated

import typer

from models.figures import describe_figures, list_figures, name_figure, show_figure
from models.judging import Costs, judge_data
from models.report import write_report
from models.target import describe_target
from prevenant.cli.models_data import (
    BookFile,
    CostFailure,
    CostVisit,
    DataFile,
    FailuresFile,
    Name,
    OnType,
    Since,
    VersionOption,
    ask_book,
    check_folder,
    load_judged,
    open_registry,
    read_data,
    read_since,
    read_version,
    say_what_was_read,
)
from prevenant.cli.shown import out, show_json, show_table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def evaluate_model(  # noqa: PLR0913  a command has as many options as it needs
    name: Name,
    *,
    data: DataFile,
    failures: FailuresFile = None,
    version: VersionOption = "active",
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the report is to be written, as HTML.")
    ] = None,
    on: OnType = "",
    since: Since = "",
    book: BookFile = None,
    cost_visit: CostVisit = 1.0,
    cost_failure: CostFailure = 10.0,
    as_json: AsJson = False,
) -> None:
    """Judge a version on data as a service business would, and write the report on it."""
    check_folder(report)
    model = load_judged(open_registry(), name, read_version(version))
    card = model.card
    loaded = read_data(
        data, failures, ask_book(name, on, book), target=card.target, since=read_since(since)
    )
    notes = [str(note) for note in loaded.notes]
    where = f"of data that the model was judged on: {data}"
    judged = judge_data(model, loaded.history, Costs(cost_visit, cost_failure), notes, where)
    metrics = judged.evaluation.metrics if judged.evaluation else {}
    if as_json:
        show_json({"name": name, "version": card.version, "metrics": metrics})
    else:
        say_what_was_read(loaded)
        what = f"version {card.version} of {name}, {describe_target(card.target)}:"
        out.print(what, markup=False)
        for line in describe_figures(metrics, card.target):
            out.print(f"  {line}", markup=False)
    if report is not None:
        report.write_text(write_report(card, judged), "utf-8")
        if not as_json:
            out.print(f"report: {report}", markup=False)


def compare_models(
    name: Name,
    versions: Annotated[
        list[str] | None,
        typer.Argument(help="Their numbers, or active, shadow, latest.", show_default="all"),
    ] = None,
    *,
    data: DataFile,
    failures: FailuresFile = None,
    on: OnType = "",
    since: Since = "",
    book: BookFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge several versions on the same data, side by side."""
    registry = open_registry()
    wanted = [registry.find(name, read_version(one)) for one in versions or ()]
    numbers = list(dict.fromkeys(wanted or registry.versions(name)))
    if not numbers:
        registry.find(name, "latest")
    asked, standing = ask_book(name, on, book), registry.standing(name)
    metrics, targets = {}, {}
    for number in numbers:
        model = load_judged(registry, name, number)
        target = model.card.target
        # What is read depends on the unit, and both of one model's versions may differ in it.
        loaded = read_data(data, failures, asked, target=target, since=read_since(since))
        judged = judge_data(model, loaded.history, Costs(), (), data)
        metrics[number] = judged.evaluation.metrics if judged.evaluation else {}
        targets[number] = target
    if as_json:
        show_json({"name": name, "data": data, "metrics": metrics})
        return
    first = targets[numbers[0]]
    names = list_figures({key for one in metrics.values() for key in one})
    stands = {standing.active: " (active)", standing.shadow: " (shadow)"}
    show_table(
        ["", *(f"version {number}{stands.get(number, '')}" for number in numbers)],
        [
            ("predicts", *(describe_target(targets[number]) for number in numbers)),
            *(
                (
                    name_figure(one, first),
                    *(
                        show_figure(one, metrics[number].get(one), targets[number])
                        for number in numbers
                    ),
                )
                for one in names
            ),
        ],
    )
