"""The versions of workflows: a case goes on with the one that it began with."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from prevenant.store import insert_once
from workflows.definition import Workflow, decode_steps, encode_steps
from workflows.running import RunningCase
from workflows.story import Story
from workflows.tables import Case, WorkflowVersion


def new_versions(session: Session) -> dict[str, Workflow]:
    """Return the versions that a transaction has read or written: in the store once it is committed."""
    found: dict[str, Workflow] = session.info.setdefault("workflows", {})
    return found


def keep_version(
    session: Session, workflow: Workflow, kept: Mapping[str, Workflow] | None = None
) -> None:
    """Write the steps of a workflow where they are not known to be `kept`."""
    version = workflow.version
    if version not in (kept or ()) and version not in new_versions(session):
        steps = encode_steps(workflow)
        insert_once(session, WorkflowVersion(version=version, name=workflow.name, steps=steps))
        new_versions(session)[version] = workflow


def running(session: Session, story: Story, case: Case, now: datetime) -> RunningCase:
    """Return a case with the version of the workflow that it began with."""
    version = case.workflow_version
    workflow = story.kept.get(version) or new_versions(session).get(version)
    if workflow is None:
        row = session.get_one(WorkflowVersion, version)
        workflow = new_versions(session)[version] = decode_steps(case.workflow, row.steps)
    return run_case(session, story, workflow, case, now)


def run_case(
    session: Session, story: Story, workflow: Workflow, case: Case, now: datetime
) -> RunningCase:
    """Return a case with a workflow, and what the book in force says beside it."""
    return RunningCase(session, story.templates, workflow, case, now, story.schedules)
