"""What an address asks: names that the request does not know are refused: they would filter nothing."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from prevenant.api.access import API
from prevenant.document import suggest


async def refuse_unknown_names(request: Request) -> None:
    """Refuse names in an address that the request does not know. Raises RequestValidationError."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    if not route.path.startswith(API):
        return
    known = frozenset(_names_in(route.dependant))
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        raise RequestValidationError([_flaw(name, known) for name in unknown])


def _flaw(name: str, known: frozenset[str]) -> dict[str, object]:
    remedy = suggest(name, sorted(known)) if known else "leave it out"
    what = f"this request has no such name: {remedy}"
    return {"type": "extra_forbidden", "loc": ("query", name), "msg": what}


def _names_in(dependant: Dependant) -> Iterator[str]:
    for one in dependant.query_params:
        kind = one.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (field.alias or name for name, field in kind.model_fields.items())
        else:
            yield one.alias
    for part in dependant.dependencies:
        yield from _names_in(part)
