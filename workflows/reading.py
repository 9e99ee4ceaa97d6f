"""From YAML to workflows: the steps of each, and where they are written.

Only what a step says by itself is judged here; what follows from the steps around it is judged by
`workflows.checking`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prevenant.document import Mapping as Pairs
from prevenant.document import Value, suggest
from workflows import step_keys as keys
from workflows.checking import RoleUse, Use, check_flow
from workflows.definition import (
    FACTS,
    Call,
    Choice,
    Close,
    Command,
    Deadline,
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
)
from workflows.joining import Storm
from workflows.surveys import KINDS as SURVEYS
from workflows.writing import Written

_ASKS = ("acknowledge", "confirm", "rating")
_WORKFLOW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORKFLOW_KEYS = {"group_wait", "storm", "steps", "tracks"}
_MOST_STEPS, _MOST_ANSWERS = 2_000, 9
_WEEK_S = 604_800.0


def read_workflows(sections: list[Value], uses: list[Use]) -> dict[str, Workflow]:
    """Return the workflows of a book; problems are noted in the document.

    What they need of the rest of the book (templates, roles, fields) is added to `uses`.
    """
    workflows: dict[str, Workflow] = {}
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"workflow {name!r}")
            if not _WORKFLOW_NAME.fullmatch(name):
                named.fail("a name is made of letters, digits, dashes and underscores")
            elif name in workflows:
                named.fail("stands twice: rename one")
            else:
                reader = _Reader()
                workflows[name] = reader.workflow(name, named)
                uses += reader.uses
                uses += check_flow(workflows[name], reader.written)
    return workflows


@dataclass
class _Reader:
    """Reads the steps of one workflow, and remembers where each is written."""

    written: Written = field(default_factory=Written)
    uses: list[Use] = field(default_factory=list)
    """What the workflow needs of the rest of the book beside what its steps need."""
    _count: int = 0

    def workflow(self, name: str, value: Value) -> Workflow:
        """Read a list of steps, or `group_wait` and `storm` with `steps` or `tracks`."""
        pairs = value.mapping() if value.is_mapping else None
        if pairs is None or not any(key in pairs for key in _WORKFLOW_KEYS):
            return Workflow(name, self.steps(value))
        for key, one in pairs:
            if key not in _WORKFLOW_KEYS:
                one.fail(f"{key!r} is not known here: {suggest(key, _WORKFLOW_KEYS)}")
        group_wait_s = pairs.duration_s("group_wait", 0.0)
        storm_value, storm = pairs.get("storm"), Storm()
        if storm_value is not None:
            storm, place = keys.read_storm(storm_value)
            self.uses.append(RoleUse(storm.tell, place, name))
        steps, tracks = pairs.get("steps"), pairs.get("tracks")
        if (steps is None) == (tracks is None):
            value.fail("write either `steps`, a list, or `tracks`, lists of steps by name")
            return Workflow(name, [], group_wait_s, storm)
        if steps is not None:
            return Workflow(name, self.steps(steps.named(value.what)), group_wait_s, storm)
        return Workflow(name, self._tracks(tracks, value), group_wait_s, storm)

    def _tracks(self, value: Value | None, owner: Value) -> list[Step]:
        pairs = value.mapping() if value else None
        named = {
            name: self.steps(steps.named(f"{owner.what}: {name}")) for name, steps in pairs or ()
        }
        if value is not None and len(named) < 2:  # noqa: PLR2004  one track is no choice
            value.fail("write two or more tracks, each a list of steps by name")
        if value is None or not named:
            return []
        parallel = Parallel([*named.values()], [*named])
        self.written.add(parallel, value, value)
        return [parallel]

    def steps(self, value: Value) -> list[Step]:
        """Read a step or a list of steps."""
        items = value.items() if value.is_list else [value]
        if items is not None and not items:
            value.fail("write at least one step, as in `- tell: customer`")
        return [step for item in items or () if (step := self._step(item)) is not None]

    def _step(self, value: Value) -> Step | None:
        pairs = value.mapping()
        if pairs is None:
            return None
        kinds = [name for name, _ in pairs if name in _KINDS]
        if "survey" in kinds and "tell" in kinds:
            kinds.remove("survey")
        if "ask" in kinds and "tell" in kinds:
            kinds.remove("ask")
        if len(kinds) != 1:
            names = [name for name, _ in pairs]
            hint = suggest(names[0] if names else "", _KINDS)
            value.fail(f"a step names one of {', '.join(_KINDS)}: {hint}")
            return None
        head = pairs.get(kinds[0])
        if head is None:
            return None
        self._count += 1
        if self._count == _MOST_STEPS:
            value.fail(f"a workflow has fewer than {_MOST_STEPS} steps: make it several")
        head = head.named(f"{value.what}: {kinds[0]}")
        step = _KINDS[kinds[0]](self, head, pairs)
        if step is not None:
            self.written.add(step, value, head, pairs)
        return step

    def _tell(self, head: Value, pairs: Pairs) -> Tell | None:
        keys.refuse_others(
            pairs,
            {"tell", "template", "channels", "ask", "ask_for", "confirm_within", "survey"}
            | keys.PATIENCE,
        )
        whom = keys.read_whom(head)
        template = pairs.need("template", "name the template of what is told")
        ask_value = pairs.get("ask")
        ask = ask_value.choice(_ASKS) if ask_value else None
        if "confirm_within" in pairs:
            ask = "confirm"
        if pairs.boolean("survey", default=False):
            ask = "rating"
        ask_for = keys.read_span(pairs, "confirm_within", keys.read_span(pairs, "ask_for", None))
        name = template.text() if template else None
        patience = keys.read_patience(pairs, asks=ask is not None)
        if name is None or whom is None:
            return None
        return Tell(whom[0], name, _turns(pairs, whom[0]), ask, ask_for, whom[1], *patience)

    def _ask(self, head: Value, pairs: Pairs) -> Question | None:
        keys.refuse_others(
            pairs,
            {"ask", "name", "template", "channels", "answers", "within", "otherwise"}
            | keys.PATIENCE,
        )
        whom = keys.read_whom(head)
        name_value = pairs.need("name", "the answer becomes a fact: name it, as in `name: entry`")
        name = _read_name(name_value) if name_value else None
        template = pairs.need("template", "name the template of what is asked")
        text = template.text() if template else None
        answers = pairs.need("answers", "list what can be answered, as in [home, neighbour]")
        choices = self._choices(answers) if answers else []
        within = pairs.need("within", "every wait has a deadline, as in `within: 2h`")
        deadline = keys.read_deadline(within) if within else None
        if within and deadline == Deadline(0.0):
            within.fail("has to be longer than nothing: nobody could answer in time")
        otherwise = self._otherwise(head, pairs, "says what is done without an answer")
        patience = keys.read_patience(pairs)
        if whom is None or name is None or text is None or deadline is None:
            return None
        turns = _turns(pairs, whom[0])
        return Question(
            name, whom[0], text, turns, choices, deadline, otherwise, whom[1], *patience
        )

    def _choices(self, value: Value) -> list[Choice]:
        choices: list[Choice] = []
        named = (
            [(one.text() or "", None) for one in value.items() or ()]
            if value.is_list
            else [*(value.mapping() or ())]
        )
        for name, inner in named:
            place = inner or value
            if not keys.NAME.fullmatch(name):
                place.fail(f"{name!r} is no name of an answer: use small letters, digits and _")
            elif any(choice.name == name for choice in choices):
                place.fail(f"the answer {name!r} stands twice: keep one of them")
            else:
                choices.append(self._choice(name, inner))
        if not 2 <= len(named) <= _MOST_ANSWERS:  # noqa: PLR2004  one answer is no question
            value.fail(f"write two to {_MOST_ANSWERS} answers: each is chosen by one key")
        return choices

    def _choice(self, name: str, value: Value | None) -> Choice:
        """Read what follows from an answer: nothing, steps, or `{words: […], then: …}`."""
        if value is None or not (value.is_list or value.is_mapping):
            if value is not None and value.scalar() is not None:
                value.fail("write steps, or nothing where the case just goes on")
            return Choice(name)
        pairs = value.mapping() if value.is_mapping else None
        if pairs is None or not ("words" in pairs or "then" in pairs):
            return Choice(name, [], self.steps(value))
        keys.refuse_others(pairs, {"words", "then"})
        words, then = pairs.get("words"), pairs.get("then")
        texts = [text for text, _ in keys.texts_of(words)] if words else []
        return Choice(name, texts, self.steps(then) if then else [])

    def _survey(self, head: Value, pairs: Pairs) -> Survey | None:
        keys.refuse_others(pairs, {"survey", "template", "channels", "within"})
        kind = head.choice(SURVEYS)
        if kind not in SURVEYS:
            return None
        template = pairs.text("template", f"survey_{kind}")
        within_s = keys.read_span(pairs, "within", _WEEK_S)
        return Survey(kind, template, _turns(pairs, "customer"), within_s)

    def _dispatch(self, head: Value, pairs: Pairs) -> Dispatch | None:
        keys.refuse_others(pairs, {"dispatch", "otherwise"})
        options = head.mapping(_DISPATCH_KEYS)
        if options is None:
            return None
        skill_value = options.need("skill", "name the skill, as in refrigeration >= 2")
        skill = keys.read_skill(skill_value) if skill_value else None
        otherwise = self._otherwise(head, pairs, "says whom to tell when nobody can be sent")
        at_once, max_jobs = options.get("at_once"), options.get("max_jobs")
        parts, territory = options.get("parts"), options.get("territory")
        patience = keys.read_patience(options)
        area = territory.text() or "" if territory and territory.scalar() is not False else ""
        self.written.note_options(head, options)
        if skill is None:
            return None
        return Dispatch(
            skill[0],
            skill[1],
            within_km=keys.read_distance(options),
            offer_s=keys.read_span(options, "offer", 600.0),
            otherwise=otherwise,
            turns=keys.read_turns(options, [["sms"]]),
            at_once=(at_once.integer(1) or 1) if at_once else 1,
            on_foot=options.boolean("on_foot", default=False),
            arrive_within_s=keys.read_span(options, "arrive_within", None),
            window_s=options.duration_s("window", 7_200.0),
            offer_template=options.text("offer_template", "job_offer"),
            accepted_template=options.text("accepted_template", "job_accepted"),
            gone_template=options.text("gone_template", "job_gone"),
            parts=[text for text, _ in keys.texts_of(parts)] if parts else [],
            fresh_s=keys.read_span(options, "position_fresh", None),
            territory=bool(area),
            area="" if area == "true" else area,
            max_jobs=max_jobs.integer(1) if max_jobs else None,
            receipt_within_s=patience[0],
            reply_within_s=patience[1],
        )

    def _wait(self, head: Value, pairs: Pairs) -> Wait | None:
        keys.refuse_others(pairs, {"wait", "within", "otherwise"})
        facts = [fact for one in head.one_or_more() if (fact := _read_fact(one))]
        if head.is_list and not head.items():
            head.fail("nothing is waited for: name at least one fact, as in technician.done")
        within = pairs.need("within", "every wait has a deadline, as in `within: 2h`")
        deadline = keys.read_deadline(within) if within else None
        otherwise = self._otherwise(head, pairs, "says what is done when the time is over")
        return Wait(facts, deadline, otherwise) if deadline and facts else None

    def _escalate(self, head: Value, pairs: Pairs) -> Escalate:
        known = {"escalate", "within", "channels", "template", "repeat"}
        keys.refuse_others(pairs, known | keys.PATIENCE)
        repeat = pairs.get("repeat")
        count = (repeat.integer(1) or 1) if repeat else 3
        return Escalate(*_read_people(head, pairs), count, *keys.read_patience(pairs))

    def _hand_off(self, head: Value, pairs: Pairs) -> HandOff:
        known = {"hand_off", "within", "channels", "template"}
        keys.refuse_others(pairs, known | keys.PATIENCE)
        return HandOff(*_read_people(head, pairs), *keys.read_patience(pairs))

    def _command(self, head: Value, pairs: Pairs) -> Command | None:
        keys.refuse_others(pairs, {"command", "within", "otherwise"})
        options = head.mapping({"topic", "payload"})
        if options is None:
            return None
        topic_value = options.need("topic", "name the topic that the device listens to")
        payload_value = options.need("payload", "say what is published there")
        topic = topic_value.text() if topic_value else None
        payload = keys.read_structure(payload_value)[0] if payload_value else None
        self.written.note_options(head, options)
        within_s, otherwise = self._answer(head, pairs)
        return None if topic is None else Command(topic, payload, within_s, otherwise)

    def _call(self, head: Value, pairs: Pairs) -> Call | None:
        keys.refuse_others(pairs, {"call", "body", "name", "within", "otherwise"})
        url = keys.read_url(head)
        body_value, name_value = pairs.get("body"), pairs.get("name")
        body = keys.read_structure(body_value)[0] if body_value else None
        name = _read_name(name_value) if name_value else ""
        within_s, otherwise = self._answer(head, pairs)
        if name_value is not None and within_s is None:
            name_value.fail("its answer is not waited for: add `within` and `otherwise`")
        return None if url is None or name is None else Call(url, body, name, within_s, otherwise)

    def _answer(self, head: Value, pairs: Pairs) -> tuple[float | None, list[Step]]:
        """Read how long the other side has, and what is done where it does not take it."""
        if "within" in pairs:
            otherwise = self._otherwise(head, pairs, "says what is done where it is not taken")
            return keys.read_span(pairs, "within", 0.0), otherwise
        value = pairs.get("otherwise")
        if value is not None:
            value.fail("this is never done, for nothing is waited for: add `within`")
        return None, []

    def _if(self, head: Value, pairs: Pairs) -> If | None:
        keys.refuse_others(pairs, {"if", "then", "else", "unknown"})
        condition = keys.read_condition(head)
        then_value = pairs.need("then", "says what is done where the condition holds")
        then = self.steps(then_value) if then_value else []
        els, unknown = pairs.get("else"), pairs.get("unknown")
        other = self.steps(els) if els else []
        not_known = self.steps(unknown) if unknown else None
        return None if condition is None else If(condition[0], then, other, not_known)

    def _parallel(self, head: Value, pairs: Pairs) -> Parallel | None:
        keys.refuse_others(pairs, {"parallel"})
        branches = [self.steps(branch) for branch in head.items() or ()]
        if len(branches) < 2:  # noqa: PLR2004  one branch is no parallel
            head.fail("write two or more branches, each a step or a list of steps")
        return Parallel([branch for branch in branches if branch])

    def _close(self, head: Value, pairs: Pairs) -> Close:
        keys.refuse_others(pairs, {"close"})
        return Close(head.text() or "resolved")

    def _otherwise(self, head: Value, pairs: Pairs, why: str) -> list[Step]:
        value = pairs.get("otherwise")
        if value is None:
            head.fail(f"'otherwise' is missing: it {why}, as in {{hand_off: dispatcher}}")
            return []
        return self.steps(value)


_KINDS: Mapping[str, Callable[[_Reader, Value, Pairs], Step | None]] = {
    "tell": _Reader._tell,
    "ask": _Reader._ask,
    "dispatch": _Reader._dispatch,
    "wait": _Reader._wait,
    "escalate": _Reader._escalate,
    "hand_off": _Reader._hand_off,
    "command": _Reader._command,
    "call": _Reader._call,
    "if": _Reader._if,
    "parallel": _Reader._parallel,
    "survey": _Reader._survey,
    "close": _Reader._close,
}

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
    "parts",
    "territory",
    "position_fresh",
    "max_jobs",
    *keys.PATIENCE,
}


def _turns(pairs: Pairs, whom: str) -> Turns:
    to_customer = whom in {"customer", "site-contact"}
    return keys.read_turns(pairs, [["preferred"]] if to_customer else [["sms"]])


def _read_people(head: Value, pairs: Pairs) -> tuple[list[str], float, Turns, str]:
    to = keys.read_roles(head)
    turns = keys.read_turns(pairs, [["sms"], ["voice"]])
    template = pairs.text("template", "escalation")
    return to, keys.read_span(pairs, "within", 900.0), turns, template


def _read_fact(value: Value) -> str | None:
    text = value.raw()
    if text is not None and text.startswith("answer.") and keys.NAME.fullmatch(text[7:]):
        return text
    if text is not None and text not in FACTS:
        value.fail(f"{text!r} is not known here: {suggest(text, [*FACTS, 'answer.NAME'])}")
        return None
    return text


def _read_name(value: Value) -> str | None:
    text = value.text()
    if text is not None and not keys.NAME.fullmatch(text):
        value.fail(f"{text!r} is no name of an answer: use small letters, digits and _")
        return None
    return text
