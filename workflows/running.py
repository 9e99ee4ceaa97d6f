"""A case in the hands of one transaction: where it stands, and what its steps can do.

Nothing here reads a clock or sends anything: messages are queued in the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from notify import (
    ANSWER,
    FOR_EVER,
    WORDING_ERRORS,
    Ask,
    Draft,
    Errand,
    Message,
    Patience,
    Recipient,
    Templates,
    close_asks,
    outdate_messages,
    queue_errand,
    queue_messages,
    word_message,
)
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import Person, Place, find_place, find_present
from prevenant.store import keep_at_hand
from prevenant.tables import Alarm, add_timeline
from workflows.definition import (
    Dispatch,
    Escalate,
    HandOff,
    Parallel,
    Question,
    Step,
    Tell,
    Turns,
    Wait,
    Workflow,
    locate,
    walk_steps,
)
from workflows.family import tell_parent
from workflows.links import CUSTOMER_ROLES, link_with
from workflows.members import leading_alarm
from workflows.on_call import Schedule
from workflows.saying import say_variables
from workflows.tables import CLOSED, COMPLETED, HANDED_OVER, Case, WorkOrder

DISPATCHER = "dispatcher"
"""The role that answers customers who ask for a person, and takes cases that cannot go on."""
RESCUE = "!"
"""The path of the step that no workflow writes: a case that cannot go on is handed to a person."""
_RESCUE_STEP = HandOff([DISPATCHER], 900.0, [["sms", "email"], ["voice"]], "case_failed")


def patience_of(step: Tell | Question | Dispatch | Escalate | HandOff) -> Patience:
    """Return how long what a step says is waited for."""
    return Patience(step.receipt_within_s, step.reply_within_s)


class Track(msgspec.Struct):
    """One line of execution: where it stands, and what its step remembers."""

    path: str
    begun: bool = False
    due_at: float | None = None
    """Seconds since 1970; None waits for an event alone."""
    data: dict[str, Any] = {}
    ends_after: str = ""
    """The path of a step that is done once more beside the others: behind it the track is over."""


class CallBack(msgspec.Struct):
    """Somebody who waits for a person to call back. Times are seconds since 1970."""

    contact: str
    name: str
    wish: str
    """Why, as the code of a phrase in the templates."""
    said: str
    """Their latest words."""
    since: float
    asked: int = 0
    """How often people were asked to call."""
    due_at: float | None = None
    """When they are asked again."""
    taken_by: str = ""
    """Who calls back; empty while nobody does."""


class Progress(msgspec.Struct):
    """Where a case stands. A field that is added gets a default: cases wait through upgrades."""

    tracks: list[Track] = []
    facts: dict[str, float] = {}
    """What has come about, and when, in seconds since 1970."""
    excluded: dict[str, str] = {}
    """Technicians who are not asked again, and why."""
    message: dict[str, str] = {}
    """The rule's message by language, as it was when the case was opened."""
    messages: int = 0
    rounds: int = 0
    answers: dict[str, Any] = {}
    """What was answered, by the name of the question or of the call."""
    told: str = ""
    """The key of the latest message to the customer."""
    endings: dict[str, tuple[str, str]] = {}
    """How the tracks that are over have ended, by name: the state and the outcome."""
    lost: list[str] = []
    """The contacts who know that the job is not theirs, until it is offered to them again."""
    owner_told: dict[str, str] = {}
    """Of whom each contact was told that they have taken the case already."""
    failures: int = 0
    """How often in a row the case could not go on."""
    begins_at: float | None = None
    """When its workflow begins, in seconds since 1970, while it waits for further alarms to join."""
    callbacks: list[CallBack] = []
    """Who has asked for a person instead of a machine, also after the case's end."""


class Outcome(Enum):
    """How a step left its track."""

    DONE = "done"
    WAITING = "waiting"
    OTHERWISE = "otherwise"
    ENDED = "ended"
    """The whole case, or the whole track, is at its end."""


@dataclass(frozen=True, slots=True)
class Into:
    """A step left its track at the beginning of one of its own lists of steps."""

    block: str


Left = Outcome | Into


