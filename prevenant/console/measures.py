"""The page of measures: how well the service is done, each figure with its definition, trend and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_skeleton
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from sqlmodel import Session, col, select

from prevenant.api.access import Actor, Role, Viewer
from prevenant.api.live import main_zone
from prevenant.console.shell import language_of, show
from prevenant.console.trend import draw_trend
from prevenant.crm.tables import Customer, Site
from prevenant.domain import Severity
from prevenant.kpis import Asked, Every, Figure, Kpi, Measured, Part, as_csv, measure, show_value
from prevenant.kpis.definitions import PERCENT, SECONDS
from prevenant.kpis.measuring import By, order_of

router = APIRouter(include_in_schema=False)

SPANS = (7, 30, 90, 365)
_BY_DAY, _BY_WEEK = 14, 120
"""Up to so many days a trend is by day, by week."""
_TIMES = (
    "time_to_detect",
    "time_to_tell",
    "time_to_tell_customer",
    "time_to_acknowledge",
    "time_to_arrive",
    "time_to_resolve",
    "handling_time",
)
_SHARES = ("first_visit_fix", "told_before_call", "solved_before_call")
_SURVEYS = ("csat", "nps", "ces")
SECTIONS = (("times", _TIMES), ("shares", _SHARES), ("surveys", _SURVEYS))
_GROUPS_SHOWN = 50


class Chosen(BaseModel):
    """What somebody wants to see; what cannot be is left aside."""

    days: str = "30"
    by: str = ""
    every: str = ""
    site: str = ""
    customer: str = ""
    rule: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown: of how many days, by what, and of what alone."""

    days: int
    by: By | None
    every: Every
    only: Mapping[str, str]
    """By what it is narrowed down: `site`, `customer`, `rule`, `severity`; an empty one by nothing."""

    def address(self, path: str = "/measures", **changes: str) -> str:
        """Return the address of this choice with other values for some; an empty one leaves it out."""
        values = {"days": str(self.days), "by": self.by or "", "every": self.every, **self.only}
        return f"{path}?{urlencode({k: v for k, v in {**values, **changes}.items() if v})}"

    def asked(self, now: datetime, zone: ZoneInfo, actor: Actor) -> Asked:
        """Return the question about the days up to now."""
        word = self.only["severity"]
        return Asked(
            since=now - timedelta(days=self.days),
            until=now,
            every=self.every,
            by=self.by,
            zone=zone,
            sites=actor.sites(Role.VIEWER),
            site=self.only["site"] or None,
            customer=self.only["customer"] or None,
            rule=self.only["rule"] or None,
            severity=Severity[word.upper()] if word else None,
        )


@router.get("/measures")
def show_measures(request: Request, actor: Viewer, chosen: Annotated[Chosen, Query()]) -> Response:
    """Show the figures of the last days, with what they were before."""
    choice, language = read_choice(chosen), language_of(request)
    now = request.app.state.clock.now()
    return show(
        request,
        "measures.html",
        lambda session: _measures(session, choice, actor, now, language),
        actor,
    )


@router.get("/measures.csv")
def download_measures(
    request: Request, actor: Viewer, chosen: Annotated[Chosen, Query()]
) -> Response:
    """Give the same figures as CSV, with their definitions."""
    choice, language = read_choice(chosen), language_of(request)
    now = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        zone = main_zone(session)
        found = measure(session, choice.asked(now, zone, actor))
    # The mark tells spreadsheets that it is UTF-8.
    text = "\ufeff" + as_csv(found, zone, language)
    name = f"measures-{now.astimezone(zone):%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def read_choice(chosen: Chosen) -> Choice:
    """Return what is to be shown for what was asked in an address."""
    days = next((one for one in SPANS if str(one) == chosen.days), 30)
    usual: Every = "day" if days <= _BY_DAY else "week" if days <= _BY_WEEK else "month"
    only = {name: getattr(chosen, name) for name in ("site", "customer", "rule", "severity")}
    if only["severity"] not in {one.word for one in Severity}:
        only["severity"] = ""
    return Choice(
        days,
        next((one for one in get_args(By) if one == chosen.by), None),
        next((one for one in get_args(Every) if one == chosen.every), usual),
        only,
    )


