"""Tells the engine's story in the terminal, and notices when every use case has told its people."""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

_COLOURS = {
    "alarm": "red",
    "case": "cyan",
    "candidates": "blue",
    "offer": "blue",
    "visit": "blue",
    "technician": "blue",
    "message": "green",
    "reply": "magenta",
    "acknowledged": "magenta",
    "customer": "magenta",
}


@dataclass(frozen=True, slots=True)
class Told:
    """Someone who has to have been told: in a case of which rule, as what, by which template."""

    use_case: str
    rule: str
    role: str
    template: str

    def __str__(self) -> str:
        return f"{self.use_case}: {self.role} by {self.template}"


UNTOLD = (
    Told("1 door held open", "door-held-open", "security", "security_callout"),
    Told("1 door without badge", "door-without-badge", "security", "security_callout"),
    Told("2 terminal temperature", "terminal-temperature", "facilities", "site_notice"),
    Told("2 terminal temperature", "terminal-temperature", "technician", "job_accepted"),
    Told("3 defibrillator", "defibrillator-removed", "security", "life_safety_notice"),
    Told("3 defibrillator", "defibrillator-removed", "technician", "life_safety_go"),
    Told("3 defibrillator", "defibrillator-removed", "technician", "life_safety_taken"),
    Told("4 refrigerator", "refrigerator-warming", "technician", "job_accepted"),
    Told("4 refrigerator", "refrigerator-warming", "customer", "visit_planned"),
)


class Storyteller:
    """Prints each entry once; entries up to `after` were told in an earlier run."""

    def __init__(self, out: Console, zone: ZoneInfo, after: int) -> None:
        self._out = out
        self._zone = zone
        self._after = after
        self._rules: dict[int, str] = {}
        self._lock = threading.Lock()
        self._is_ended = False
        self.heard = 0
        self.untold = list(UNTOLD)

    @property
    def told(self) -> int:
        """Return up to which entry the story was told, in this run or an earlier one."""
        return max(self._after, self.heard)

    def end(self) -> None:
        """Tell nothing more: what is heard from now on belongs to the next run."""
        with self._lock:
            self._is_ended = True

    def hear(self, entry: dict[str, Any]) -> None:
        """Take one entry of the live story."""
        with self._lock:
            if not self._is_ended and entry["id"] > self.heard:
                self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        self.heard = entry["id"]
        if entry["kind"] == "case.opened":
            self._rules[entry["case"]] = entry["detail"]["rule"]
        if entry["kind"] in {"message.sent", "message.delivered"}:
            self._cross_off(entry)
        if entry["id"] > self._after:
            self._print(entry)

    def _cross_off(self, entry: dict[str, Any]) -> None:
        detail = entry["detail"]
        reached = entry["kind"] == "message.delivered" or detail["channel"] == "email"
        rule = self._rules.get(entry["case"] or 0)
        if reached:
            self.untold = [
                one
                for one in self.untold
                if (one.rule, one.role, one.template) != (rule, detail["role"], detail["template"])
            ]

    def _print(self, entry: dict[str, Any]) -> None:
        kind, detail = entry["kind"], entry["detail"]
        time = datetime.fromisoformat(entry["at"]).astimezone(self._zone).strftime("%H:%M:%S")
        case = f"#{entry['case']}" if entry["case"] else ""
        colour = _COLOURS.get(kind.split(".")[0], "yellow")
        if kind == "alarm.raised" and "values" in detail:
            values = ", ".join(f"{name} {value}" for name, value in detail["values"].items())
            self._line(time, "", "reading", "white", f"{detail['device']}: {values}")
        if kind == "message.sent" and detail.get("channel") != "email":
            # Its text stands with the receipt, which says that it has really arrived.
            return
        self._line(time, case, kind, colour, entry["summary"])
        if detail.get("text"):
            for line in str(detail["text"]).splitlines():
                self._out.print(f"[dim]{' ' * 39}│ {escape(line)}[/]")
        for line in detail.get("candidates", ())[:4]:
            self._out.print(f"[dim]{' ' * 39}· {escape(line)}[/]")

    def _line(self, time: str, case: str, kind: str, colour: str, text: str) -> None:
        self._out.print(f"[dim]{time}[/] {case:>5} [{colour}]{kind:<22}[/] {escape(text)}")
