"""Workflows as values: steps read top to bottom, every wait with a deadline.

A workflow is kept in the store under the digest of its steps, so that a running case goes on with the
steps that it started with, whatever is published meanwhile. `workflows.reading` makes them of YAML.
A field that is added here gets a default, so that what was stored before can still be read.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from workflows.joining import Storm

FACTS = (
    "acknowledged",
    "taken_over",
    "alarm.raised",
    "alarm.levelled",
    "alarm.cleared",
    "technician.accepted",
    "technician.en_route",
    "technician.arrived",
    "technician.done",
    "customer.confirmed",
    "customer.moved",
    "customer.cancelled",
    "message.delivered",
    "message.failed",
)
"""What can be waited for, beside `answer.NAME`. A fact that is known before the wait ends it at once."""

Turns = list[list[str]]


class Deadline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A length of time from now, or from the `start` or `end` of the planned visit."""

    seconds: float
    visit: str = ""


class Tell(msgspec.Struct, frozen=True, omit_defaults=True, tag="tell"):
    """Tell someone something: whoever `workflows.recipients.people_of` finds for `whom`."""

    whom: str
    template: str
    turns: Turns
    ask: str | None = None
    ask_for_s: float | None = None
    nearest: int = 0
    """Only so many of them, the nearest to the device; 0 is all."""
    receipt_within_s: float | None = None
    """How long a receipt is waited for before the next channel is tried; here and below."""
    reply_within_s: float | None = None


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer to a question: its name, words that mean it, and what is done then."""

    name: str
    words: list[str] = []
    steps: "list[Step]" = []


class Question(msgspec.Struct, frozen=True, omit_defaults=True, tag="ask"):
    """Ask someone; the first answer becomes `answer.NAME`, and has steps of its own."""

    name: str
    whom: str
    template: str
    turns: Turns
    choices: list[Choice]
    within: Deadline
    otherwise: "list[Step]"
    nearest: int = 0
    receipt_within_s: float | None = None
    reply_within_s: float | None = None


class Survey(msgspec.Struct, frozen=True, omit_defaults=True, tag="survey"):
    """Ask the customer how it was, by `csat`, `nps` or `ces`; nothing waits for the answer."""

    kind: str
    template: str
    turns: Turns
    ask_for_s: float


class Dispatch(msgspec.Struct, frozen=True, omit_defaults=True, tag="dispatch"):
    """Choose and send a technician; done when one has accepted (or arrived, with `arrive_within`)."""

    skill: str
    level: int
    within_km: float
    offer_s: float
    otherwise: "list[Step]"
    turns: Turns
    at_once: int = 1
    on_foot: bool = False
    arrive_within_s: float | None = None
    window_s: float = 7_200.0
    """How long the window is in which the visit is promised to begin."""
    offer_template: str = "job_offer"
    accepted_template: str = "job_accepted"
    gone_template: str = "job_gone"
    parts: list[str] = []
    """Templates of names of parts, each one name or several with commas between them."""
    fresh_s: float | None = None
    """How old a technician's position may be; None: it does not matter."""
    territory: bool = False
    """Whether only technicians of the site's area are asked, or those of `area`."""
    area: str = ""
    max_jobs: int | None = None
    """How many jobs a technician may have beside; None: as many as the technician's own capacity."""
    receipt_within_s: float | None = None
    reply_within_s: float | None = None


class Wait(msgspec.Struct, frozen=True, omit_defaults=True, tag="wait"):
    """Wait for the first of some facts, or for the deadline; then `otherwise` says what is done."""

    facts: list[str]
    within: Deadline
    otherwise: "list[Step]"


class Escalate(msgspec.Struct, frozen=True, omit_defaults=True, tag="escalate"):
    """Tell one role after the other until somebody takes it; the workflow then goes on."""

    to: list[str]
    within_s: float
    turns: Turns
    template: str
    repeat: int
    receipt_within_s: float | None = None
    reply_within_s: float | None = None


class HandOff(msgspec.Struct, frozen=True, omit_defaults=True, tag="hand_off"):
    """Give the case to a person for good: like `escalate`, but the workflow ends with it."""

    to: list[str]
    within_s: float
    turns: Turns
    template: str
    receipt_within_s: float | None = None
    reply_within_s: float | None = None


class Command(msgspec.Struct, frozen=True, omit_defaults=True, tag="command"):
    """Publish something to a device; with `within_s`, wait until a broker has taken it."""

    topic: str
    payload: Any
    """A template, or a structure with templates in it, which is sent as JSON."""
    within_s: float | None = None
    otherwise: "list[Step]" = []


