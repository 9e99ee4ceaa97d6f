"""Workflows as the rule book defines them: steps read top to bottom, every wait with a deadline.

A workflow is kept in the store under the digest of its steps, so that a running case goes on with the
steps that it started with, whatever is published meanwhile.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from prevenant.document import Mapping as Pairs
from prevenant.document import Value, suggest
from prevenant.durations import parse_duration
from workflows.joining import Storm, read_joining

FACTS = (
    "acknowledged",
    "alarm.cleared",
    "technician.en_route",
    "technician.arrived",
    "technician.done",
    "customer.confirmed",
    "customer.moved",
)
"""What can be waited for. A fact that is known before the wait begins ends it at once."""

CHANNELS = ("sms", "voice", "email", "preferred")
_PEOPLE = ("customer", "technician")
_ASKS = ("acknowledge", "confirm", "rating")
_SKILL = re.compile(r"([A-Za-z][\w-]*)\s*(?:>=\s*(\d+))?")
_DISTANCE = re.compile(r"(\d+(?:\.\d+)?)\s*(km|m)")
_DEADLINE = re.compile(r"visit\.(start|end)\s*(?:\+\s*(.+))?")
_WORKFLOW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

Turns = list[list[str]]


class Deadline(msgspec.Struct, frozen=True):
    """A length of time from now, or from the `start` or `end` of the planned visit."""

    seconds: float
    visit: str = ""


class Tell(msgspec.Struct, frozen=True, tag="tell"):
    """Tell someone something: `customer`, `technician`, or everybody who has a role at the site."""

    whom: str
    template: str
    turns: Turns
    ask: str | None = None
    ask_for_s: float | None = None


class Dispatch(msgspec.Struct, frozen=True, tag="dispatch"):
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


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Wait for the first of some facts, or for the deadline; then `otherwise` says what is done."""

    facts: list[str]
    within: Deadline
    otherwise: "list[Step]"


class Escalate(msgspec.Struct, frozen=True, tag="escalate"):
    """Tell one role after the other until somebody takes it; the workflow then goes on."""

    to: list[str]
    within_s: float
    turns: Turns
    template: str
    repeat: int


class HandOff(msgspec.Struct, frozen=True, tag="hand_off"):
    """Give the case to a person for good: like `escalate`, but the workflow ends with it."""

    to: list[str]
    within_s: float
    turns: Turns
    template: str


class Parallel(msgspec.Struct, frozen=True, tag="parallel"):
    """Run several branches at once; done when all are."""

    branches: "list[list[Step]]"


class Close(msgspec.Struct, frozen=True, tag="close"):
    """End the case with an outcome."""

    outcome: str


Step = Tell | Dispatch | Wait | Escalate | HandOff | Parallel | Close


class Workflow(msgspec.Struct, frozen=True):
    """A named list of steps."""

    name: str
    steps: list[Step]
    group_wait_s: float = 0.0
    """For how long alarms of a site may join one case; 0: each has its own."""
    storm: Storm = Storm()

    @property
    def version(self) -> str:
        """A digest of the steps."""
        return hashlib.sha256(msgspec.json.encode(self.steps)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """A template that a workflow needs, and where it says so."""

    name: str
    place: Value
    turns: Turns
    after_dispatch: bool
    extra: tuple[str, ...] = ()
    """Variables that this kind of step adds."""
    workflow: str = ""


def read_workflows(sections: list[Value], uses: list[TemplateUse]) -> dict[str, Workflow]:
    """Return the workflows of a book; problems are noted in the document, templates in `uses`."""
    workflows: dict[str, Workflow] = {}
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"workflow {name!r}")
            if not _WORKFLOW_NAME.fullmatch(name):
                named.fail("a name is made of letters, digits, dashes and underscores")
            elif name in workflows:
                named.fail("stands twice: rename one")
            else:
                steps, group_wait_s, storm = read_joining(named)
                read = _Reader(uses, name).steps(steps)
                workflows[name] = Workflow(name, read, group_wait_s, storm)
    return workflows


def encode_steps(workflow: Workflow) -> str:
    """Return the steps of a workflow as JSON for the store."""
    return msgspec.json.encode(workflow.steps).decode()


def decode_steps(name: str, text: str) -> Workflow:
    """Return a workflow from what `encode_steps` returned."""
    return Workflow(name, msgspec.json.decode(text, type=list[Step]))


