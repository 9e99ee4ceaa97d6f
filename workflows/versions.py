"""The versions of workflows: a case goes on with the one that it began with."""

from datetime import datetime

from sqlmodel import Session

from workflows.definition import Workflow, decode_steps, encode_steps
from workflows.holding import hold
from workflows.running import RunningCase
from workflows.story import Story
from workflows.tables import Case, WorkflowVersion


def keep_version(session: Session, workflow: Workflow) -> None:
    """Write the steps of a workflow where they are not known yet."""
    if session.get(WorkflowVersion, workflow.version) is not None:
        return
    # Another worker may be about to write the same.
    hold(session, f"workflow {workflow.version}")
    steps = encode_steps(workflow)
    session.merge(WorkflowVersion(version=workflow.version, name=workflow.name, steps=steps))
    session.flush()


def running(session: Session, story: Story, case: Case, now: datetime) -> RunningCase:
    """Return a case with the version of the workflow that it began with."""
    version = session.get_one(WorkflowVersion, case.workflow_version)
    workflow = decode_steps(case.workflow, version.steps)
    return run_case(session, story, workflow, case, now)


def run_case(
    session: Session, story: Story, workflow: Workflow, case: Case, now: datetime
) -> RunningCase:
    """Return a case with a workflow, and what the book in force says beside it."""
    return RunningCase(session, story.templates, workflow, case, now, story.schedules)
