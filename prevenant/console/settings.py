"""The page of settings: how this process is, what the self-audit says, and what is set where."""

import platform
from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import text
from sqlmodel import Session, col, select

from prevenant import __version__
from prevenant.api.access import AdministratorOfAll
from prevenant.console.shell import show
from prevenant.crm.ages import view_syncs
from prevenant.health import Health
from prevenant.publishing import find_active
from prevenant.settings import Settings, describe_settings
from prevenant.tables import ACTIVE, Alarm, ModelState
from workflows.own_alarm import AUDIT_RULE

router = APIRouter(include_in_schema=False)

_LIBRARIES = ("fastapi", "sqlmodel", "paho-mqtt", "scikit-learn", "twilio")
_FOUND_SHOWN = 50


@router.get("/settings")
def show_settings(request: Request, actor: AdministratorOfAll) -> Response:
    """Show how this process is, and every setting; secrets stay hidden."""
    state = request.app.state
    health, now = state.process.describe(), state.clock.now()
    return show(
        request,
        "settings.html",
        lambda session: _settings(session, state.settings, health, now),
        actor,
    )


def _settings(
    session: Session, settings: Settings, health: Health, now: datetime
) -> dict[str, Any]:
    lost = select(Alarm).where(Alarm.rule == AUDIT_RULE, Alarm.state == ACTIVE)
    active = find_active(session)
    return {
        "health": health,
        "up_for": now - health.started_at,
        "audit_age": now - health.audited_at if health.audited_at else None,
        "found": session.exec(lost.order_by(col(Alarm.id)).limit(_FOUND_SHOWN)).all(),
        "models": session.exec(select(ModelState).order_by(ModelState.name)).all(),
        "syncs": view_syncs(session, now),
        "book": active.number if active else 0,
        "versions": [("Prevenant", __version__), *_versions(session)],
        "settings": [
            dict(zip(("name", "value", "source", "meaning"), row, strict=True))
            for row in describe_settings(settings)
        ],
    }


def _versions(session: Session) -> list[tuple[str, str]]:
    """Return what it runs on."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        database = "SQLite", str(session.connection().scalar(text("SELECT sqlite_version()")))
    else:
        database = "PostgreSQL", str(session.connection().scalar(text("SHOW server_version")))
    return [
        ("Python", platform.python_version()),
        database,
        (platform.system(), platform.release()),
        *((name, version(name)) for name in _LIBRARIES),
    ]
