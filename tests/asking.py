"""A website over a store, without an engine behind it, and somebody who asks it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from pydantic import SecretStr

from notify import Templates
from prevenant.crm.importing import import_folder
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.website import Website, bind_pages
from tests.moved_clock import MovedClock
from tests.servers import wait_until

DEMO_DATA = Path("prevenant/crm/demo")
TEMPLATES = Templates()


@dataclass
class Asking:
    """Somebody with a token, who asks the API."""

    address: str
    store: Store
    clock: MovedClock
    website: Website
    token: str = "admin"
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Ask for something under `/api/v1`, or at an address that an answer named."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        base = f"{self.address}/api/v1/"
        url = urljoin(base, path) if path.startswith("/") else f"{base}{path}"
        return self.session.request(method, url, headers=headers, timeout=30, **options)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Read something."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: object, **headers: str) -> requests.Response:
        """Have something done."""
        data = json.dumps(body)
        return self.ask(
            "POST", path, data=data, headers={"Content-Type": "application/json", **headers}
        )

    def pages(self, path: str) -> list[list[dict[str, Any]]]:
        """Return every page of a list, from the first on."""
        found = []
        while path:
            answer = self.get(path)
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
            path = answer.links.get("next", {}).get("url", "")
        return found


@contextmanager
def website_on(store: Store, clock: MovedClock, **changes: Any) -> Iterator[Asking]:
    """Serve API and console over a store with the people and places of the demo."""
    settings = Settings(http="127.0.0.1:0", admin_token=SecretStr("admin"), **changes)
    with store.write() as session:
        import_folder(session, DEMO_DATA)
    listener = bind_pages(settings)
    website = Website(settings, listener, store, clock, TEMPLATES)
    thread = threading.Thread(target=website.run)
    thread.start()
    wait_until(lambda: website.started, "web server")
    try:
        yield Asking(website.address, store, clock, website)
    finally:
        website.stop()
        thread.join()
        listener.close()
