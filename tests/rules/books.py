"""Rule books for tests, from a few lines of YAML."""

from typing import Any

from prevenant.document import read_yaml
from prevenant.domain import Reading
from prevenant.errors import BookError, Problem
from rules.book import RuleBook, read_rules
from rules.devices import read_devices

DEVICES = """
devices:
  door:
    topic: a/{site}/doors/{device}
    fields: {open: bool, badge: string?, battery: percent}
  reader:
    topic: a/{site}/readers/{device}
    fields: {door: string, granted: bool}
  room:
    topic: a/{site}/rooms/{device}
    fields: {temperature: celsius, wanted: celsius, humidity: percent, mode: string}
"""


def make_book(rules: str, max_rate: str = "100/s", silent_after: str = "") -> RuleBook:
    """Return a book of the devices above with these rules. Raises BookError."""
    problems: list[Problem] = []
    keys = f"    max_rate: {max_rate}\n" + (
        f"    silent_after: {silent_after}\n" if silent_after else ""
    )
    devices = DEVICES.replace("    fields:", f"{keys}    fields:")
    document = read_yaml(f"{devices}\nrules:\n{rules}", problems, "rules.yaml")
    pairs = document.mapping() if document else None
    assert pairs is not None, problems
    sections = {name: [value] for name, value in pairs}
    types = read_devices(sections["devices"])
    book = read_rules([sections["rules"][0]], types)
    if problems:
        raise BookError(problems)
    return book


def reading(
    book: RuleBook, kind: str, device: str, at: float, received: float | None = None, **values: Any
) -> Reading:
    """Return a reading of a device such as `t2/D1`."""
    site = device.rpartition("/")[0]
    fields = book.devices[kind].values_type(**values)
    return Reading(kind, site, device, at, at if received is None else received, fields)
