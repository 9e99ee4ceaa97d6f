"""`prevenant models`: the commands about predictive models, each loaded when it is typed."""

from typing import ClassVar

import typer

from prevenant.cli.lazy import LazyGroup


class _Commands(LazyGroup):
    """The commands about models."""

    parts: ClassVar = {
        "train": (
            "prevenant.cli.models_train:train_model",
            "Learn from what devices said and when they failed; the result is the next version.",
        ),
        "evaluate": (
            "prevenant.cli.models_judge:evaluate_model",
            "Judge a version on data as a service business would, and write the report on it.",
        ),
        "compare": (
            "prevenant.cli.models_judge:compare_models",
            "Judge several versions on the same data, side by side.",
        ),
        "predict": (
            "prevenant.cli.models_predict:predict_file",
            "Write what a model says of each device: device, at, prediction, low, high.",
        ),
        "list": (
            "prevenant.cli.models_versions:list_models",
            "Show which models there are, their versions, and which of them speak.",
        ),
        "show": (
            "prevenant.cli.models_versions:show_model",
            "Show what is known of one version: what it predicts, from what, and how well.",
        ),
        "activate": (
            "prevenant.cli.models_versions:activate_model",
            "Let a version speak: a running engine takes it within seconds.",
        ),
        "rollback": (
            "prevenant.cli.models_versions:roll_model_back",
            "Let the version speak again that did so before.",
        ),
        "shadow": (
            "prevenant.cli.models_versions:shadow_model",
            "Have a version's predictions recorded beside the active one's, heard by no rule.",
        ),
        "export": (
            "prevenant.cli.models_versions:export_model",
            "Write a version as one zip file, for another engine or for safekeeping.",
        ),
        "import": (
            "prevenant.cli.models_versions:import_model",
            "Take a version that was exported, as the next one of its name here.",
        ),
        "retire": (
            "prevenant.cli.models_versions:retire_models",
            "Remove old versions; those in use, and the one to roll back to, stay.",
        ),
    }


app = typer.Typer(
    cls=_Commands,
    help="Predictive models: train, judge, put in force.",
    no_args_is_help=True,
)


@app.callback()
def models() -> None:
    """Predictive models: train, judge, put in force."""