def _measures(
    session: Session, choice: Choice, actor: Actor, now: datetime, language: str
) -> dict[str, Any]:
    zone = main_zone(session)
    asked = choice.asked(now, zone, actor)
    span = asked.until - asked.since
    before = replace(asked, since=asked.since - span, until=asked.since, every=None)
    earlier = {
        (one.kpi.name, part.group): part.whole
        for one in measure(session, before)
        for part in one.parts
    }
    shown = {
        one.kpi.name: _view(one, earlier, choice, zone, language) for one in measure(session, asked)
    }
    sites = select(Site.id, Site.name).order_by(Site.name)
    if asked.sites is not None:
        sites = sites.where(col(Site.id).in_(asked.sites))
    return {
        "choice": choice,
        "spans": SPANS,
        "sections": [
            _view_section(name, [shown[one] for one in names]) for name, names in SECTIONS
        ],
        "sites": session.exec(sites).all(),
        "customer_name": _customer_name(session, choice.only["customer"]),
        "severities": [one.word for one in reversed(Severity)],
        "is_empty": not any(part["count"] for one in shown.values() for part in one["parts"]),
    }


def _view_section(name: str, figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return figures that stand together; beside them a row for each group that any of them has."""
    groups: dict[str, dict[str, Any]] = {}
    for number, figure in enumerate(figures):
        for part in figure["parts"]:
            cells = [None] * len(figures)
            row = groups.setdefault(part["group"], {**part, "cells": cells})
            row["cells"][number] = part
    rows = sorted(groups.values(), key=lambda row: row["order"])
    more = max(0, len(rows) - _GROUPS_SHOWN)
    return {"name": name, "figures": figures, "rows": rows[:_GROUPS_SHOWN], "more": more}


def _customer_name(session: Session, customer_id: str) -> str:
    customer = session.get(Customer, customer_id) if customer_id else None
    return customer.name if customer else customer_id


def _view(
    measured: Measured,
    earlier: Mapping[tuple[str, str], Figure],
    choice: Choice,
    zone: ZoneInfo,
    language: str,
) -> dict[str, Any]:
    kpi = measured.kpi
    parts = [
        _view_part(kpi, part, earlier.get((kpi.name, part.group), Figure(None)), choice, language)
        for part in measured.parts
    ]
    for view, part in zip(parts, measured.parts, strict=True):
        view["trend"] = [
            {
                "period": _period(begin, choice.every, zone, language),
                "value": show_value(kpi, figure.value, language),
                "count": figure.count,
            }
            for begin, figure in part.trend
        ]
    return {"name": kpi.name, "words": kpi.said_in(language), "parts": parts}


def _view_part(
    kpi: Kpi, part: Part, before: Figure, choice: Choice, language: str
) -> dict[str, Any]:
    whole = part.whole
    narrowed = {choice.by: part.group, "by": ""} if choice.by and part.group else {}
    return {
        "group": part.group,
        "label": part.label,
        "order": order_of(choice.by, part),
        "value": show_value(kpi, whole.value, language),
        "high": show_value(kpi, whole.high, language) if whole.high is not None else "",
        "count": whole.count,
        "missing": whole.missing,
        "before": show_value(kpi, before.value, language) if before.count else "",
        "compared": _compare(kpi, whole, before),
        "address": choice.address(**narrowed) if narrowed else "",
        # A share of 90 and one of 95 are near each other, and a time of 0 is the best there is.
        "chart": draw_trend(
            [figure.value for _, figure in part.trend],
            0.0 if kpi.unit in {SECONDS, PERCENT} else None,
        ),
    }


def _compare(kpi: Kpi, now: Figure, before: Figure) -> str:
    """Return `better`, `worse` or `same`; nothing where there is nothing to compare."""
    if now.value is None or before.value is None:
        return ""
    if now.value == before.value:
        return "same"
    return "better" if (now.value < before.value) == (kpi.better == "lower") else "worse"


def _period(begin: datetime, every: Every, zone: ZoneInfo, language: str) -> str:
    """Return 4 May, or May 2026."""
    if every == "month":
        return str(format_skeleton("yMMM", begin, tzinfo=zone, locale=language))
    return str(format_date(begin.astimezone(zone).date(), "d MMM y", locale=language))
