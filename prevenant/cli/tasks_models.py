"""Tasks about models: train one, judge versions, have one speak, take one that was exported."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.base import Card
from models.figures import FIGURES, list_figures, name_figure, show_figure
from models.history import Loaded
from models.judging import Costs, judge_data
from models.registry import Registry
from models.report import write_report
from models.scoring import predict
from models.target import deduce_target, describe_target
from prevenant.cli.models_data import Asked, find_asked, find_visits, load_judged, read_data
from prevenant.cli.models_predict import with_places, write_predictions
from prevenant.cli.models_train import Lesson, learn_version, read_inputs, read_target
from prevenant.errors import ConfigurationError
from prevenant.publishing import find_active
from prevenant.settings import Settings
from prevenant.store import open_store
from prevenant.tasks.folder import Task
from prevenant.tasks.wanted import JOURNAL, Data, Judge, Predict, Take, Train

Tell = Callable[[float, str], None]
Wanted = Train | Judge | Predict | Take

_READING = 0.05
_NOTES = 40


def do_of_models(task: Task, wanted: Wanted, settings: Settings, tell: Tell) -> Any:
    """Do a task about models; return what came of it, as plain values."""
    registry = Registry(settings.models)
    match wanted:
        case Train():
            return _train(task, wanted, registry, settings, tell)
        case Judge():
            return _judge(task, wanted, registry, settings, tell)
        case Predict():
            return _predict(task, wanted, registry, settings, tell)
        case Take():
            tell(0.0, "reading the model")
            model, is_active = registry.take(task.file(wanted.file))
            return _version(model.card, is_active=is_active)


def _train(
    task: Task, wanted: Train, registry: Registry, settings: Settings, tell: Tell
) -> dict[str, Any]:
    tell(0.0, "reading the data")
    registry.versions(wanted.model)
    asked = _ask(wanted.model, wanted.data, settings)
    target = read_target(asked, wanted.predicts)
    since = _since(wanted.data)
    visits = find_visits(wanted.model, asked, since) if wanted.from_visits else []
    loaded = read_data(*_files(task, wanted.data), asked, target=target, since=since, visits=visits)
    why = ""
    if target is None:
        target, why = deduce_target(loaded.history, ends_in_failure=loaded.ends_in_failure)
    tell(_READING, "learning")
    stored, is_active = learn_version(
        registry,
        loaded,
        Lesson(wanted.model, target, read_inputs([*wanted.features], asked), wanted.seed),
        Costs(wanted.cost_visit, wanted.cost_failure),
        lambda done, doing: tell(_READING + (1 - _READING) * done, doing),
    )
    return {
        **_version(stored.card, is_active=is_active),
        "read": _read(loaded),
        "visits": len(visits),
        "why": why,
        "figures": _figures({stored.card.version: stored.card.metrics}, stored.card),
    }


def _judge(
    task: Task, wanted: Judge, registry: Registry, settings: Settings, tell: Tell
) -> dict[str, Any]:
    asked = _ask(wanted.model, wanted.data, settings)
    metrics, cards = {}, []
    read: dict[str, Any] = {}
    for number, version in enumerate(wanted.versions):
        part = number / len(wanted.versions)
        tell(part, f"reading the data for version {version}")
        model = load_judged(registry, wanted.model, version)
        card = model.card
        # What is read depends on the unit, and two versions may differ in it.
        loaded = read_data(
            *_files(task, wanted.data), asked, target=card.target, since=_since(wanted.data)
        )
        tell(part + 0.3 / len(wanted.versions), f"judging version {version}")
        judged = judge_data(
            model,
            loaded.history,
            Costs(wanted.cost_visit, wanted.cost_failure),
            [str(note) for note in loaded.notes],
            f"of data that the model was judged on: {wanted.data.readings}",
        )
        metrics[version] = judged.evaluation.metrics if judged.evaluation else {}
        task.file(f"report-{version}.html").write_text(write_report(card, judged), "utf-8")
        cards.append(card)
        read = _read(loaded)
    return {
        "versions": [_version(card, is_active=None) for card in cards],
        "read": read,
        "figures": _figures(metrics, cards[0]),
    }


def _predict(
    task: Task, wanted: Predict, registry: Registry, settings: Settings, tell: Tell
) -> dict[str, Any]:
    tell(0.0, "reading the data")
    model = registry.load(wanted.model, wanted.version)
    loaded = read_data(
        *_files(task, wanted.data),
        _ask(wanted.model, wanted.data, settings),
        target=model.card.target,
        run_to_failure=False,
        since=_since(wanted.data),
    )
    tell(0.3, "asking the model")
    found = predict(model, loaded.history, at=wanted.at)
    name = f"predictions.{wanted.form}"
    write_predictions(with_places(found, loaded.history.unit), task.file(name))
    return {
        **_version(model.card, is_active=None),
        "read": _read(loaded),
        "rows": len(found),
        "said": int(found["prediction"].notna().sum()),
        "file": name,
    }


def _ask(name: str, data: Data, settings: Settings) -> Asked:
    """Return what the rule book in force says of a model."""
    with open_store(settings) as store, store.read() as session:
        version = find_active(session)
    if version is not None:
        asked = find_asked(version.load(), name, data.on)
        if data.readings == JOURNAL and asked.device_type is None:
            message = f"the rule book asks for no {name}: choose the type of the devices"
            raise ConfigurationError(message)
        return asked
    if data.on:
        message = (
            f"no rule book was published yet, so that nothing is known of {data.on}: publish one"
        )
        raise ConfigurationError(message)
    return Asked()


def _files(task: Task, data: Data) -> tuple[str, Path | None]:
    """Return where the readings are, or `journal`, and the failures."""
    failures = task.file(data.failures) if data.failures else None
    if data.readings == JOURNAL:
        return JOURNAL, failures
    return str(task.file(data.readings)), failures


def _since(data: Data) -> float:
    return -math.inf if data.since is None else data.since


def _read(loaded: Loaded) -> dict[str, Any]:
    history = loaded.history
    return {
        "rows": len(history.rows),
        "devices": int(history.rows["device"].nunique()),
        "failures": len(history.failures),
        "ends_in_failure": loaded.ends_in_failure,
        "notes": [str(note) for note in loaded.notes[:_NOTES]],
        "more_notes": max(0, len(loaded.notes) - _NOTES),
    }


def _version(card: Card, *, is_active: bool | None) -> dict[str, Any]:
    return {
        "model": card.name,
        "version": card.version,
        "predicts": describe_target(card.target),
        "judged_by": card.judged_by,
        "is_active": is_active,
    }


def _figures(metrics: Mapping[int, Mapping[str, float | None]], card: Card) -> list[dict[str, Any]]:
    """Return each figure with its value by version, in words, and its definition."""
    names = list_figures({name for one in metrics.values() for name in one})
    return [
        {
            "name": name_figure(name, card.target),
            "values": [show_figure(name, one.get(name), card.target) for one in metrics.values()],
            "definition": FIGURES[name].definition if name in FIGURES else "",
        }
        for name in names
    ]
