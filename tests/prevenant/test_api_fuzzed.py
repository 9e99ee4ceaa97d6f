"""The API asked what its description allows, and what not: it never fails, nor answers otherwise."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from prevenant.api.openapi import describe_api
from prevenant.api.server import ROUTERS
from prevenant.store import Store
from tests.asking import Asking, website_on
from tests.moved_clock import MovedClock

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/v1/live"
EXAMPLES = 10


def describe() -> schemathesis.BaseSchema:
    """Return what the API says of itself."""
    app = FastAPI()
    for tag, router in ROUTERS:
        app.include_router(router, tags=[tag])
    schema: schemathesis.BaseSchema = schemathesis.openapi.from_dict(describe_api(app))
    return schema


def find_operations() -> dict[str, schemathesis.APIOperation[Any, Any, Any, Any]]:
    """Return what can be asked, by method and path, but for streams, which never end."""
    found = {}
    for one in describe().get_all_operations():
        assert isinstance(one, Ok), one
        operation = one.ok()
        if not operation.path.startswith(ENDLESS):
            found[operation.label] = operation
    return found


OPERATIONS = find_operations()


@pytest.fixture(scope="module")
def api(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Return the API over a store, with people and places, and without an engine."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(tables, folder / "prevenant.db")
    store = Store(f"sqlite:///{folder / 'prevenant.db'}", is_durable=False)
    with website_on(
        store, MovedClock(), models=folder / "models", journal=folder / "j.db", api_rate=""
    ) as asking:
        yield asking
    store.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_asked_is_answered_as_described(
    api: Asking, label: str, mode: GenerationMode
) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(
            base_url=api.address,
            session=api.session,
            headers={"Authorization": "Bearer admin"},
            checks=CHECKS,
        )

    ask()
