"""Predictive models: how each of them is, its versions, and which of them speaks."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Request, status
from pydantic import Field
from sqlmodel import Session, col, func, select

from models.registry import Listed, Registry, Standing, Which
from models.target import describe_target
from prevenant.api.access import AuthorOfAll, Viewer
from prevenant.api.bodies import Body
from prevenant.clock import from_epoch
from prevenant.errors import ConfigurationError
from prevenant.tables import ModelState, ShadowScore

router = APIRouter(prefix="/api/v1")

Name = Annotated[str, Path(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
Number = Annotated[int, Field(ge=1, le=999_999_999)]


class Chosen(Body):
    """Which version is meant."""

    version: Number


class ChosenShadow(Body):
    """Which version is tried beside the active one; none ends that."""

    version: Number | None = None


@router.get("/models")
def list_models(request: Request, actor: Viewer) -> list[dict[str, Any]]:
    """Return every model: how it is in the engine, which versions stand, and how its shadow compares."""
    del actor
    registry = _registry(request)
    with request.app.state.store.read() as session:
        states = {one.name: one for one in session.exec(select(ModelState))}
        names = sorted({*states, *registry.names()})
        return [_view(session, registry, name, states.get(name)) for name in names]


@router.get("/models/{name}")
def show_model(request: Request, name: Name, actor: Viewer) -> dict[str, Any]:
    """Return one model with all its versions, each with its measures."""
    del actor
    registry = _registry(request)
    with request.app.state.store.read() as session:
        state = session.exec(select(ModelState).where(ModelState.name == name)).first()
        if state is None and name not in registry.names():
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no model {name!r}")
        found = _view(session, registry, name, state)
    found["all_versions"] = [_view_version(one) for one in registry.list_versions(name)]
    return found


@router.get("/models/{name}/versions/{version}")
def show_model_version(
    request: Request, name: Name, version: Annotated[int, Path(ge=1, le=999_999_999)], actor: Viewer
) -> dict[str, Any]:
    """Return everything that is known of one version: what it learned from, and how well it predicts."""
    del actor
    registry = _registry(request)
    for one in registry.list_versions(name):
        if one.version == version:
            card = msgspec.to_builtins(one.card) if one.card else None
            return {**_view_version(one), "card": card}
    message = f"there is no version {version} of a model {name!r}"
    raise HTTPException(status.HTTP_404_NOT_FOUND, message)


@router.post("/models/{name}/activate")
def activate_model(
    request: Request, name: Name, chosen: Chosen, actor: AuthorOfAll
) -> dict[str, Any]:
    """Let a version speak; a running engine takes it within seconds."""
    del actor
    return _change(request, name, lambda registry: registry.activate(name, chosen.version))


@router.post("/models/{name}/shadow")
def shadow_model(
    request: Request, name: Name, chosen: ChosenShadow, actor: AuthorOfAll
) -> dict[str, Any]:
    """Have a version's predictions recorded beside the active one's, heard by no rule; or end that."""
    del actor
    which: Which | None = chosen.version
    return _change(request, name, lambda registry: registry.shadow(name, which))


@router.post("/models/{name}/rollback")
def roll_model_back(request: Request, name: Name, actor: AuthorOfAll) -> dict[str, Any]:
    """Let the version speak again that did so before."""
    del actor
    return _change(request, name, lambda registry: registry.rollback(name))


def _registry(request: Request) -> Registry:
    return Registry(request.app.state.settings.models)


def _change(request: Request, name: str, change: Callable[[Registry], Standing]) -> dict[str, Any]:
    registry = _registry(request)
    if name not in registry.names():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no model {name!r}")
    try:
        standing = change(registry)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    return {"name": name, **_view_standing(standing)}


def _view(
    session: Session, registry: Registry, name: str, state: ModelState | None
) -> dict[str, Any]:
    standing, refused = Standing(), ""
    try:
        standing = registry.standing(name)
    except ConfigurationError as error:
        refused = str(error)
    return {
        "name": name,
        "versions": registry.versions(name),
        **_view_standing(standing),
        "refused": refused,
        "state": state.model_dump(exclude={"id", "name"}) if state else None,
        "shadow_comparison": _compare(session, name, state),
    }


def _view_standing(standing: Standing) -> dict[str, Any]:
    back = standing.before[-1] if standing.before else None
    return {"active": standing.active, "shadow": standing.shadow, "rollback_to": back}


def _view_version(one: Listed) -> dict[str, Any]:
    """Return a version in short."""
    shown: dict[str, Any] = {
        "version": one.version,
        "is_active": one.is_active,
        "is_shadow": one.is_shadow,
        "refused": one.refused,
    }
    if one.card is not None:
        learned = one.card.fingerprint
        shown |= {
            "predicts": describe_target(one.card.target),
            "trained_at": from_epoch(one.card.trained_at),
            "rows": learned.rows,
            "devices": learned.devices,
            "failures": learned.failures,
            "measures": dict(one.card.metrics),
        }
    return shown


def _compare(session: Session, name: str, state: ModelState | None) -> dict[str, Any] | None:
    """Return how far a model and its shadow have been apart; None where none is tried."""
    if state is None or not state.shadow_version:
        return None
    query = select(
        func.count(), func.sum(ShadowScore.count), func.sum(ShadowScore.difference)
    ).where(
        ShadowScore.model == name,
        ShadowScore.version == state.version,
        col(ShadowScore.shadow_version) == state.shadow_version,
    )
    devices, count, difference = session.exec(query).one()
    return {
        "devices": devices,
        "readings": count or 0,
        "mean_difference": difference / count if count else None,
    }