class Call(msgspec.Struct, frozen=True, omit_defaults=True, tag="call"):
    """Call a webhook; with `within_s`, wait until it was taken. Its answer becomes `answer.NAME`."""

    url: str
    body: Any = None
    """As a command's payload; None: what the case is about."""
    name: str = ""
    within_s: float | None = None
    otherwise: "list[Step]" = []


class If(msgspec.Struct, frozen=True, omit_defaults=True, tag="if"):
    """Go one way or the other; what is not known goes the way of `unknown`, or else that of `els`."""

    condition: str
    then: "list[Step]"
    els: "list[Step]" = []
    unknown: "list[Step] | None" = None


class Parallel(msgspec.Struct, frozen=True, omit_defaults=True, tag="parallel"):
    """Run several branches at once; done when all are. Named ones are tracks, which end by themselves."""

    branches: "list[list[Step]]"
    names: list[str] = []


class Close(msgspec.Struct, frozen=True, omit_defaults=True, tag="close"):
    """End the case, or the track, with an outcome."""

    outcome: str


Step = (
    Tell
    | Question
    | Survey
    | Dispatch
    | Wait
    | Escalate
    | HandOff
    | Command
    | Call
    | If
    | Parallel
    | Close
)


class Workflow(msgspec.Struct, frozen=True):
    """A named list of steps."""

    name: str
    steps: list[Step]
    group_wait_s: float = 0.0
    """How long alarms of one site are gathered into one case; 0: each has a case of its own."""
    storm: Storm = Storm()

    @property
    def version(self) -> str:
        """A digest of everything but the name."""
        text = msgspec.json.encode(self.steps)
        if self.group_wait_s:
            text += f" {self.group_wait_s}".encode()
        if self.storm != Storm():
            text += msgspec.json.encode(self.storm)
        return hashlib.sha256(text).hexdigest()[:16]


def encode_steps(workflow: Workflow) -> str:
    """Return the steps of a workflow as JSON for the store."""
    return msgspec.json.encode(workflow.steps).decode()


def decode_steps(name: str, text: str) -> Workflow:
    """Return a workflow from what `encode_steps` returned."""
    return Workflow(name, msgspec.json.decode(text, type=list[Step]))


def blocks_of(step: Step) -> dict[str, list[Step]]:
    """Return the lists of steps inside a step, each by the label that leads to it in a path."""
    match step:
        case Parallel():
            return {f"branches.{n}": branch for n, branch in enumerate(step.branches)}
        case Question():
            answers = {f"answers.{n}": choice.steps for n, choice in enumerate(step.choices)}
            return {**answers, "otherwise": step.otherwise}
        case If():
            ways = {"then": step.then, "else": step.els}
            return ways if step.unknown is None else {**ways, "unknown": step.unknown}
        case Dispatch() | Wait() | Command() | Call():
            return {"otherwise": step.otherwise}
        case _:
            return {}


def locate(steps: list[Step], path: str) -> tuple[list[Step], int]:
    """Return the list of steps that `path` leads to, and the index in it.

    A path is an index, then a label of `blocks_of` and an index for each step inside another. Raises
    LookupError where there is no such step.
    """
    tokens = path.split(".")
    siblings, index, position = steps, int(tokens[0]), 1
    while position < len(tokens):
        width = 2 if tokens[position] in {"branches", "answers"} else 1
        label = ".".join(tokens[position : position + width])
        siblings = blocks_of(siblings[index])[label]
        index = int(tokens[position + width])
        position += width + 1
    if index >= len(siblings):
        message = f"there is no step at {path!r}"
        raise LookupError(message)
    return siblings, index


def enclosing(path: str) -> str:
    """Return the path of the step in which the list of `path` stands; empty at the top."""
    tokens = path.split(".")[:-1]
    while tokens and not tokens[-1].isdigit():
        tokens.pop()
    # What is left ends with the number of a branch or an answer, or with the step's own index.
    if len(tokens) > 1 and tokens[-2] in {"branches", "answers"}:
        tokens = tokens[:-2]
    return ".".join(tokens)


def walk_steps(steps: list[Step]) -> Iterator[Step]:
    """Yield every step of a list, and those inside them."""
    for step in steps:
        yield step
        for inner in blocks_of(step).values():
            yield from walk_steps(inner)
