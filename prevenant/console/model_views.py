"""What the pages of models show: what the registry holds, how it does in the stream, and its shadow.

Importing this brings pandas along, so that the pages load it when the first of them is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from models.base import Card
from models.drift import Finding
from models.figures import (
    FIGURES,
    SHOWN_FIRST,
    list_figures,
    name_figure,
    show_figure,
    show_span,
)
from models.registry import Listed, Registry, Standing
from models.target import describe_target
from prevenant.clock import from_epoch
from prevenant.errors import ConfigurationError, ModelRefused
from prevenant.publishing import find_active
from prevenant.tables import ModelState, ShadowScore
from prevenant.target import ANOMALY
from rules.models import BookModel

_FIGURES_SHOWN = 4
_DEVICES_SHOWN = 10
_POINTS = 400


@dataclass(frozen=True, slots=True)
class Seen:
    """One model: what the rule book asks, what the registry holds, and how it does in the stream."""

    name: str
    asked: BookModel | None = None
    """None where the rule book does not ask for it."""
    state: ModelState | None = None
    """None where no engine has taken it up yet."""
    standing: Standing = field(default_factory=Standing)
    versions: Sequence[Listed] = ()
    damage: str = ""
    """Why its standing cannot be read."""

    @property
    def active(self) -> Listed | None:
        """The version that is to speak."""
        wanted = (self.asked and self.asked.version) or self.standing.active
        return next((one for one in self.versions if one.version == wanted), None)

    @property
    def word(self) -> str:
        """How it is: `none`, `speaking`, `broken`, `stale`, `drifting`, `slow`, or `unasked`."""
        if self.asked is None:
            return "unasked"
        return self.state.state if self.state else "none"

    @property
    def predicts(self) -> str:
        """What it predicts, as people write it."""
        card = self.active.card if self.active else None
        if card is not None:
            return describe_target(card.target)
        return self.asked.kind.replace("_", " ") if self.asked else ""

    @property
    def figures(self) -> list[tuple[str, str]]:
        """The first figures of the active version: how each is called, and its value in words."""
        card = self.active.card if self.active else None
        return first_figures(card) if card else []

    @property
    def findings(self) -> list[Finding]:
        """What is not as in training."""
        return [Finding(**one) for one in self.state.findings] if self.state else []

    @property
    def rollback(self) -> int:
        """The version that a rollback goes to; 0 is none."""
        there = {one.version for one in self.versions}
        before = [n for n in self.standing.before if n in there and n != self.standing.active]
        return before[-1] if before else 0


def see_models(session: Session, folder: Path) -> list[Seen]:
    """Return every model that the rule book asks for or the registry holds."""
    asked, registry = _asked(session), Registry(folder)
    return [_see(session, name, asked, registry) for name in sorted({*asked, *registry.names()})]


def see_model(session: Session, folder: Path, name: str) -> Seen | None:
    """Return one model, or None where nobody knows it."""
    asked, registry = _asked(session), Registry(folder)
    if name not in asked and name not in registry.names():
        return None
    return _see(session, name, asked, registry)


def _see(session: Session, name: str, asked: Mapping[str, BookModel], registry: Registry) -> Seen:
    state = session.exec(select(ModelState).where(ModelState.name == name)).first()
    standing, damage = Standing(), ""
    try:
        standing = registry.standing(name)
    except ModelRefused as error:
        damage = str(error)
    versions = list(reversed(registry.list_versions(name)))
    return Seen(name, asked.get(name), state, standing, versions, damage)


def _asked(session: Session) -> Mapping[str, BookModel]:
    active = find_active(session)
    if active is None:
        return {}
    try:
        return active.load().rules.models
    except ConfigurationError:
        # An earlier release took a book that this one does not.
        return {}


def first_figures(card: Card) -> list[tuple[str, str]]:
    """Return the figures of a version that matter first."""
    metrics = card.metrics
    return [
        (name_figure(name, card.target), show_figure(name, metrics[name], card.target))
        for name in SHOWN_FIRST
        if metrics.get(name) is not None
    ][:_FIGURES_SHOWN]


def view_versions(seen: Seen) -> dict[str, Any]:
    """Return the versions as a table: which figures there are, and each version with its own."""
    cards = [one.card for one in seen.versions if one.card is not None]
    names = [name for name in SHOWN_FIRST if any(c.metrics.get(name) is not None for c in cards)]
    target = cards[0].target if cards else None
    return {
        "figures": [name_figure(name, target) for name in names[:_FIGURES_SHOWN]] if target else [],
        "versions": [_version_row(one, names[:_FIGURES_SHOWN]) for one in seen.versions],
    }


def _version_row(one: Listed, names: Sequence[str]) -> dict[str, Any]:
    card = one.card
    values = []
    if card is not None:
        values = [
            show_figure(name, card.metrics[name], card.target)
            if card.metrics.get(name) is not None
            else ""
            for name in names
        ]
    return {
        "number": one.version,
        "is_active": one.is_active,
        "is_shadow": one.is_shadow,
        "refused": one.refused,
        "card": card,
        "predicts": describe_target(card.target) if card else "",
        "trained_at": from_epoch(card.trained_at) if card else None,
        "values": values,
        "can_be_judged": card is not None and card.target.kind != ANOMALY,
    }


def view_version(folder: Path, name: str, number: int) -> dict[str, Any] | None:
    """Return everything that is known of one version; None where there is none."""
    registry = Registry(folder)
    if name not in registry.names() or number not in registry.versions(name):
        return None
    listed = next(one for one in registry.list_versions(name) if one.version == number)
    card = listed.card
    if card is None:
        return {"listed": listed, "card": None}
    return {
        "listed": listed,
        "card": card,
        "predicts": describe_target(card.target),
        "trained_at": from_epoch(card.trained_at),
        "calls": show_span(card.calls.threshold, card.target)
        if card.calls and card.target.kind != "failure"
        else (f"{card.calls.threshold:.0%}" if card.calls else ""),
        "figures": [
            {
                "name": name_figure(one, card.target),
                "value": show_figure(one, card.metrics[one], card.target),
                "definition": FIGURES[one].definition if one in FIGURES else "",
            }
            for one in list_figures(card.metrics)
        ],
        "has_report": registry.report(name, number).is_file(),
    }


def compare_shadow(
    session: Session, seen: Seen, sites: frozenset[str] | None
) -> dict[str, Any] | None:
    """Return what a model and its shadow said of the same devices; None where nothing is compared.

    Devices are named to those alone who may look at every site.
    """
    shadow = seen.standing.shadow
    active = seen.active
    if shadow is None or active is None:
        return None
    where = (
        ShadowScore.model == seen.name,
        ShadowScore.version == active.version,
        ShadowScore.shadow_version == shadow,
    )
    devices, readings, distance = session.exec(
        select(
            func.count(),
            func.coalesce(func.sum(ShadowScore.count), 0),
            func.coalesce(func.sum(ShadowScore.difference), 0.0),
        ).where(*where)
    ).one()
    rows = session.exec(
        select(ShadowScore).where(*where).order_by(col(ShadowScore.at).desc()).limit(_POINTS)
    ).all()
    apart = sorted(rows, key=lambda one: -(one.difference / one.count if one.count else 0.0))
    return {
        "active": active.version,
        "shadow": shadow,
        "devices": devices,
        "readings": readings,
        "mean": distance / readings if readings else None,
        "rows": apart[:_DEVICES_SHOWN] if sites is None else [],
        "points": _draw_points(rows),
    }


@dataclass(frozen=True, slots=True)
class Points:
    """What both said last of each device, as a square picture; places in percent."""

    places: Sequence[tuple[float, float]]
    low: float
    high: float


def _draw_points(rows: Sequence[ShadowScore]) -> Points | None:
    pairs = [
        (one.value, one.shadow_value)
        for one in rows
        if one.value is not None and one.shadow_value is not None
    ]
    if not pairs:
        return None
    low = min(0.0, *(min(pair) for pair in pairs))
    high = max(max(pair) for pair in pairs)
    span = (high - low) or 1.0
    places = [
        (round(100 * (x - low) / span, 2), round(100 - 100 * (y - low) / span, 2)) for x, y in pairs
    ]
    return Points(places, low, high)
