"""`prevenant models list`, `show`, `activate`, `rollback`, `shadow`, `export`, `import`, `retire`."""

from pathlib import Path
from typing import Annotated

import typer

from models.figures import describe_figures, describe_leaks
from models.registry import Listed, Standing
from models.target import describe_target
from prevenant.cli.models_data import (
    Name,
    VersionOption,
    check_folder,
    open_registry,
    read_version,
)
from prevenant.cli.shown import out, show_json, show_table
from prevenant.clock import from_epoch
from prevenant.errors import ConfigurationError

Version = Annotated[str, typer.Argument(help="Its number, or latest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_models(
    name: Annotated[str | None, typer.Argument(help="One model; else all.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show which models there are, their versions, and which of them speak."""
    found = open_registry().list_versions(name)
    if as_json:
        show_json([_as_json(one) for one in found])
        return
    if not found:
        out.print("no model is there: train one with `prevenant models train NAME --data FILE`")
        return
    show_table(
        ["model", "version", "", "predicts", "trained", "rows", "devices", "failures"],
        [_as_row(one) for one in found],
    )
    for one in found:
        if one.refused:
            out.print(one.refused, markup=False)


def show_model(
    name: Name,
    *,
    version: VersionOption = "active",
    as_json: AsJson = False,
) -> None:
    """Show what is known of one version: what it predicts, from what, and how well."""
    registry = open_registry()
    which = read_version(version)
    card = registry.card(name, which)
    if as_json:
        show_json(card)
        return
    data, trained_at = card.fingerprint, from_epoch(card.trained_at)
    out.print(f"{name}, version {card.version}: predicts {describe_target(card.target)}")
    out.print(f"trained {trained_at:%Y-%m-%d %H:%M} UTC")
    out.print(f"  on {data.rows} rows of {data.devices} devices, {data.failures} failures")
    out.print(f"  listens to {', '.join(one.text for one in card.definition.inputs)}", markup=False)
    for line in describe_figures(card.metrics, card.target):
        out.print(f"  {line}", markup=False)
    for line in describe_leaks(card):
        out.print(f"  {line}", markup=False)
    report = registry.report(name, which)
    if report.exists():
        out.print(f"report: {report}", markup=False)


def activate_model(name: Name, version: Version) -> None:
    """Let a version speak: a running engine takes it within seconds."""
    _say(name, open_registry().activate(name, read_version(version)))


def roll_model_back(name: Name) -> None:
    """Let the version speak again that did so before."""
    _say(name, open_registry().rollback(name))


def shadow_model(
    name: Name,
    version: Annotated[str, typer.Argument(help="Its number, latest, or off.")],
) -> None:
    """Have a version's predictions recorded beside the active one's, heard by no rule."""
    _say(
        name,
        open_registry().shadow(name, None if version == "off" else read_version(version)),
    )


def export_model(
    name: Name,
    *,
    to: Annotated[Path, typer.Option("--to", help="A folder, or the file.")] = Path(),
    version: VersionOption = "active",
) -> None:
    """Write a version as one zip file, for another engine or for safekeeping."""
    check_folder(to)
    try:
        path = open_registry().export(name, read_version(version), to)
    except OSError as error:
        message = f"{to} cannot be written: {error.strerror or error}; name another with --to"
        raise ConfigurationError(message) from error
    out.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", markup=False)


def import_model(
    file: Annotated[Path, typer.Argument(help="A file that `prevenant models export` wrote.")],
) -> None:
    """Take a version that was exported, as the next one of its name here."""
    registry = open_registry()
    model, is_active = registry.take(file)
    card = model.card
    says = (
        "is active"
        if is_active
        else f"waits: `prevenant models activate {card.name} {card.version}`"
    )
    out.print(f"version {card.version} of {card.name} {says}", markup=False)


def retire_models(
    name: Name,
    *,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest stay.")] = 5,
) -> None:
    """Remove old versions; those in use, and the one to roll back to, stay."""
    gone = open_registry().retire(name, keep)
    what = f"removed version {', '.join(str(one) for one in gone)}" if gone else "nothing is older"
    out.print(f"{name}: {what}", markup=False)


def _say(name: str, standing: Standing) -> None:
    words = [f"version {standing.active} of {name} is active"]
    if standing.shadow is not None:
        words.append(f"version {standing.shadow} is in shadow")
    if standing.before:
        words.append(f"a rollback goes to version {standing.before[-1]}")
    out.print("; ".join(words), markup=False)


def _as_row(one: Listed) -> list[str]:
    stands = "active" if one.is_active else "shadow" if one.is_shadow else ""
    if one.card is None:
        return [one.name, str(one.version), stands, "refused, see below", "", "", "", ""]
    data = one.card.fingerprint
    return [
        one.name,
        str(one.version),
        stands,
        describe_target(one.card.target),
        f"{from_epoch(one.card.trained_at):%Y-%m-%d %H:%M}",
        str(data.rows),
        str(data.devices),
        str(data.failures),
    ]


def _as_json(one: Listed) -> dict[str, object]:
    return {
        "name": one.name,
        "version": one.version,
        "is_active": one.is_active,
        "is_shadow": one.is_shadow,
        "refused": one.refused,
        "card": one.card,
    }
