"""The web application: API, webhooks and console behind one address."""

from dataclasses import dataclass

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from notify import Templates
from notify.gateway_file import load_gateway
from prevenant import __version__
from prevenant.access.digests import Origins
from prevenant.access.openid import make_provider
from prevenant.api import (
    alarms,
    book,
    book_versions,
    case_links,
    cases,
    crm,
    customers,
    dead_letters,
    devices,
    dispatch,
    gateway,
    inbound_mail,
    inbound_readings,
    journal_readings,
    kpis,
    links,
    load,
    messages,
    metrics,
    models,
    on_call,
    probes,
    readings,
    resources,
    subscriptions,
    surveys,
    technicians,
    tokens,
    trail,
    users,
    webhooks,
    work_orders,
)
from prevenant.api.access import API
from prevenant.api.acts import Trailed
from prevenant.api.bodies import Bounded
from prevenant.api.etags import Tagged
from prevenant.api.idempotency import Idempotent
from prevenant.api.live import LiveStory
from prevenant.api.openapi import add_description
from prevenant.api.problems import add_problems
from prevenant.api.queries import refuse_unknown_names
from prevenant.api.rating import Rating
from prevenant.clock import Clock
from prevenant.settings import Settings
from prevenant.store import Store

ROUTERS: tuple[tuple[str, APIRouter], ...] = (
    ("Alarms", alarms.router),
    ("Alarms", load.router),
    ("Cases", cases.router),
    ("Cases", dispatch.router),
    ("Cases", work_orders.router),
    ("Cases", case_links.router),
    ("Messages", messages.router),
    ("Messages", dead_letters.router),
    ("Live events", resources.router),
    ("Devices", devices.router),
    ("Readings", readings.router),
    ("Readings", journal_readings.router),
    ("People", crm.router),
    ("People", customers.router),
    ("People", technicians.router),
    ("People", on_call.router),
    ("Rule book", book.router),
    ("Rule book", book_versions.router),
    ("Models", models.router),
    ("Measures", surveys.router),
    ("Measures", kpis.router),
    ("Access", users.router),
    ("Access", tokens.router),
    ("Access", trail.router),
    ("Webhooks", subscriptions.router),
    ("Webhooks", inbound_mail.router),
    ("Webhooks", inbound_readings.router),
    ("Webhooks", webhooks.router),
    ("Webhooks", gateway.router),
    ("Links", links.router),
)
"""Every part of the API, under the heading where its description stands."""


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
    app.state.origins = Origins(services.store)
    app.state.rating = Rating(services.settings.api_limit)
    app.state.openid = make_provider(services.settings)
    for tag, router in ROUTERS:
        app.include_router(router, tags=[tag], dependencies=[Depends(refuse_unknown_names)])
    app.include_router(probes.router)
    app.include_router(metrics.router)
    app.state.parts = parts_of_api()
    add_problems(app)
    add_description(app)
    # The last added is the first that a request meets.
    for convention in (Trailed, Tagged, Idempotent, Bounded):
        app.add_middleware(convention)
    return app


def parts_of_api() -> frozenset[str]:
    """Return the parts to which a token can be kept: what stands in a path behind `/api/v1/`."""
    paths = (
        one.path for _, router in ROUTERS for one in router.routes if isinstance(one, APIRoute)
    )
    return frozenset(
        path.removeprefix(API).partition("/")[0] for path in paths if path.startswith(API)
    )
