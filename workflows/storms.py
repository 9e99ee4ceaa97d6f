"""Storms: so many cases of one workflow at once that one person has to see them as one.

A storm is a case with the others as its children. They run their own workflows: customers are told, and
technicians sent, as ever. The storm tells its owner once how many cases, sites and rules it is about, some
seconds after it began; then when that has grown, at most every quarter of an hour. It ends with its
children.

A case belongs to a storm that is still raging: one whose latest case was opened within the time that makes
a storm.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import bindparam
from sqlmodel import Session, col, func, select, update

from notify import Ask
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.crm.directory import Person, find_role_holders
from prevenant.store import UtcDateTime
from prevenant.tables import CaseEvent
from workflows.definition import Workflow
from workflows.family import STORM_CALM, has_open_child, storm_of
from workflows.hearing import take
from workflows.holding import hold
from workflows.recipients import ON_CALL, on_call
from workflows.running import RunningCase, Track
from workflows.tables import CLOSED, HANDED_OVER, OPEN, Case
from workflows.versions import keep_version

SETTLES_S = 10.0
"""How long after it began a storm is told, so that its first figures are nearly whole."""
UPDATE_EVERY_S = 900.0
_AGAIN_S = 300.0
"""After so long a storm of which nobody could be told is told again."""
_TURNS = [["sms"], ["voice"], ["email"]]
_SHOWN_RULES = 3
_LATEST = "latest storm"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a storm is about."""

    cases: int
    open: int
    handed_over: int
    sites: tuple[str, ...]
    rules: tuple[str, ...]
    """The commonest first."""
    severity: int
    latest_at: datetime
    """When its latest case was opened."""

    @property
    def summary(self) -> str:
        """The figures in words."""
        rules = ", ".join(self.rules[:_SHOWN_RULES])
        return f"{self.cases} cases at {len(self.sites)} sites ({rules}), {self.open} of them open"


def take_case(run: RunningCase) -> None:
    """Make a case that was just opened part of the storm that rages, or begin one with it."""
    since = run.now - timedelta(seconds=run.workflow.storm.within_s)
    storm, is_storm = latest_storm(run.session, run.case.workflow), False
    if storm is None:
        storm, is_storm = _look_back(run, since)
    if storm is None and is_storm:
        hold(run.session, f"storm {run.case.workflow}")
        # The latest case may be one that somebody opened who did not know of the storm yet.
        raging, _ = _look_back(run, since)
        storm = raging or _begun(run.session, run.case, since) or _begin(run, since)
    if storm is not None:
        run.session.info[_LATEST] = storm
        run.case.parent_id = storm.id
        run.session.add(run.case)
        run.note("storm.joined", f"one of many: part of storm {storm.id}", {"storm": storm.id})


def latest_storm(session: Session, workflow: str) -> Case | None:
    """Return the storm that this transaction gave a case of a workflow last, if it is not over."""
    storm: Case | None = session.info.get(_LATEST)
    is_raging = storm is not None and storm in session and storm.state != CLOSED
    return storm if storm is not None and is_raging and storm.storm_of == workflow else None


def hear(run: RunningCase, event: CaseEvent) -> None:
    """Take what people say of a storm, and word that its children have ended."""
    match event.kind:
        case "reply" | "case.acknowledged" | "case.taken" | "case.resolved" | "case.handed":
            take(run, event)
        case "message.failed":
            _hear_unreached(run, event.data["message"])
        case _ if event.kind == STORM_CALM and run.case.state == OPEN:
            _end_if_calm(run)
    _keep(run)


def _hear_unreached(run: RunningCase, message: str) -> None:
    """Tell it again where of those who were told last nobody could be reached."""
    memory = _track(run).data
    reached = memory.get("reached", [])
    if message not in reached:
        return
    reached.remove(message)
    if not reached and not run.case.owner:
        memory["told"] = 0
        _wait(run, _AGAIN_S)


