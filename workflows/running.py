"""A case in the hands of one transaction: where it stands, and what its steps can do.

Nothing here reads a clock or sends anything: messages are queued in the caller's transaction.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from jinja2 import TemplateError
from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from notify import Ask, Draft, Recipient, Templates, close_asks, queue_message
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import Person, Place, find_person, find_place
from prevenant.tables import Alarm, add_timeline
from workflows.definition import Dispatch, Parallel, Step, Turns, Wait, Workflow
from workflows.tables import CLOSED, Case, WorkOrder

_ORDERS = (
    select(WorkOrder)
    .where(WorkOrder.case_id == bindparam("case_id"), WorkOrder.state != "cancelled")
    .order_by(col(WorkOrder.id).desc())
)


class Track(msgspec.Struct):
    """One line of execution: where it stands, and what its step remembers."""

    path: str
    begun: bool = False
    due_at: float | None = None
    """Seconds since 1970; None waits for an event alone."""
    data: dict[str, Any] = {}
    ends_after: str = ""
    """The path of a step that is done once more beside the others: behind it the track is over."""


class Progress(msgspec.Struct):
    """Where a case stands."""

    tracks: list[Track] = []
    facts: dict[str, float] = {}
    """What has come about, and when, in seconds since 1970."""
    excluded: dict[str, str] = {}
    """Technicians who are not asked again, and why."""
    message: dict[str, str] = {}
    """The rule's message by language, as it was when the case was opened."""
    messages: int = 0
    rounds: int = 0


class Outcome(Enum):
    """How a step left its track."""

    DONE = "done"
    WAITING = "waiting"
    OTHERWISE = "otherwise"
    ENDED = "ended"
    """The whole case is at its end."""


class RunningCase:
    """One case, its workflow, and the session in which it moves."""

    def __init__(
        self, session: Session, templates: Templates, workflow: Workflow, case: Case, now: datetime
    ) -> None:
        self.session = session
        self.case = case
        self.now = now
        self.progress = msgspec.convert(case.progress, Progress)
        self._templates = templates
        self.workflow = workflow
        self._place: Place | None = None

    @property
    def place(self) -> Place:
        """Where the alarm is."""
        if self._place is None:
            case = self.case
            self._place = find_place(self.session, case.device_type, case.site_id, case.device_id)
        return self._place

    def step_at(self, path: str) -> Step:
        """Return the step at `path`."""
        siblings, index = locate(self.workflow.steps, path)
        return siblings[index]

    def note(self, kind: str, summary: str, detail: Mapping[str, Any] | None = None) -> None:
        """Write a line of the case's story."""
        add_timeline(
            self.session,
            self.now,
            kind,
            summary,
            case_id=self.case.id,
            alarm_id=self.case.alarm_id,
            detail=dict(detail or {}),
        )

    def set_fact(self, fact: str) -> None:
        """Remember that something has come about."""
        self.progress.facts[fact] = epoch_seconds(self.now)

    def tell(
        self,
        person: Person,
        role: str,
        template: str,
        turns: Turns,
        ask: Ask | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a message to a person and return its key."""
        self.progress.messages += 1
        key = f"case-{self.case.id}-{self.progress.messages}"
        zone = person.timezone if person.timezone != "UTC" else self.place.timezone
        recipient = Recipient(
            person.contact_id,
            person.name,
            role,
            person.language,
            zone,
            person.addresses,
            person.preferred,
        )
        variables = {**self.variables(person.language, zone), **(extra or {})}
        draft = Draft(
            key, recipient, template, variables, turns, self.case.severity, self.case.id, ask
        )
        message = queue_message(self.session, self._templates, draft, self.now)
        if not message.turns:
            self.note("message.failed", f"{person.name} ({role}) cannot be told: {message.reason}")
        return key

    def variables(self, language: str, zone: str) -> dict[str, Any]:
        """Return what templates of this case can say, with the rule's message in `language`."""
        place = self.place
        alarm = self.session.get_one(Alarm, self.case.alarm_id)
        order = self.work_order()
        shared: dict[str, Any] = {
            "case": {"number": self.case.id},
            "device": {
                "label": place.label,
                "place": place.place or place.label,
                "type": place.type,
                "camera_url": place.camera_url,
                "loudspeaker_url": place.loudspeaker_url,
            },
            "site": {"name": place.site_name, "address": place.address or place.site_name},
            "customer": {"name": place.customer.name if place.customer else place.customer_name},
            "values": alarm.values,
        }
        if order is not None:
            name = order.technician_name
            shared["technician"] = {"name": name, "first_name": name.split()[0]}
            shared["visit"] = {"start": order.visit_start, "end": order.visit_end}
        texts = self.progress.message
        text = texts.get(language) or texts.get("en") or texts.get("")
        text = text or next(iter(texts.values()), f"{self.case.rule}.")
        message = self._templates.render_text(text, language, shared, zone)
        shared["alarm"] = {"rule": alarm.rule, "message": message, "reason": alarm.reason}
        return shared

    def render_list(self, texts: list[str]) -> list[str]:
        """Return the names that texts of the workflow give; what cannot be worded is left out."""
        zone = self.place.timezone
        found: list[str] = []
        for text in texts:
            try:
                said = self._templates.render_text(text, "en", self.variables("en", zone), zone)
            except TemplateError as error:
                self.note("text.unworded", f"{text!r} is not known here: {error}")
                continue
            found += [one.strip() for one in said.split(",") if one.strip()]
        return found

    def work_order(self) -> WorkOrder | None:
        """Return the job of the technician who has it, or None."""
        return self.session.exec(_ORDERS, params={"case_id": self.case.id}).first()

    def technician(self) -> Person | None:
        """Return the technician who has the job, or None."""
        order = self.work_order()
        return find_person(self.session, order.contact_id) if order else None

    def stop_asking(self, *kinds: str, contact_id: str = "") -> None:
        """Expect no more answers to these kinds of questions."""
        close_asks(self.session, self.case.id or 0, kinds, contact_id)

    def end(self, state: str, outcome: str) -> None:
        """Stop all tracks and give the case its end."""
        self.progress.tracks = []
        self.case.state = state
        self.case.outcome = outcome
        if state == CLOSED:
            self.case.closed_at = self.now
        self.stop_asking("offer", "acknowledge", "confirm")
        self.note(f"case.{state}", f"case {self.case.id}: {outcome}")


def locate(steps: list[Step], path: str) -> tuple[list[Step], int]:
    """Return the list of steps that `path` leads to, and the index in it.

    A path is an index, then `otherwise.INDEX` or `branches.BRANCH.INDEX` for each step inside another.
    """
    tokens = path.split(".")
    siblings, index, position = steps, int(tokens[0]), 1
    while position < len(tokens):
        step = siblings[index]
        if isinstance(step, Parallel):
            siblings = step.branches[int(tokens[position + 1])]
            index, position = int(tokens[position + 2]), position + 3
        elif isinstance(step, Dispatch | Wait):
            siblings = step.otherwise
            index, position = int(tokens[position + 1]), position + 2
        else:
            message = f"there is no step at {path!r}"
            raise LookupError(message)  # noqa: TRY004  the path is wrong, not a type
    return siblings, index
