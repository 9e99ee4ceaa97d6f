"""What follows from the order of steps: which are never reached, what can come, what is known when.

A workflow is walked as cases will walk it. At each step it is known which facts are *certain*, on every
way that leads there, and which are *possible*, because something before or beside it can bring them.
What a workflow needs of the rest of the book is returned as `Use`s, for the book to judge.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from prevenant.document import Value, suggest
from workflows.conditions import Compared, check_condition, find_compared
from workflows.definition import (
    Call,
    Close,
    Command,
    Dispatch,
    Escalate,
    HandOff,
    If,
    Parallel,
    Question,
    Step,
    Survey,
    Tell,
    Turns,
    Wait,
    Workflow,
    walk_steps,
)
from workflows.step_keys import read_structure, texts_of
from workflows.writing import Place, Written

_DISPATCH, _CUSTOMER, _SURVEY, _TECHNICIAN = "dispatch", "customer", "survey", "technician"
_CUSTOMERS = ("customer", "site-contact")
_JOB = ("technician.accepted", "technician.en_route", "technician.arrived", "technician.done")


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
    answers: tuple[str, ...] = ()
    """Questions that have been answered by then."""


@dataclass(frozen=True, slots=True)
class TextUse:
    """A template that stands in a workflow itself: a topic, a payload, a part."""

    text: str
    place: Value
    after_dispatch: bool
    workflow: str
    answers: tuple[str, ...] = ()
    is_topic: bool = False


@dataclass(frozen=True, slots=True)
class RoleUse:
    """A role, or `on-call:NAME`, that somebody has to have."""

    role: str
    place: Value
    workflow: str


@dataclass(frozen=True, slots=True)
class SkillUse:
    """A skill that somebody has to have."""

    skill: str
    level: int
    place: Value
    workflow: str


@dataclass(frozen=True, slots=True)
class NameUse:
    """A name of the alarm's own that a workflow relies on, such as `values.temperature`."""

    name: str
    place: Value
    workflow: str


@dataclass(frozen=True, slots=True)
class ComparedUse:
    """A value that a name of the alarm's own is compared with."""

    compared: Compared
    place: Value
    workflow: str


Use = TemplateUse | TextUse | RoleUse | SkillUse | NameUse | ComparedUse


@dataclass(frozen=True, slots=True)
class _Known:
    """What a case knows when it comes to a step."""

    certain: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()

    def plus(self, *certain: str) -> "_Known":
        """Return this with more that is certain."""
        return replace(self, certain=self.certain | {*certain})

    def minus(self, *facts: str) -> "_Known":
        """Return this without what has to come about again."""
        return replace(self, certain=self.certain - {*facts})

    def may(self, *possible: str) -> "_Known":
        """Return this with more that is possible."""
        return replace(self, possible=self.possible | {*possible})


_Ways = list[_Known]
"""How a step can be left; empty where the case, or the track, always ends with it."""


def check_flow(workflow: Workflow, written: Written) -> list[Use]:
    """Return what a workflow needs of the book; what is wrong with its order is noted in the document."""
    walker = _Walker(workflow, written)
    walker.walk(workflow.steps, _Known())
    return walker.uses


