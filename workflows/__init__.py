"""From alarms to people who act: cases, their steps, dispatch and escalation."""