def expire(run: RunningCase) -> None:
    """Tell the owner what the storm has become, and end it where its children have."""
    _adopt(run.session, run.case)
    figures = measure(run.session, run.case)
    run.case.severity = max(run.case.severity, figures.severity)
    _wait(run, UPDATE_EVERY_S)
    if figures.cases != _track(run).data["told"]:
        _tell_owner(run, figures)
    _end_if_calm(run)
    _keep(run)


def measure(session: Session, storm: Case) -> Figures:
    """Return what a storm is about, counted by the database: it may have ten thousand cases."""
    groups = session.exec(_GROUPS, params={"id": storm.id}).all()
    states: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for rule, _, state, count, _, _ in groups:
        rules[rule] += count
        states[state] += count
    return Figures(
        cases=states.total(),
        open=states[OPEN],
        handed_over=states[HANDED_OVER],
        sites=tuple(sorted({site for _, site, _, _, _, _ in groups})),
        rules=tuple(sorted(rules, key=lambda rule: (-rules[rule], rule))),
        severity=max((worst for *_, worst, _ in groups), default=storm.severity),
        latest_at=max((latest for *_, latest in groups), default=storm.opened_at),
    )


_GROUP = (Case.rule, Case.site_id, Case.state)
_GROUPS: Any = (
    select(*_GROUP, func.count(), func.max(Case.severity), func.max(Case.opened_at))  # type: ignore[call-overload]
    .where(Case.parent_id == bindparam("id"))
    .group_by(*_GROUP)
)


def _look_back(run: RunningCase, since: datetime) -> tuple[Case | None, bool]:
    """Return the storm of the workflow's latest other case, and whether the recent cases make a storm.

    That of a case that is recent, and a storm that is not over. A person who has taken a storm over has
    what it brings from then on, too.
    """
    case, cases = run.case, run.workflow.storm.cases
    params = {"workflow": case.workflow, "since": since, "id": case.id, "cases": cases}
    # All cases are written, this one too, and of nothing else is asked.
    with run.session.no_autoflush:
        parent_id, recent = run.session.exec(_LOOK_BACK, params=params).one()
        storm = None if parent_id is None else run.session.get(Case, parent_id)
    return storm if storm is not None and storm.state != CLOSED else None, recent >= cases


_IS_RECENT = (
    Case.workflow == bindparam("workflow"),
    col(Case.opened_at) > bindparam("since", type_=UtcDateTime()),
)
_PARENT = (
    select(Case.parent_id)
    .where(*_IS_RECENT, Case.id != bindparam("id"))
    .order_by(col(Case.opened_at).desc(), col(Case.id).desc())
    .limit(1)
)
_RECENT = select(Case.id).where(*_IS_RECENT).limit(bindparam("cases"))
# Both at once: a statement costs more than what it asks for.
_LOOK_BACK: Any = select(
    _PARENT.scalar_subquery(),
    select(func.count()).select_from(_RECENT.subquery()).scalar_subquery(),
)


def _begun(session: Session, case: Case, since: datetime) -> Case | None:
    """Return the storm of a case's workflow that began since then and is not over."""
    query = select(Case).where(
        Case.workflow == _name_of(case.workflow), Case.opened_at > since, Case.state != CLOSED
    )
    return session.exec(query.order_by(col(Case.id).desc()).limit(1)).first()


def _name_of(workflow: str) -> str:
    """Return what the storms of a workflow are called, where a case has its workflow."""
    return f"storm of {workflow}"


def _begin(run: RunningCase, since: datetime) -> Case:
    """Open a storm over the recent cases of a workflow."""
    limit, first = run.workflow.storm, run.case
    name = _name_of(first.workflow)
    workflow = Workflow(name, [])
    keep_version(run.session, workflow)
    storm = Case(
        alarm_id=first.alarm_id,
        storm_of=first.workflow,
        rule=name,
        device_type="",
        site_id="",
        device_id=name,
        severity=first.severity,
        workflow=name,
        workflow_version=workflow.version,
        opened_at=run.now,
    )
    run.session.add(storm)
    run.session.flush()
    parent = run.beside(storm, workflow)
    memory = {"told": 0, "tell": limit.tell, "within_s": limit.within_s, "since": since.timestamp()}
    parent.progress.tracks = [Track("storm", begun=True, data=memory)]
    _wait(parent, SETTLES_S)
    _keep(parent)
    _adopt(run.session, storm)
    parent.note(
        "storm.began",
        f"storm {storm.id}: {limit.cases} cases of {first.workflow} within {limit.within_s:g} s",
        {"workflow": first.workflow},
    )
    return storm


