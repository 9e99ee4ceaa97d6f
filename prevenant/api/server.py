"""The web application: API, webhooks and console behind one address."""

from dataclasses import dataclass

from fastapi import FastAPI, Request, Response, status

from notify import Templates
from notify.gateway_file import load_gateway
from prevenant import __version__
from prevenant.api import (
    alarms,
    book,
    cases,
    crm,
    dead_letters,
    devices,
    dispatch,
    gateway,
    inbound_mail,
    links,
    on_call,
    resources,
    surveys,
    webhooks,
)
from prevenant.api.live import LiveStory
from prevenant.clock import Clock
from prevenant.errors import StoreUnavailable
from prevenant.settings import Settings
from prevenant.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What requests are answered with."""

    settings: Settings
    store: Store
    clock: Clock
    templates: Templates


def make_api(services: Services) -> FastAPI:
    """Return the application without the console's pages."""
    app = FastAPI(
        title="Prevenant",
        version=__version__,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = services.settings
    app.state.store = services.store
    app.state.clock = services.clock
    app.state.templates = services.templates
    app.state.gateway = load_gateway(services.settings.sms_gateway)
    app.state.live = LiveStory(services.store)
    app.include_router(alarms.router)
    app.include_router(cases.router)
    app.include_router(resources.router)
    app.include_router(devices.router)
    app.include_router(dead_letters.router)
    app.include_router(dispatch.router)
    app.include_router(crm.router)
    app.include_router(book.router)
    app.include_router(on_call.router)
    app.include_router(surveys.router)
    app.include_router(inbound_mail.router)
    app.include_router(webhooks.router)
    app.include_router(gateway.router)
    app.include_router(links.router)
    app.add_api_route("/healthz", healthz, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    return app


def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "alive"}


def readyz(request: Request, response: Response) -> dict[str, bool | int | list[str] | None]:
    """Say whether the store answers and every broker has confirmed the subscriptions.

    `lost` is what the self-audit has found and is not healed; null before its first round.
    """
    try:
        with request.app.state.store.read() as session:
            session.connection()
        store = True
    except StoreUnavailable:
        store = False
    missing = list(request.app.state.missing_brokers())
    if missing or not store:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    lost = request.app.state.count_lost()
    return {"store": store, "broker": not missing, "missing": missing, "lost": lost}


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return Response(
        "the database does not answer; try again",
        status.HTTP_503_SERVICE_UNAVAILABLE,
        {"Retry-After": "5"},
    )