class _Walker:
    """Walks one workflow from top to bottom, every way."""

    def __init__(self, workflow: Workflow, written: Written) -> None:
        self._workflow = workflow.name
        self._choices = _choices_in(workflow.steps)
        self._written = written
        self.uses: list[Use] = []

    def walk(self, steps: Sequence[Step], known: _Known) -> _Ways:
        """Walk a list of steps; return how it can be left."""
        is_over = False
        for step in steps:
            place = self._written.place_of(step)
            if is_over:
                place.whole.fail("this step is never reached: the one before it ends the workflow")
                break
            ways = self._step(step, place, known)
            known = _join(ways) if ways else known
            known = known.may(*_brings([step]))
            is_over = not ways
        return [] if is_over else [known]

    def _step(  # noqa: C901, PLR0911  a line for each kind
        self, step: Step, place: Place, known: _Known
    ) -> _Ways:
        match step:
            case Tell():
                return self._tell(step, place, known)
            case Question():
                return self._ask(step, place, known)
            case Survey():
                return self._survey(step, place, known)
            case Dispatch():
                return self._dispatch(step, place, known)
            case Wait():
                return self._wait(step, place, known)
            case Escalate() | HandOff():
                self._template(step.template, place, "template", step.turns, known, ("why",))
                self._roles(step.to, place)
                return [known] if isinstance(step, Escalate) else []
            case Command() | Call():
                return self._errand(step, place, known)
            case If():
                return self._if(step, place, known)
            case Parallel():
                return self._parallel(step, known)
            case Close():
                return []

    def _tell(self, step: Tell, place: Place, known: _Known) -> _Ways:
        self._template(step.template, place, "template", step.turns, known)
        self._roles([step.whom], place)
        if step.whom == _TECHNICIAN and _DISPATCH not in known.possible:
            place.head.fail("no technician is known here: a `dispatch` has to come first")
        if step.ask == "rating":
            return self._rate(place.of("survey"), known)
        return [known]

    def _survey(self, step: Survey, place: Place, known: _Known) -> _Ways:
        self._template(step.template, place, "template", step.turns, known)
        return self._rate(place.head, known)

    def _rate(self, place: Value, known: _Known) -> _Ways:
        if _SURVEY in known.certain:
            place.fail("this is never asked: a case sends one survey, and one comes before")
        return [known.plus(_SURVEY)]

    def _ask(self, step: Question, place: Place, known: _Known) -> _Ways:
        fact = f"answer.{step.name}"
        self._template(step.template, place, "template", step.turns, known, ("choices",))
        self._roles([step.whom], place)
        if step.whom == _TECHNICIAN and _DISPATCH not in known.possible:
            place.head.fail("no technician is known here: a `dispatch` has to come first")
        self._deadline(step.within.visit, place, known)
        before = known.minus(fact)
        ways = self.walk(step.otherwise, before) if step.otherwise else []
        for choice in step.choices:
            ways += self.walk(choice.steps, before.plus(fact).may(fact))
        return ways

    def _dispatch(self, step: Dispatch, place: Place, known: _Known) -> _Ways:
        known = known.minus(*_JOB)
        sent = known.plus(_TECHNICIAN)
        self._template(step.offer_template, place, "offer_template", step.turns, known, ("offer",))
        for key, name in (
            ("accepted_template", step.accepted_template),
            ("gone_template", step.gone_template),
        ):
            self._template(name, place, key, step.turns, sent)
        parts = place.written("parts")
        self._texts(texts_of(parts) if parts else (), known)
        skill = SkillUse(step.skill, step.level, place.of("skill"), self._workflow)
        self.uses.append(skill)
        ways = self.walk(step.otherwise, known) if step.otherwise else []
        come = ["technician.accepted"]
        come += ["technician.arrived"] if step.arrive_within_s is not None else []
        return [sent.plus(*come), *ways]

    def _wait(self, step: Wait, place: Place, known: _Known) -> _Ways:
        for fact in step.facts:
            remedy = _remedy(fact, known)
            if remedy:
                place.head.fail(f"{fact} never comes here: {remedy}")
            elif fact in known.certain:
                place.head.fail(
                    f"this waits for nothing: {fact} is known here, and `otherwise` never done"
                )
            if fact == "alarm.levelled":
                self.uses.append(NameUse(fact, place.head, self._workflow))
        self._deadline(step.within.visit, place, known)
        ways = self.walk(step.otherwise, known) if step.otherwise else []
        come = known
        if all(fact in _JOB for fact in step.facts):
            come = come.plus(_TECHNICIAN)
        if len(step.facts) == 1 and (step.facts[0] in _JOB or step.facts[0].startswith("answer.")):
            come = come.plus(*step.facts)
        return [come, *ways]

    def _errand(self, step: Command | Call, place: Place, known: _Known) -> _Ways:
        if isinstance(step, Command):
            self._texts(texts_of(place.of("topic")), known, is_topic=True)
        inner = place.written("payload" if isinstance(step, Command) else "body")
        if inner is not None:
            self._texts(read_structure(inner)[1], known)
        if step.within_s is None:
            return [known]
        ways = self.walk(step.otherwise, known) if step.otherwise else []
        name = f"answer.{step.name}" if isinstance(step, Call) and step.name else ""
        return [known.plus(name).may(name) if name else known, *ways]

    def _if(self, step: If, place: Place, known: _Known) -> _Ways:
        for name in check_condition(step.condition):
            remedy = _remedy(name, known)
            if remedy:
                place.head.fail(f"{name} is never known here: {remedy}")
            if name.startswith(("values.", "prediction.")) or name == "alarm.levelled":
                self.uses.append(NameUse(name, place.head, self._workflow))
        for one in find_compared(step.condition):
            self._compared(one, place.head)
        ways = self.walk(step.then, known) + self.walk(step.els, known)
        return ways if step.unknown is None else ways + self.walk(step.unknown, known)

    def _compared(self, one: Compared, place: Value) -> None:
        group, _, name = one.name.partition(".")
        if group != "answer":
            self.uses.append(ComparedUse(one, place, self._workflow))
        elif (choices := self._choices.get(name)) and one.value not in choices:
            hint = suggest(str(one.value), choices)
            place.fail(f"{one.name} is never {one.value!r}: {hint}", one.offset)

    def _parallel(self, step: Parallel, known: _Known) -> _Ways:
        """Walk every branch; each can count on what the others may bring, but not on its coming."""
        brings = [_brings(branch) for branch in step.branches]
        certain: set[str] = set(known.certain)
        is_over = False
        for number, branch in enumerate(step.branches):
            beside = {one for n, other in enumerate(brings) if n != number for one in other}
            start = known.may(*beside)
            start = start.minus(*_JOB) if _DISPATCH in beside else start
            ways = self.walk(branch, start)
            # A track ends by itself; anywhere else, what ends a branch ends the case.
            is_over |= not ways and not step.names
            certain |= _join(ways).certain if ways else set()
        if is_over:
            return []
        if sum(_DISPATCH in one for one in brings) > 1:
            certain -= {*_JOB}
        return [replace(known, certain=frozenset(certain))]

    def _template(
        self,
        name: str,
        place: Place,
        key: str,
        turns: Turns,
        known: _Known,
        extra: tuple[str, ...] = (),
    ) -> None:
        sent = _TECHNICIAN in known.certain
        answers = _answers_in(known)
        use = TemplateUse(name, place.of(key), turns, sent, extra, self._workflow, answers)
        self.uses.append(use)

    def _texts(
        self, texts: Iterable[tuple[str, Value]], known: _Known, *, is_topic: bool = False
    ) -> None:
        sent, answers = _TECHNICIAN in known.certain, _answers_in(known)
        for text, place in texts:
            use = TextUse(text, place, sent, self._workflow, answers, is_topic)
            self.uses.append(use)

    def _roles(self, roles: Sequence[str], place: Place) -> None:
        for role in roles:
            if role not in {*_CUSTOMERS, _TECHNICIAN}:
                self.uses.append(RoleUse(role, place.head, self._workflow))

    def _deadline(self, visit: str, place: Place, known: _Known) -> None:
        if visit and _DISPATCH not in known.possible:
            place.of("within").fail("no visit is planned here: a `dispatch` has to come first")