class _Reader:
    """Reads the steps of one workflow, and remembers whether a technician has been sent by then."""

    def __init__(self, uses: list[TemplateUse], workflow: str) -> None:
        self._uses = uses
        self._workflow = workflow
        self._dispatched = False
        self._kinds: Mapping[str, Callable[[Value, Pairs], Step | None]] = {
            "tell": self._tell,
            "dispatch": self._dispatch,
            "wait": self._wait,
            "escalate": self._escalate,
            "hand_off": self._hand_off,
            "parallel": self._parallel,
            "close": self._close,
        }

    def steps(self, value: Value) -> list[Step]:
        items = value.items() if value.is_list else [value]
        if items is not None and not items:
            value.fail("write at least one step, as in `- tell: customer`")
        steps: list[Step] = []
        for item in items or ():
            if steps and isinstance(steps[-1], Close | HandOff):
                item.fail("this step is never reached: the one before it ends the workflow")
            step = self._step(item)
            if step is not None:
                steps.append(step)
        return steps

    def _step(self, value: Value) -> Step | None:
        pairs = value.mapping()
        if pairs is None:
            return None
        kinds = [name for name, _ in pairs if name in self._kinds]
        if len(kinds) != 1:
            names = [name for name, _ in pairs]
            hint = suggest(names[0] if names else "", self._kinds)
            value.fail(f"a step names one of {', '.join(self._kinds)}: {hint}")
            return None
        kind = kinds[0]
        head = pairs.get(kind)
        return self._kinds[kind](head.named(f"{value.what}: {kind}"), pairs) if head else None

    def _tell(self, head: Value, pairs: Pairs) -> Tell | None:
        _refuse_others(
            pairs, {"tell", "template", "channels", "ask", "ask_for", "confirm_within", "survey"}
        )
        whom = head.text()
        template = pairs.need("template", "name the template of what is told")
        ask_value = pairs.get("ask")
        ask = ask_value.choice(_ASKS) if ask_value else None
        if "confirm_within" in pairs:
            ask = "confirm"
        if pairs.boolean("survey", default=False):
            ask = "rating"
        ask_for = pairs.duration_s("confirm_within", pairs.duration_s("ask_for", None))
        default = [["preferred"]] if whom == "customer" else [["sms"]]
        turns = _read_turns(pairs, default)
        if whom == "technician" and not self._dispatched:
            head.fail("no technician is known here: a `dispatch` has to come first")
        name = template.text() if template else None
        if template is None or name is None or whom is None:
            return None
        self._use(name, template, turns)
        return Tell(whom, name, turns, ask, ask_for)

    def _dispatch(self, head: Value, pairs: Pairs) -> Dispatch | None:
        _refuse_others(pairs, {"dispatch", "otherwise"})
        options = head.mapping(_DISPATCH_KEYS)
        if options is None:
            return None
        skill_value = options.need("skill", "name the skill, as in refrigeration >= 2")
        skill = _read_skill(skill_value) if skill_value else None
        turns = _read_turns(options, [["sms"]])
        at_once = options.get("at_once")
        names = {}
        for part, default in (
            ("offer_template", "job_offer"),
            ("accepted_template", "job_accepted"),
            ("gone_template", "job_gone"),
        ):
            names[part] = options.text(part, default)
            extra = ("offer",) if part == "offer_template" else ("technician", "visit")
            place = options.get(part) or head
            self._use(names[part], place, turns, extra)
        otherwise = self._otherwise(head, pairs, "says whom to tell when nobody can be sent")
        self._dispatched = True
        if skill is None:
            return None
        return Dispatch(
            skill[0],
            skill[1],
            within_km=_read_distance(options),
            offer_s=options.duration_s("offer", 600.0),
            otherwise=otherwise,
            turns=turns,
            at_once=(at_once.integer(1) or 1) if at_once else 1,
            on_foot=options.boolean("on_foot", default=False),
            arrive_within_s=options.duration_s("arrive_within", None),
            window_s=options.duration_s("window", 7_200.0),
            offer_template=names["offer_template"],
            accepted_template=names["accepted_template"],
            gone_template=names["gone_template"],
        )

    def _wait(self, head: Value, pairs: Pairs) -> Wait | None:
        _refuse_others(pairs, {"wait", "within", "otherwise"})
        facts = [fact for one in head.one_or_more() if (fact := one.choice(FACTS))]
        for fact in facts:
            if fact.startswith("technician.") and not self._dispatched:
                head.fail(f"{fact} never comes here: a `dispatch` has to come first")
        within = pairs.need("within", "every wait has a deadline, as in `within: 2h`")
        deadline = self._deadline(within) if within else None
        otherwise = self._otherwise(head, pairs, "says what is done when the time is over")
        return Wait(facts, deadline, otherwise) if deadline else None

    def _escalate(self, head: Value, pairs: Pairs) -> Escalate:
        _refuse_others(pairs, {"escalate", "within", "channels", "template", "repeat"})
        repeat = pairs.get("repeat")
        to, within_s, turns, template = self._people(head, pairs)
        count = (repeat.integer(1) or 1) if repeat else 3
        return Escalate(to, within_s, turns, template, count)

    def _hand_off(self, head: Value, pairs: Pairs) -> HandOff:
        _refuse_others(pairs, {"hand_off", "within", "channels", "template"})
        return HandOff(*self._people(head, pairs))

    def _people(self, head: Value, pairs: Pairs) -> tuple[list[str], float, Turns, str]:
        to = [role for one in head.one_or_more() if (role := one.text())]
        for role in to:
            if role in _PEOPLE:
                head.fail(f"{role!r} is not a role that a case can go to: name one of your staff's")
        turns = _read_turns(pairs, [["sms"], ["voice"]])
        template = pairs.text("template", "escalation")
        place = pairs.get("template") or head
        self._use(template, place, turns, ("why",))
        return to, pairs.duration_s("within", 900.0), turns, template

    def _parallel(self, head: Value, pairs: Pairs) -> Parallel | None:
        _refuse_others(pairs, {"parallel"})
        branches = [self.steps(branch) for branch in head.items() or ()]
        if len(branches) < 2:  # noqa: PLR2004  one branch is no parallel
            head.fail("write two or more branches, each a step or a list of steps")
        return Parallel(branches)

    def _close(self, head: Value, pairs: Pairs) -> Close:
        _refuse_others(pairs, {"close"})
        return Close(head.text() or "resolved")

    def _otherwise(self, head: Value, pairs: Pairs, why: str) -> list[Step]:
        value = pairs.get("otherwise")
        if value is None:
            head.fail(f"'otherwise' is missing: it {why}, as in {{hand_off: dispatcher}}")
            return []
        return self.steps(value)

    def _deadline(self, value: Value) -> Deadline | None:
        text = value.raw()
        match = _DEADLINE.fullmatch(text.strip()) if text else None
        if match is None:
            seconds = value.duration_s()
            return None if seconds is None else Deadline(seconds)
        if not self._dispatched:
            value.fail("no visit is planned here: a `dispatch` has to come first")
        try:
            return Deadline(parse_duration(match[2]) if match[2] else 0.0, match[1])
        except ValueError as error:
            value.fail(str(error))
            return None

    def _use(self, name: str, place: Value, turns: Turns, extra: tuple[str, ...] = ()) -> None:
        use = TemplateUse(name, place, turns, self._dispatched, extra, self._workflow)
        self._uses.append(use)


