"""`/healthz` and `/readyz`: what a supervisor asks of a process, beside the numbers in `/metrics`."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, status

from prevenant.api import metrics
from prevenant.clock import Clock
from prevenant.errors import StoreUnavailable
from prevenant.health import Watched, find_reasons
from prevenant.store import Store

router = APIRouter(include_in_schema=False)


# Those who watch from outside often ask for the head alone.
@router.api_route("/healthz", methods=["GET", "HEAD"])
async def healthz() -> dict[str, str]:
    """Say that the process lives, whatever its store does: no other process would fare better there."""
    return {"status": "alive"}


@router.api_route("/readyz", methods=["GET", "HEAD"])
def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Say whether this process can do its work at present, and why not.

    `lost` is what the self-audit has found and is not healed; null before its first round.
    """
    process: Watched = request.app.state.process
    health, store = process.describe(), _answers(request.app.state.store)
    missing = [broker for broker, is_heard in health.brokers.items() if not is_heard]
    reasons = find_reasons(health, process.find_troubles(), has_store=store)
    if reasons:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {
        "roles": health.roles,
        "store": store,
        "broker": not missing,
        "missing": missing,
        "lost": health.lost,
        "why_not": reasons,
    }


def make_probes(store: Store, clock: Clock, process: Watched) -> FastAPI:
    """Return an application that answers probes and Prometheus, whoever asks, and nothing else."""
    app = FastAPI(title="Prevenant", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.store, app.state.clock, app.state.process = store, clock, process
    app.include_router(router)
    app.add_api_route("/metrics", metrics.measure)
    return app


def _answers(store: Store) -> bool:
    try:
        with store.read() as session:
            session.connection()
    except StoreUnavailable:
        return False
    return True