class RunningCase:
    """One case, its workflow, and the session in which it moves."""

    def __init__(
        self,
        session: Session,
        templates: Templates,
        workflow: Workflow,
        case: Case,
        now: datetime,
        schedules: Mapping[str, Schedule] | None = None,
    ) -> None:
        self.session = session
        self.case = case
        # Whoever asks afterwards what was moved finds it there.
        keep_at_hand(session, [case])
        self.now = now
        self.progress = msgspec.convert(case.progress, Progress)
        self.templates = templates
        self.workflow = workflow
        self.schedules = schedules or {}
        """Who is on call, by the book in force."""
        self.answering = ""
        """The contact whose reply is being heard: what is said to them now answers it."""

    def beside(self, case: Case, workflow: Workflow) -> "RunningCase":
        """Return another case in the same transaction."""
        return RunningCase(self.session, self.templates, workflow, case, self.now, self.schedules)

    @cached_property
    def place(self) -> Place:
        """Where the alarm is."""
        case = self.case
        return find_place(self.session, case.device_type, case.site_id, case.device_id)

    @property
    def alarm(self) -> Alarm:
        """The alarm that the case is told by."""
        return leading_alarm(self.session, self.case)

    @property
    def has_begun(self) -> bool:
        """Whether its workflow has begun."""
        return self.progress.begins_at is None

    def step_at(self, path: str) -> Step:
        """Return the step at `path`."""
        if path == RESCUE:
            return _RESCUE_STEP
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

    def waits_for(self, fact: str) -> bool:
        """Return whether the workflow says what follows when something has come about."""
        steps = walk_steps(self.workflow.steps)
        return any(isinstance(one, Wait) and fact in one.facts for one in steps)

    def forget_facts(self, *facts: str) -> None:
        """Let something have to come about again."""
        for fact in facts:
            self.progress.facts.pop(fact, None)

    def tell(
        self,
        person: Person,
        role: str,
        template: str,
        turns: Turns,
        ask: Ask | None = None,
        extra: Mapping[str, Any] | None = None,
        patience: Patience = FOR_EVER,
    ) -> str:
        """Queue a message to a person and return its key.

        Staff get a plain text where the template cannot be worded; for a customer that raises.
        """
        return self.tell_all([person], role, template, turns, ask, extra, patience)[0]

    def tell_all(
        self,
        people: Sequence[Person],
        role: str,
        template: str,
        turns: Turns,
        ask: Ask | None = None,
        extra: Mapping[str, Any] | None = None,
        patience: Patience = FOR_EVER,
    ) -> list[str]:
        """Queue the same message to each of several people, as `tell` does, and return their keys."""
        worded = [
            self._word(self._draft(person, role, template, turns, ask, extra, patience))
            for person in people
        ]
        are_new = self.case.id in opened_here(self.session)
        queued = queue_messages(self.session, worded, self.now, are_new=are_new)
        for person, message in zip(people, queued, strict=True):
            if role in CUSTOMER_ROLES:
                self.progress.told = message.key
                self.forget_facts("message.delivered", "message.failed")
            if not message.turns:
                summary = f"{person.name} ({role}) cannot be told: {message.reason}"
                self.note("message.failed", summary)
                if role in CUSTOMER_ROLES:
                    self.set_fact("message.failed")
        return [message.key for message in worded]

    def _draft(
        self,
        person: Person,
        role: str,
        template: str,
        turns: Turns,
        ask: Ask | None,
        extra: Mapping[str, Any] | None,
        patience: Patience,
    ) -> Draft:
        key = self._next_key()
        if person.contact_id == self.answering:
            key = f"{ANSWER}{key}"
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
        variables = {
            **self.variables(person.language, zone),
            "link": link_with(self, person, role, template),
            **(extra or {}),
        }
        severity = self.case.severity
        return Draft(
            key, recipient, template, variables, turns, severity, self.case.id, ask, patience
        )

    def _word(self, draft: Draft) -> Message:
        try:
            return word_message(self.templates, draft, self.now)
        except WORDING_ERRORS as error:
            if draft.recipient.role in CUSTOMER_ROLES:
                raise
            self.note("message.unworded", f"template {draft.template!r} cannot be worded: {error}")
            return word_message(self.templates, replace(draft, template="plain_notice"), self.now)

    def send(self, channel: str, address: str, body: str, name: str) -> str:
        """Queue something for a machine and return its key."""
        key = self._next_key()
        severity, case_id = self.case.severity, self.case.id or 0
        errand = Errand(key, channel, address, body, name, severity, case_id)
        queue_errand(self.session, errand, self.now)
        return key

    def variables(self, language: str, zone: str) -> dict[str, Any]:
        """Return what templates of this case can say, with the rule's message in `language`."""
        return say_variables(self, language, zone)

    def render(self, text: str) -> str:
        """Return a text of the workflow with its variables filled in, as for the site."""
        zone = self.place.timezone
        return self.templates.render_text(text, "en", self.variables("en", zone), zone)

    def render_list(self, texts: list[str]) -> list[str]:
        """Return the names that texts of the workflow give; what cannot be worded is left out."""
        found: list[str] = []
        for text in texts:
            try:
                found += [one.strip() for one in self.render(text).split(",") if one.strip()]
            except WORDING_ERRORS as error:
                self.note("text.unworded", f"{text!r} is not known here: {error}")
        return found

    def work_order(self, contact_id: str = "") -> WorkOrder | None:
        """Return the job of the technician who has it, or had it last; perhaps that of one contact."""
        given = [WorkOrder.contact_id == contact_id] if contact_id else []
        return self._latest_order(WorkOrder.state != "cancelled", *given)

    def last_order(self) -> WorkOrder | None:
        """Return the latest job, also one that was cancelled: what is said of it stays true."""
        return self._latest_order()

    def _latest_order(self, *conditions: Any) -> WorkOrder | None:
        if not self.progress.rounds:
            # Nobody was looked for yet.
            return None
        query = select(WorkOrder).where(WorkOrder.case_id == self.case.id, *conditions)
        return self.session.exec(query.order_by(col(WorkOrder.id).desc())).first()

    def technician(self) -> Person | None:
        """Return the technician who has the job and is still there, or None."""
        order = self.work_order()
        return find_present(self.session, order.contact_id) if order else None

    def stop_asking(self, *kinds: str, contact_id: str = "") -> None:
        """Expect no more answers to these kinds of questions."""
        close_asks(self.session, self.case.id or 0, kinds, contact_id)

    def finish(self, track: Track, state: str, outcome: str) -> None:
        """End what a track belongs to: the named track of the workflow, or else the case."""
        name, prefix = self._named_track(track.path)
        if not name:
            self.end(state, outcome)
            return
        self.progress.tracks = [
            one for one in self.progress.tracks if not one.path.startswith(prefix)
        ]
        self.end_track(name, state, outcome)

    def end_track(self, name: str, state: str, outcome: str) -> None:
        """Remember how a named track has ended."""
        self.progress.endings[name] = (state, outcome)
        self.note("track.ended", f"{name}: {outcome}", {"track": name, "outcome": outcome})

    def track_name(self, path: str) -> str:
        """Return in which named track a step stands; empty where there are none."""
        return self._named_track(path)[0]

    def _named_track(self, path: str) -> tuple[str, str]:
        steps = self.workflow.steps
        first = steps[0] if steps else None
        if not isinstance(first, Parallel) or not first.names or not path.startswith("0.branches."):
            return "", ""
        number = path.split(".")[2]
        return first.names[int(number)], f"0.branches.{number}."

    def end_completed(self) -> None:
        """Give a case whose tracks are all over the end that they have given it."""
        endings = self.progress.endings
        state = HANDED_OVER if any(one == HANDED_OVER for one, _ in endings.values()) else CLOSED
        outcomes = {outcome for _, outcome in endings.values()}
        if len(outcomes) > 1:
            outcomes = {"; ".join(f"{name}: {outcome}" for name, (_, outcome) in endings.items())}
        self.end(state, next(iter(outcomes), COMPLETED))

    def end(self, state: str, outcome: str) -> None:
        """Stop all tracks and give the case its end."""
        self.progress.tracks = []
        self.case.state = state
        self.case.outcome = outcome
        if state == CLOSED:
            self.case.closed_at = self.now
            if self.case.opened_at < self.now:
                # It may have said something before.
                over = "the case was closed while it waited"
                outdate_messages(self.session, self.case.id or 0, self.now, over)
        self.progress.begins_at = None
        kinds = ("offer", "acknowledge", "confirm", "question:")
        close_asks(self.session, self.case.id or 0, kinds, settled=False)
        tell_parent(self.session, self.case, self.now)
        self.note(f"case.{state}", f"case {self.case.id}: {outcome}")

    def _next_key(self) -> str:
        self.progress.messages += 1
        return f"case-{self.case.id}-{self.progress.messages}"


def last_number(session: Session, case: Case) -> int:
    """Return the number of the last message of a case whose progress is lost: the next has a new one."""
    keys = session.exec(select(Message.key).where(Message.case_id == case.id)).all()
    numbers = (key.rpartition("-")[2] for key in keys if f"case-{case.id}-" in key)
    return max((int(one) for one in numbers if one.isdecimal()), default=0)


def opened_here(session: Session) -> set[int | None]:
    """Return which cases the transaction of `session` has opened: nothing was said of them before."""
    opened: set[int | None] = session.info.setdefault("opened cases", set())
    return opened
