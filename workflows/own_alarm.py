"""What follows when the self-audit finds something lost, where the rule book does not say otherwise."""

from functools import cache

from prevenant.document import read_yaml
from workflows.definition import Workflow
from workflows.reading import read_workflows

AUDIT_RULE = "prevenant-audit"
"""The rule of the alarms that the self-audit raises; no rule of a book is called so."""
AUDIT_WORKFLOW = "self-audit"
AUDIT_SITE = "prevenant"
OPERATOR = "operator"
"""The role that looks after Prevenant itself."""

OWN_MESSAGE = {
    "en": (
        "{% if values.kind == 'model-out' %}A model cannot be believed"
        "{% else %}Prevenant has found something that would be lost{% endif %}: {{ values.reason }}."
    ),
    "fr": (
        "{% if values.kind == 'model-out' %}Un modèle n'est pas fiable"
        "{% else %}Prevenant a trouvé une chose qui serait perdue{% endif %} : {{ values.reason }}."
    ),
}

_WORKFLOWS = f"""
{AUDIT_WORKFLOW}:
  group_wait: 30s
  steps:
    - escalate: [{OPERATOR}, dispatcher]
      template: self_audit
      channels: [sms, voice, email]
      within: 15m
    - wait: alarm.cleared
      within: 24h
      otherwise:
        hand_off: [{OPERATOR}, dispatcher]
        template: self_audit
        channels: [sms, voice, email]
    - close: healed
"""


@cache
def own_workflow() -> Workflow:
    """Return the workflow of the self-audit's alarms for books that have none of this name."""
    document = read_yaml(_WORKFLOWS, [], "self-audit")
    if document is None:
        raise ValueError(_WORKFLOWS)
    return read_workflows([document], [])[AUDIT_WORKFLOW]
