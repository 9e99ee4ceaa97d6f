"""The description of the API (OpenAPI): what each request takes and answers, with examples."""

from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from prevenant import __version__
from prevenant.api.access import API, COOKIE, CSRF_HEADER
from prevenant.api.idempotency import LONGEST_KEY, REPLAYED
from prevenant.api.problems import GENERAL, MEDIA_TYPE, Problem

Operation = dict[str, Any]

ABOUT = """Everything that the console does, for programs. Lists are arrays in pages: the header `Link`
names the next one. Whatever is refused is answered with problem details (RFC 9457). What changes
something is done once under an `Idempotency-Key`. What has not changed is a 304 to its `ETag` in
`If-None-Match`."""
TAGS: Mapping[str, str] = {
    "Alarms": "A rule's state on a device, what keeps it from being told, what alarms ask of people.",
    "Cases": "Everything done about one alarm or several: who was considered, who goes, who was told.",
    "Messages": "What was said to whom, how it went, and what could not be given to machines.",
    "Live events": "The story as server-sent events.",
    "Devices": "What was heard, whether it is online, and what was refused.",
    "Readings": "What devices send: by HTTP into the journal, and out of it again.",
    "People": "Customers, sites, contacts, technicians, and who is on call.",
    "Rule book": "What decides: read, judged, published, put back.",
    "Models": "What predicts: versions, and which of them speaks.",
    "Measures": "How well the service is done.",
    "Access": "Who may do what, and the trail of what was done.",
    "Webhooks": "Which programs outside are told what happens, signed, and what came of it.",
}
_EXAMPLES = Path(__file__).parent / "examples.yaml"
_CHANGING = frozenset({"post", "put", "patch", "delete"})
_GUARDED = ("/crm/{entity}/{record_id}", "/book", "/cases/{case_id}/", "/book/versions/{number}/")
"""Where what is changed has a tag that can be held against it."""
_SAID = {
    "304": "It is as the tag in `If-None-Match` says.",
    "400": "The request cannot be read, or its `Idempotency-Key` cannot be kept.",
    "401": "Nobody is known by this token or cookie.",
    "403": "This is for another role, or for another site.",
    "404": "There is nothing of that name, or nothing that one may see.",
    "409": "It is being done, or was done, under this key.",
    "412": "It is not as the tag in `If-Match` says.",
    "413": "A request has 10 MB at most.",
    "415": "What is sent has to be JSON.",
    "422": "What was sent is wrong; `problems` says all of it.",
    "429": "Too much was asked; `Retry-After` says when to ask again.",
    "500": "Something failed here.",
    "503": "The store or the journal does not answer; `Retry-After` says when to ask again.",
}
_TEXT = {"type": "string"}
_NO_CONTENT = "204"
_WAITS = {"Retry-After": {"description": "In seconds.", "schema": {"type": "string"}}}


def add_description(app: FastAPI) -> None:
    """Let an application describe itself at `/api/v1/openapi.json`."""

    @cache
    def describe() -> dict[str, Any]:
        return describe_api(app)

    app.openapi = describe  # type: ignore[method-assign]


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the description of what an application answers under `/api/v1`."""
    found = get_openapi(
        title="Prevenant",
        version=__version__,
        description=ABOUT,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    components = found["components"]
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token: `prevenant tokens add`, or Settings → Access.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": f"A browser that has signed in; a change carries `{CSRF_HEADER}`, too.",
        },
    }
    found["security"] = [{"token": []}, {"cookie": []}]
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    examples = read_examples()
    for path, method, operation in operations_of(found):
        _complete(path, method, operation, examples.get(f"{method.upper()} {path}", {}))
    return found


def operations_of(description: Mapping[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """Yield each path and method with what is said of it."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@cache
def read_examples() -> Mapping[str, Any]:
    """Return what is sent and answered, by method and path."""
    examples: Mapping[str, Any] = yaml.safe_load(_EXAMPLES.read_text("utf-8"))
    return examples


