"""What follows from a rule's alarm, as the book says it: a workflow, and words for what is the matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from notify import Templates
from workflows.definition import Workflow
from workflows.on_call import Schedule
from workflows.own_alarm import AUDIT_RULE, AUDIT_WORKFLOW, OWN_MESSAGE, own_workflow


@dataclass(frozen=True, slots=True)
class Route:
    """What follows from a rule's alarm: a workflow (or none), and what to say is the matter."""

    workflow: str | None
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Story:
    """What a rule book says of cases: new ones go by it."""

    workflows: Mapping[str, Workflow]
    routes: Mapping[str, Route]
    templates: Templates
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    kept: Mapping[str, Workflow] = field(default_factory=dict)
    """Workflows by version, as they are known to stand in the store."""

    def find(self, rule: str) -> tuple[Workflow, Mapping[str, str]] | None:
        """Return the workflow of a rule's alarms and the rule's message; None where nothing follows."""
        if rule == AUDIT_RULE:
            return self.workflows.get(AUDIT_WORKFLOW) or own_workflow(), OWN_MESSAGE
        route = self.routes.get(rule)
        if route is None or route.workflow is None or route.workflow not in self.workflows:
            return None
        return self.workflows[route.workflow], route.message