def _choices_in(steps: Sequence[Step]) -> dict[str, set[str]]:
    """Return what can be answered to each question; nothing of a name that a call has, too."""
    found: dict[str, set[str]] = {}
    calls = set()
    for step in walk_steps([*steps]):
        if isinstance(step, Question):
            found.setdefault(step.name, set()).update(one.name for one in step.choices)
        elif isinstance(step, Call) and step.name:
            calls.add(step.name)
    return {name: choices for name, choices in found.items() if name not in calls}


def _join(ways: _Ways) -> _Known:
    """Return what is known wherever a case comes from."""
    certain = frozenset.intersection(*(way.certain for way in ways))
    possible = frozenset.union(*(way.possible for way in ways))
    return _Known(certain, possible)


def _brings(steps: Sequence[Step]) -> set[str]:
    """Return what steps, and those inside them, make possible."""
    found: set[str] = set()
    for step in walk_steps([*steps]):
        match step:
            case Dispatch():
                found.add(_DISPATCH)
            case Tell() | Question() if step.whom in _CUSTOMERS:
                found.add(_CUSTOMER)
            case Survey():
                found.add(_CUSTOMER)
        if isinstance(step, Question | Call) and step.name:
            found.add(f"answer.{step.name}")
    return found


def _remedy(name: str, known: _Known) -> str:
    """Return what has to come first for a fact to come about; nothing where it can."""
    if name.startswith("technician.") and _DISPATCH not in known.possible:
        return "a `dispatch` has to come first"
    if name.startswith(("customer.confirmed", "customer.moved", "customer.cancelled", "message.")):
        return "" if _CUSTOMER in known.possible else "the customer has to be told something first"
    if name.startswith("answer."):
        fact = ".".join(name.split(".")[:2])
        return "" if fact in known.possible else "an `ask` or `call` of this name has to come first"
    return ""


def _answers_in(known: _Known) -> tuple[str, ...]:
    return tuple(sorted(one[7:] for one in known.certain if one.startswith("answer.")))
