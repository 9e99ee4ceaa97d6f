"""What a case knows: the variables of its templates, and the values of its conditions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from notify import WORDING_ERRORS, local_zone
from prevenant.domain import DAYS, Severity, first_name_of
from workflows.definition import FACTS
from workflows.members import describe_alarms

if TYPE_CHECKING:
    from workflows.running import RunningCase


def say_variables(run: "RunningCase", language: str, zone: str) -> dict[str, Any]:
    """Return what templates of a case can say, with the rule's message in `language`."""
    place, alarm, order = run.place, run.alarm, run.last_order()
    shared: dict[str, Any] = {
        "case": {"number": run.case.id, "owner": run.case.owner},
        "severity": Severity(run.case.severity).word,
        "device": {
            "id": place.device_id,
            "name": place.device_id.rpartition("/")[2],
            "label": place.label,
            "place": place.place or place.label,
            "type": place.type,
            "camera_url": place.camera_url,
            "loudspeaker_url": place.loudspeaker_url,
        },
        "site": {
            "id": place.site_id,
            "name": place.site_name,
            "address": place.address or place.site_name,
        },
        "customer": {
            "id": place.customer_id,
            "name": place.customer.name if place.customer else place.customer_name,
        },
        "values": alarm.values,
        "prediction": predictions_in(alarm.values, language),
        "answer": run.progress.answers,
        **describe_alarms(run.session, run.case),
    }
    if order is not None:
        name = order.technician_name
        shared["technician"] = {"name": name, "first_name": first_name_of(name)}
        shared["visit"] = {"start": order.visit_start, "end": order.visit_end}
    message = _say_message(run, language, shared, zone)
    shared["alarm"] = {"rule": alarm.rule, "message": message, "reason": alarm.reason}
    return shared


def condition_values(run: "RunningCase") -> dict[str, Any]:
    """Return what conditions can compare; None is not known."""
    place, alarm, order = run.place, run.alarm, run.work_order()
    local = run.now.astimezone(local_zone(place.timezone))
    predictions = predictions_in(alarm.values)
    return {
        "severity": run.case.severity,
        "rating": run.case.rating,
        "alarm.rule": alarm.rule,
        "device.id": place.device_id,
        "device.type": place.type,
        "device.label": place.label or None,
        "device.place": place.place or None,
        "site.id": place.site_id or None,
        "site.name": place.site_name or None,
        "site.area": place.area_id or None,
        "customer.id": place.customer_id or None,
        "customer.name": place.customer_name or None,
        "customer.language": place.customer.language if place.customer else None,
        "technician.id": order.technician_id if order else None,
        "technician.name": order.technician_name if order else None,
        "case.owner": run.case.owner or None,
        "local.time": local.strftime("%H:%M"),
        "local.date": local.strftime("%Y-%m-%d"),
        "local.day": DAYS[local.weekday()],
        "local.hour": local.hour + local.minute / 60,
        **{fact: fact in run.progress.facts for fact in FACTS},
        **_prefixed("values", alarm.values),
        **_prefixed("prediction", predictions),
        **_prefixed("answer", run.progress.answers),
    }


def predictions_in(values: Mapping[str, Any], language: str = "en") -> dict[str, Any]:
    """Return what models said in a reading: `compressor.probability` is `probability`.

    Texts are in `language` where they have it. Of several models, one that says something goes first.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if "." in name:
            said = _in_language(value, language) if isinstance(value, Mapping) else value
            key = name.rpartition(".")[2]
            if found.get(key) in {None, ""}:
                found[key] = said
    return found


def _in_language(texts: Mapping[str, Any], language: str) -> Any:
    """Return a text by language; without one of that language the English one, or any."""
    known = [
        one for one in (language, language.partition("-")[0], "", "en", *texts) if texts.get(one)
    ]
    return texts[known[0]] if known else ""


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _prefixed(f"{prefix}.{name}", value)
        elif isinstance(value, str | bool | int | float):
            found[f"{prefix}.{name}"] = value
    return found


def _say_message(run: "RunningCase", language: str, shared: Mapping[str, Any], zone: str) -> str:
    """Return what the rule says is the matter; where that cannot be worded, the rule's name."""
    texts = run.progress.message
    known = [one for one in (language, "en", "", *texts) if texts.get(one)]
    spoken = known[0] if known else ""
    text = texts.get(spoken) or f"{run.case.rule}."
    try:
        message = run.templates.render_text(text, spoken or language, shared, zone, to_people=True)
        if not shared["others"]:
            return message
        told = {**shared, "alarm": {"message": message}}
        return str(run.templates.render("with_others", language, "sms", told, zone))
    except WORDING_ERRORS:
        return f"{run.case.rule}."
