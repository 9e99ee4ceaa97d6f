"""Twilio's own OpenAPI document, and a connection that holds both sides of a conversation to it."""

import json
import re
from copy import deepcopy
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from requests.adapters import HTTPAdapter

DOCUMENT = Path(__file__).parents[2] / "shared" / "data" / "twilio" / "twilio_api_v2010.json"

needs_document = pytest.mark.skipif(
    not DOCUMENT.is_file(),
    reason="needs twilio_api_v2010.json of github.com/twilio/twilio-oai (MIT), folder spec/json, "
    "under ../shared/data/twilio",
)

_SERVER = "https://api.twilio.com"
_OURS = re.compile(r"/2010-04-01/Accounts/{AccountSid}/(Messages|Calls)(/{Sid})?\.json")


class CheckedAdapter(HTTPAdapter):
    """Sends requests on, and raises where one of them, or its answer, is not as Twilio documents it.

    The document says nothing of refusals: their answers are not checked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[str] = []
        """What was checked, as `POST Messages 201`."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        """Check a request, send it on, and check its answer."""
        asked = _as_asked_of_twilio(request)
        document().validate_request(asked)
        _refuse_undeclared(asked)
        answer = super().send(request, *args, **options)
        if answer.ok:
            document().validate_response(asked, RequestsOpenAPIResponse(answer))
            name = urlsplit(request.url or "").path.split("/")[4].removesuffix(".json")
            self.checked.append(f"{request.method} {name} {answer.status_code}")
        return answer


@cache
def _whole() -> Any:
    return json.loads(DOCUMENT.read_text("utf-8"))


@cache
def document() -> OpenAPI:
    """Return the part of the document that is about messages and calls.

    What it does not declare is forbidden, and what it declares is demanded of answers.
    """
    whole = deepcopy(_whole())
    paths = whole["paths"].items()
    whole["paths"] = {path: one for path, one in paths if _OURS.fullmatch(path)}
    for schema in whole["components"]["schemas"].values():
        for one in schema.get("properties", {}).values():
            if one.get("type") == "object" and "properties" not in one:
                one["additionalProperties"] = {"type": "string"}
    config = Config(
        additional_properties_default_policy="forbid",
        response_properties_default_policy="required",
        spec_validator_cls=None,
        extra_format_validators={
            "date-time-rfc-2822": _is_rfc_2822,
            "phone-number": _is_number,
            "currency": lambda text: len(text) == 3 and text.isalpha(),
            "http-method": lambda text: text in {"GET", "POST"},
            "twiml": lambda text: 0 < len(text) <= 4_000,
            "uri-map": lambda value: all(map(_is_reference, value.values())),
            # Pages are named relative to the server, though the document calls that a URI.
            "uri": _is_reference,
        },
    )
    return OpenAPI.from_dict(whole, config=config)


def _refuse_undeclared(asked: RequestsOpenAPIRequest) -> None:
    """Raise where a request says what Twilio has no name for: there it would be overlooked."""
    account, _, sid = asked.path.partition("/Accounts/")[2].removesuffix(".json").partition("/")
    assert account
    kind, _, one = sid.partition("/")
    path = f"/2010-04-01/Accounts/{{AccountSid}}/{kind}{'/{Sid}' if one else ''}.json"
    operation = _whole()["paths"][path][asked.method]
    known = {parameter["name"] for parameter in operation["parameters"]}
    if asked.method == "post":
        (body,) = operation["requestBody"]["content"].values()
        known |= body["schema"]["properties"].keys()
    given = {*asked.parameters.query, *parse_qs((asked.body or b"").decode())}
    assert given <= known, f"Twilio knows no {sorted(given - known)}"


def _as_asked_of_twilio(request: requests.PreparedRequest) -> RequestsOpenAPIRequest:
    copy = request.copy()
    parts = urlsplit(copy.url or "")
    copy.url = f"{_SERVER}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    return RequestsOpenAPIRequest(copy)


def _is_rfc_2822(text: str) -> bool:
    try:
        return parsedate_to_datetime(text).tzinfo is not None
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    _, _, number = text.rpartition(":")
    return number.startswith("+") and number[1:].isdigit()


def _is_reference(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.path or parts.netloc) and " " not in text