_DISPATCH_KEYS = {
    "skill",
    "within",
    "offer",
    "at_once",
    "on_foot",
    "arrive_within",
    "window",
    "channels",
    "offer_template",
    "accepted_template",
    "gone_template",
}


def _refuse_others(pairs: Pairs, known: set[str]) -> None:
    for name, value in pairs:
        if name not in known:
            value.fail(f"{name!r} does not belong to this step: {suggest(name, known)}")


def _read_turns(pairs: Pairs, default: Turns) -> Turns:
    """Read `sms + voice` (together) or `[sms, email]` (one after the other)."""
    value = pairs.get("channels")
    if value is None:
        return default
    turns: Turns = []
    for one in value.one_or_more():
        text = one.raw() or ""
        channels = [channel.strip() for channel in text.split("+") if channel.strip()]
        for channel in channels:
            if channel not in CHANNELS:
                one.fail(f"{channel!r} is no channel: {suggest(channel, CHANNELS)}")
        turns.append([channel for channel in channels if channel in CHANNELS])
    return [turn for turn in turns if turn] or default


def _read_skill(value: Value) -> tuple[str, int] | None:
    text = value.raw()
    match = _SKILL.fullmatch(text.strip()) if text else None
    if match is None:
        value.fail("write a skill, perhaps with its least level, as in refrigeration >= 2")
        return None
    return match[1], int(match[2] or 1)


def _read_distance(options: Pairs) -> float:
    value = options.get("within")
    if value is None:
        return 100.0
    text = value.raw()
    match = _DISTANCE.fullmatch(text.strip()) if text else None
    if match is None:
        value.fail("write a distance such as 60 km or 500 m")
        return 100.0
    return float(match[1]) / (1000.0 if match[2] == "m" else 1.0)
