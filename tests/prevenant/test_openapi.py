"""The description of the API: whole, right, and with examples that are as real answers are."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from prevenant.api.openapi import TAGS, operations_of, read_examples
from prevenant.store import Store
from tests.asking import Asking, website_on
from tests.moved_clock import MovedClock


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: it describes the same."""
    return sqlite_url


@pytest.fixture
def api(store: Store, clock: MovedClock) -> Iterator[Asking]:
    """Return the API over a store, with people and places."""
    with website_on(store, clock) as asking:
        yield asking


@pytest.fixture
def description(api: Asking) -> dict[str, Any]:
    """Return the description as anybody gets it."""
    found: dict[str, Any] = api.session.get(f"{api.address}/api/v1/openapi.json", timeout=30).json()
    return found


def judge(schema: dict[str, Any], value: Any, description: dict[str, Any]) -> list[str]:
    """Return what is wrong with a value, by a schema of the description."""
    whole = {**schema, "components": description["components"]}
    return [one.message for one in OAS31Validator(whole).iter_errors(value)]


def test_it_is_a_description_as_the_standard_has_it(description: dict[str, Any]) -> None:
    validate(description)
    assert set(description["components"]["securitySchemes"]) == {"token", "cookie"}


def test_every_request_is_described_with_examples(description: dict[str, Any]) -> None:
    missing = []
    for path, method, operation in operations_of(description):
        name = f"{method.upper()} {path}"
        answers = operation["responses"]
        done = next(answers[code] for code in answers if code.startswith("2"))
        contents = done.get("content", {"none": {"example": None}})
        if not operation.get("description"):
            missing.append(f"{name}: what it does")
        if not set(operation["tags"]) <= set(TAGS):
            missing.append(f"{name}: under which heading")
        if not all("example" in one or "image" in kind for kind, one in contents.items()):
            missing.append(f"{name}: an answer")
        body = operation.get("requestBody", {"content": {}})
        if not all("example" in one for one in body["content"].values()):
            missing.append(f"{name}: a body")
        missing += [
            f"{name}: {one['name']}"
            for one in operation["parameters"]
            if one["required"] and "example" not in one
        ]
        missing += [f"{name}: {code}" for code in ("401", "403", "422") if code not in answers]
    assert missing == []
    names = {f"{method.upper()} {path}" for path, method, _ in operations_of(description)}
    assert set(read_examples()) == names, "an example of what there is not"


def test_examples_are_as_the_schemas_say(description: dict[str, Any]) -> None:
    wrong = []
    for path, method, operation in operations_of(description):
        parts = [*operation["responses"].values(), operation.get("requestBody", {})]
        for part in parts:
            for content in part.get("content", {}).values():
                if "example" in content:
                    found = judge(content["schema"], content["example"], description)
                    wrong += [f"{method.upper()} {path}: {one}" for one in found]
    assert wrong == []


def shape_of(value: Any) -> Any:
    """Return the names that an answer has, at its top; of a list, those of its first row."""
    if isinstance(value, list):
        return shape_of(value[0]) if value else None
    return set(value) if isinstance(value, dict) else None


LISTED = (
    "crm/customers",
    "customers",
    "technicians",
    "crm",
    "on-call",
    "alarm-load",
    "surveys/scores",
    "me",
    "tokens",
)


@pytest.mark.parametrize("path", LISTED)
def test_an_example_has_the_names_of_a_real_answer(api: Asking, path: str) -> None:
    route = path.replace("crm/customers", "crm/{entity}")
    example = read_examples()[f"GET /api/v1/{route}"]["answer"]
    real = api.get(path).json()
    if shape_of(real) is not None:
        assert shape_of(real) == shape_of(example)