def _complete(path: str, method: str, operation: Operation, example: Mapping[str, Any]) -> None:
    """Say of a request what holds for all of its kind, and give its examples."""
    answers = operation["responses"]
    is_change = method in _CHANGING
    takes_body = "requestBody" in operation
    codes = ["401", "403", "404", "422", "429", "500", "503"]
    codes += ["400", "409", "413"] if is_change else []
    codes += ["415"] if takes_body else []
    codes += ["412"] if is_change and _is_guarded(path) else []
    for code in codes:
        answers[code] = _refusal(code)
    operation.setdefault("parameters", [])
    if is_change:
        operation["parameters"] += _headers_of_change(path)
    done = next(code for code in answers if code.startswith("2"))
    _complete_answer(method, operation, done, example)
    if takes_body and "body" in example:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example["body"]
    elif "body" in example:
        content = {"application/octet-stream": {"schema": {}, "example": example["body"]}}
        operation["requestBody"] = {"required": True, "content": content}
    for parameter in operation["parameters"]:
        if parameter["name"] in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]


def _complete_answer(
    method: str, operation: Operation, done: str, example: Mapping[str, Any]
) -> None:
    answer = operation["responses"][done]
    if done == _NO_CONTENT:
        return
    contents = answer.setdefault("content", {})
    if "events" in example:
        contents.clear()
        contents["text/event-stream"] = {"schema": _TEXT, "example": example["events"]}
        return
    if "image" in example:
        contents.clear()
        contents[example["image"]] = {"schema": {"type": "string", "format": "binary"}}
        return
    if "sheet" in example:
        contents.clear()
        contents["text/csv"] = {"schema": _TEXT, "example": example["sheet"]}
        return
    for content in contents.values():
        if "answer" in example:
            content["example"] = example["answer"]
    headers = answer.setdefault("headers", {})
    if method == "get":
        headers["ETag"] = {"description": "For `If-None-Match`.", "schema": _TEXT}
        operation["parameters"].append(
            _header("If-None-Match", "Answer 304 where it is as this tag says.")
        )
        operation["responses"]["304"] = {"description": _SAID["304"]}
    else:
        text = "The answer is one that was given before."
        headers[REPLAYED] = {"description": text, "schema": {"const": "true"}}
    if any(one["name"] == "cursor" for one in operation["parameters"]):
        text = 'The next page, with `rel="next"`; nothing on the last one.'
        headers["Link"] = {"description": text, "schema": _TEXT}


def _headers_of_change(path: str) -> list[dict[str, Any]]:
    text = "New for each thing that is to be done; sent again, it is done once."
    key = _header("Idempotency-Key", text)
    key["schema"] |= {"maxLength": LONGEST_KEY, "pattern": "^[ -~]*$"}
    headers = [key]
    if _is_guarded(path):
        headers.append(_header("If-Match", "Do it only where this tag is still that of the thing."))
    if path.endswith("/crm/{entity}/{record_id}"):
        headers.append(_header("If-None-Match", "`*`: only where there is none yet."))
    return headers


def _header(name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": dict(_TEXT),
    }


def _is_guarded(path: str) -> bool:
    inner = path.removeprefix(API.rstrip("/"))
    return inner in _GUARDED or inner.startswith(tuple(x for x in _GUARDED if x.endswith("/")))


def _refusal(code: str) -> dict[str, Any]:
    """Return what is said of a refusal."""
    schema = {"$ref": "#/components/schemas/Problem"}
    example = {
        "type": GENERAL,
        "title": HTTPStatus(int(code)).phrase,
        "status": int(code),
        "detail": _SAID[code],
        "instance": "/api/v1/cases/7",
    }
    answer: dict[str, Any] = {
        "description": _SAID[code],
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if code in {"429", "503"}:
        answer["headers"] = _WAITS
    return answer
