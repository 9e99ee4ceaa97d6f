"""Several processes on one PostgreSQL: any of them may be killed, and the others go on with its work."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import requests
from sqlmodel import col, select

from notify.message import COMMAND, DELIVERED, Delivery
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.store import Store
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.servers import Broker, wait_until
from workflows.tables import Case

PHONE = "+33639980001"
BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: open, workflow: call, message: It is open.}
workflows:
  call:
    - command: {topic: 'lamps/{{ device.id }}', payload: {lit: true}}
    - tell: guard
      template: told
      channels: sms
      ask: acknowledge
    - wait: acknowledged
      within: 1h
      otherwise: {hand_off: guard}
    - tell: guard
      template: thanks
      channels: sms
    - close: seen
templates:
  told: {en: {sms: 'Open: {{ device.id }}. Answer 1.'}}
  thanks: {en: {sms: 'Thanks for {{ device.id }}.'}}
"""
_PATIENCE_S = 60.0

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Site:
    """A broker, a carrier, a PostgreSQL with a guard, and the processes that a test starts on them."""

    def __init__(self, folder: Path, store: Store, broker: Broker, mailbox: Mailbox) -> None:
        self.store = store
        self.carrier = Carrier().start()
        self.processes: list[EngineProcess] = []
        self.settings: dict[str, str] = {}
        """What all processes are told beside where things are."""
        self.lamps: list[str] = []
        self._folder, self._broker, self._mailbox = folder, broker, mailbox
        self._book = folder / "rules.yaml"
        self._book.write_text(BOOK, "utf-8")
        self._devices: paho.Client = connect(broker.url)
        self._devices.on_message = lambda _client, _data, message: self.lamps.append(message.topic)
        self._devices.subscribe("lamps/#", qos=1)
        with store.write() as session:
            session.add(Contact(id="g", name="Guard", phone=PHONE))
            session.flush()
            session.add(RoleHolder(contact_id="g", role="guard"))

    def start(self, role: str = "") -> EngineProcess:
        """Start a process with some roles, or with all; the first one's address is the public one."""
        process = EngineProcess(
            self._folder / f"process-{len(self.processes)}",
            self._book,
            self._broker.url,
            self.carrier,
            self._mailbox,
            free_port(),
            "admin",
        )
        self.processes.append(process)
        process.settings = self.settings | {
            "PREVENANT_DATABASE_URL": self.store.url,
            "PREVENANT_PUBLIC_URL": self.processes[0].url,
        }
        process.start(["-m", "prevenant", "run", *(["--role", role] if role else [])])
        if not role or "console" in role:
            process.wait_until_ready()
        else:
            wait_until(lambda: _says(process, "One of several processes"), "start", _PATIENCE_S)
        return process

    def open_doors(self, first: int, count: int) -> None:
        """Let some doors say that they are open."""
        for number in range(first, first + count):
            data = json.dumps({"open": True})
            self._devices.publish(f"airport/t2/doors/d{number}", data, qos=1).wait_for_publish(60)

    def texts(self, beginning: str) -> Counter[str]:
        """Return how often the guard was sent each text that begins so."""
        bodies = [one.body for one in self.carrier.sent_to(PHONE)]
        return Counter(body for body in bodies if body.startswith(beginning))

    def wait_for(self, beginning: str, count: int) -> None:
        """Wait until the guard was sent so many texts that begin so."""
        wait_until(lambda: len(self.texts(beginning)) >= count, f"{beginning} {count}", _PATIENCE_S)

    def commands(self) -> Counter[str]:
        """Return how many commands there are of each state."""
        with self.store.read() as session:
            query = select(Delivery.state).where(Delivery.channel == COMMAND)
            return Counter(session.exec(query))

    def duplicates(self) -> int:
        """Return how many messages the ledger counts as possible duplicates."""
        with self.store.read() as session:
            query = select(Delivery.id).where(col(Delivery.possible_duplicate))
            return len(session.exec(query).all())

    def end(self) -> None:
        """End everything, whatever it does."""
        for process in self.processes:
            process.kill()
        take_leave(self._devices)
        self.carrier.stop()


def _ends_well(process: EngineProcess) -> bool:
    assert process.process is not None
    process.process.terminate()
    return process.process.wait(_PATIENCE_S) == 0


def _says(process: EngineProcess, words: str) -> bool:
    assert process.is_running(), process.log.read_text("utf-8")
    return words in process.log.read_text("utf-8")


@pytest.fixture
def site(tmp_path: Path, store: Store, broker: Broker, mailbox: Mailbox) -> Iterator[Site]:
    """Prepare a site; the test starts its processes."""
    site = Site(tmp_path, store, broker, mailbox)
    yield site
    site.end()


def test_a_worker_goes_on_with_the_cases_of_an_engine_that_is_killed(site: Site) -> None:
    engine = site.start()
    worker = site.start("route, engage")
    site.open_doors(1, 1)
    site.wait_for("Open: t2/d1", 1)
    wait_until(lambda: site.lamps == ["lamps/t2/d1"], "the lamp", _PATIENCE_S)
    engine.kill()
    worker.run("cases", "ack", "1", "--by", "Zoe")
    site.wait_for("Thanks for t2/d1", 1)
    with site.store.read() as session:
        assert session.exec(select(Case.state)).one() == "closed"
    assert site.texts("") == {"Open: t2/d1. Answer 1.": 1, "Thanks for t2/d1.": 1}
    assert _ends_well(worker)


def test_workers_do_what_an_engine_without_their_roles_leaves_to_them(site: Site) -> None:
    engine = site.start("listen,decide,console")
    first = site.start("route,engage")
    second = site.start("route,engage")
    site.open_doors(0, 10)
    first.kill()
    site.open_doors(10, 10)
    site.wait_for("Open: ", 20)
    wait_until(lambda: site.commands() == Counter({DELIVERED: 20}), "every command", _PATIENCE_S)
    assert len(set(site.lamps)) == 20
    told = site.texts("Open: ")
    assert sum(told.values()) - len(told) <= site.duplicates()
    with site.store.read() as session:
        cases = Counter(session.exec(select(Case.device_id).where(Case.storm_of == "")))
    assert cases == {f"t2/d{number}": 1 for number in range(20)}
    assert _ends_well(second)
    assert _ends_well(engine)


def test_pages_can_be_served_by_a_process_of_their_own(site: Site) -> None:
    site.start()
    pages = site.start("console")
    site.open_doors(1, 1)
    site.wait_for("Open: t2/d1", 1)
    token = {"Authorization": "Bearer admin"}
    answer = requests.get(f"{pages.url}/api/v1/cases", headers=token, timeout=30).json()
    assert [one["device_id"] for one in answer] == ["t2/d1"]
    ready = requests.get(f"{pages.url}/readyz", timeout=30).json()
    assert (ready["roles"], ready["lost"], ready["why_not"]) == ("console", None, [])
    assert _ends_well(pages)


def test_a_worker_on_a_store_without_a_rule_book_says_what_to_do(site: Site) -> None:
    worker = EngineProcess(
        site._folder / "alone",
        site._book,
        site._broker.url,
        site.carrier,
        site._mailbox,
        free_port(),
        "admin",
        settings={"PREVENANT_DATABASE_URL": site.store.url},
    )
    worker.start(["-m", "prevenant", "run", "--role", "route,engage"])
    assert worker.process is not None
    assert worker.process.wait(_PATIENCE_S) == 1
    assert worker.log.read_text("utf-8") == (
        "error: the store has no rule book: `prevenant rules publish` one, or start an engine\n"
    )
