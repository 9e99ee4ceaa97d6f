"""Why an alarm was raised or cleared, in words."""

from collections.abc import Mapping
from typing import Any

from prevenant.durations import format_duration
from rules.book import Rule


def reason_of(rule: Rule, kind: str, values: Mapping[str, Any]) -> str:
    """Return one sentence: the condition, how long it held, and the values that decided."""
    seen = ", ".join(f"{name} = {_shown(value)}" for name, value in values.items())
    seen = f" ({seen})" if seen else ""
    if kind == "cleared":
        condition = rule.clear_text or f"not ({rule.when_text})"
        return f"`{condition}` holds{_for(rule.clear_for_s)}{seen}"
    if kind == "passed":
        return f"`{rule.when_text}` held{_for(rule.for_s)}, and was over before it was known{seen}"
    return f"`{rule.when_text}` holds{_for(rule.for_s)}{seen}"


def _for(seconds: float) -> str:
    return f" for {format_duration(seconds)}" if seconds else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