def _adopt(session: Session, storm: Case) -> None:
    """Link the cases that were opened while the storm began, but those that somebody else works on."""
    memory = storm.progress["tracks"][0]["data"]
    strays = (
        select(Case.id)
        .where(Case.workflow == storm.storm_of, Case.opened_at > from_epoch(memory["since"]))
        .where(Case.opened_at <= storm.opened_at + timedelta(seconds=memory["within_s"]))
        .where(col(Case.parent_id).is_(None))
        .with_for_update(skip_locked=True)
    )
    ids = list(session.exec(strays))
    if ids:
        session.exec(update(Case).where(col(Case.id).in_(ids)).values(parent_id=storm.id))


def _tell_owner(run: RunningCase, figures: Figures) -> None:
    memory = _track(run).data
    is_first = memory["told"] == 0
    people = _owners(run, memory["tell"], figures)
    if not people:
        run.note("escalation.nobody", f"nobody is {memory['tell']} here", {"role": memory["tell"]})
        return
    memory["told"] = figures.cases
    run.note("storm.told", f"{figures.summary}: to {', '.join(one.name for one in people)}")
    template = "storm_began" if is_first else "storm_grown"
    ask = Ask("acknowledge") if is_first and not run.case.owner else None
    variables = _variables(run, figures)
    memory["reached"] = run.tell_all(people, memory["tell"], template, _TURNS, ask, variables)


def _end_if_calm(run: RunningCase) -> None:
    if run.case.state != OPEN or has_open_child(run.session, run.case.id or 0):
        return
    memory, figures = _track(run).data, measure(run.session, run.case)
    calm_at = figures.latest_at + timedelta(seconds=memory["within_s"])
    if run.now < calm_at:
        _wait(run, (calm_at - run.now).total_seconds())
        return
    people = _owners(run, memory["tell"], figures) if memory["told"] else []
    run.tell_all(people, memory["tell"], "storm_over", _TURNS, None, _variables(run, figures))
    run.end(CLOSED, f"its {figures.cases} cases have ended")


def _owners(run: RunningCase, role: str, figures: Figures) -> list[Person]:
    """Return who has a role at any of the sites, or who is on call."""
    if role.startswith(ON_CALL):
        return on_call(run, role)
    found: dict[str, Person] = {}
    for site in ("", *figures.sites):
        for person in find_role_holders(run.session, role, site):
            found.setdefault(person.contact_id, person)
    return list(found.values())


def _variables(run: RunningCase, figures: Figures) -> dict[str, object]:
    return {
        "storm": {
            "workflow": run.case.storm_of,
            "cases": figures.cases,
            "open": figures.open,
            "handed_over": figures.handed_over,
            "sites": len(figures.sites),
            "rules": ", ".join(figures.rules[:_SHOWN_RULES]),
        }
    }


def _track(run: RunningCase) -> Track:
    """Return the storm's one line of execution; a storm that has ended has none, and remembers nothing."""
    tracks = run.progress.tracks
    return tracks[0] if tracks else Track("storm", begun=True, data={"told": 0})


def _wait(run: RunningCase, seconds: float) -> None:
    _track(run).due_at = epoch_seconds(run.now) + seconds


def _keep(run: RunningCase) -> None:
    due_at = _track(run).due_at
    run.case.due_at = from_epoch(due_at) if due_at is not None and run.case.state == OPEN else None
    run.case.progress = msgspec.to_builtins(run.progress)
    run.session.add(run.case)


__all__ = ["Figures", "expire", "hear", "measure", "storm_of", "take_case"]
