"""What can be asked of a running engine: every route, with something of the terminal in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from fastapi.routing import APIRoute

from prevenant.access.roles import Role
from tests.world import World

PUBLIC = frozenset({"/", "/login", "/logout", "/language/{code}", "/outbox", "/healthz", "/readyz"})
"""Routes for whoever comes."""
PROVED_OTHERWISE = ("/webhooks/", "/l/", "/v/", "/j/", "/login/")
"""What is under these proves itself by a signature or by what a link holds."""
EVERYBODYS = (
    "/rules",
    "/models",
    "/technicians",
    "/api/v1/book",
    "/api/v1/models",
    "/api/v1/technicians",
    "/api/v1/crm/{entity}",
)
"""What whoever may look anywhere may read: it is of no site, or filtered to theirs."""
OWN_ONLY = frozenset({"POST /deliveries/dead-letters/resend", "POST /api/v1/book/check"})
"""What does something with all that is the actor's own, and with nothing else."""

IDS: dict[str, str] = {
    "alarm_id": "1",
    "case_id": "1",
    "customer_id": "valmont-airport",
    "delivery_id": "",
    "device_id": "t2/A2",
    "digest": "0",
    "entity": "devices",
    "message_id": "",
    "name": "administrator",
    "number": "1",
    "override_id": "1",
    "photo_id": "1",
    "record_id": "t2/A2",
    "shelf_id": "1",
    "subscription_id": "1",
    "technician_id": "omar-diallo",
    "topic": "airport/t2/doors/D14",
    "version": "1",
    "what": "take",
    "work_order_id": "1",
}
"""Of everything that a path can name, one that is at the terminal, or everybody's."""
BODIES: dict[str, Any] = {
    "POST /api/v1/adopt/{device_id}": {"site": "h01"},
    "POST /api/v1/book": {"text": "rules: {}"},
    "POST /api/v1/book/check": {"text": "rules: {}"},
    "POST /api/v1/cases/{case_id}/links": {"purpose": "visit", "contact": "claire-vasseur"},
    "POST /api/v1/models/{name}/activate": {"version": 1},
    "POST /api/v1/readings": [{"topic": "airport/t2/doors/D14", "payload": {"open": True}}],
    "POST /api/v1/readings/{topic}": {"open": True},
    "POST /api/v1/webhooks": {"name": "mine", "url": "https://desk.example.org/", "sites": ["t2"]},
    "POST /api/v1/shelves": {"device": "t2/A2", "lasts": "1h", "reason": "new lock"},
    "PUT /api/v1/crm/{entity}/{record_id}": {"label": "mine"},
}
FORMS: dict[str, dict[str, str]] = {
    "POST /board/shelve": {"rule": "defibrillator-removed", "device": "t2/A2", "lasts": "1h"},
    "POST /devices/adopt": {"device": "t2/A2", "site": "h01"},
    "POST /settings/webhooks": {
        "url": "https://desk.example.org/",
        "topics": "story",
        "sites": "t2",
    },
}


@dataclass(frozen=True)
class Asked:
    """A route, who may ask for it, and how it is asked for something of the terminal."""

    method: str
    route: str
    role: Role | None
    everywhere: bool
    is_guarded: bool
    fields: tuple[str, ...] = ()
    """What its form has."""
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def is_page(self) -> bool:
        return not self.route.startswith("/api/")

    @property
    def is_everybodys(self) -> bool:
        """Whether whoever may look anywhere may ask for it."""
        reads = self.method == "GET" and self.route.startswith(EVERYBODYS)
        return reads or self.name in OWN_ONLY

    @property
    def is_of_something(self) -> bool:
        """Whether it names something of the terminal, or changes something."""
        return "{" in self.route or self.method != "GET"


def asked_of(world: World) -> list[Asked]:
    """Return what can be asked of an engine by who has to be known."""
    assert world.engine.website
    found = []
    for route in _routes_in(world.engine.website._app.routes):
        path = route.path.replace(":path}", "}")
        if path in PUBLIC or path.startswith(PROVED_OTHERWISE):
            continue
        unknown = set(re.findall(r"{(\w+)}", path)) - IDS.keys()
        assert not unknown, f"{path}: say in IDS what {unknown} is at the terminal"
        guards = [
            one.call.__dict__["asks_for"]
            for one in route.dependant.dependencies
            if "asks_for" in getattr(one.call, "__dict__", {})
        ]
        role, everywhere = guards[0] if guards else (None, False)
        fields = {one.alias: repr(one.field_info) for one in route.dependant.body_params}
        files = tuple(one for one, kind in fields.items() if kind.startswith("File("))
        texts = tuple(one for one in fields if one not in files)
        found += [
            Asked(method, path, role, everywhere, bool(guards), texts, files)
            for method in sorted(route.methods or ())
        ]
    assert len(found) > 100
    return found


def ask(world: World, asked: Asked, token: str) -> requests.Response:
    """Ask for something of the terminal."""
    form = {**dict.fromkeys(asked.fields, "1"), **FORMS.get(asked.name, {})}
    with requests.request(
        asked.method,
        f"{world.engine.address}{asked.route.format_map(IDS)}",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        json=None if asked.is_page else BODIES.get(asked.name, {}),
        data=form if asked.is_page else None,
        files=dict.fromkeys(asked.files, ("x.csv", b"x")) or None,
        timeout=30,
        stream=True,
        allow_redirects=False,
    ) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            assert answer.text is not None
        return answer


def _routes_in(routes: Any) -> Iterator[APIRoute]:
    """Yield routes, those of included routers too."""
    for one in routes:
        if isinstance(one, APIRoute):
            yield one
        else:
            inner = getattr(one, "original_router", None)
            yield from _routes_in(inner.routes if inner else ())
