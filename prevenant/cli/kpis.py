"""`prevenant kpis`: how well the service is done, in figures."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from prevenant.api.live import main_zone
from prevenant.cli.alarms import AsJson
from prevenant.cli.shown import show_json, show_table, shown_time
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.kpis import Asked, Figure, Kpi, Measured, as_csv, measure, show_value, view_measured
from prevenant.moments import read_moment
from prevenant.settings import load_settings
from prevenant.store import open_store

_BY = ("site", "customer", "rule", "severity")
_EVERY = ("day", "week", "month")


def show_kpis(  # noqa: PLR0913  each option is one of the question's own
    *,
    kpi: Annotated[list[str] | None, typer.Option(help="Only this figure; more than once.")] = None,
    since: Annotated[str, typer.Option(help="Since when: in ISO 8601, or how long ago.")] = "30d",
    until: Annotated[str, typer.Option(help="Until when.", show_default="now")] = "0s",
    every: Annotated[str | None, typer.Option(help="By day, week or month.")] = None,
    by: Annotated[str | None, typer.Option(help="By site, customer, rule or severity.")] = None,
    site: Annotated[str | None, typer.Option(help="Only at this site.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only of this customer.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only of this severity.")] = None,
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the definitions.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how well the service is done: times, shares and surveys, each by its definition."""
    current = load_settings()
    now = current.make_clock().now()
    with open_store(current) as store, store.read() as session:
        zone = main_zone(session)
        asked = Asked(
            since=_read(since, now),
            until=_read(until, now),
            names=kpi or (),
            every=_one_of("--every", every, _EVERY),
            by=_one_of("--by", by, _BY),
            zone=zone,
            site=site,
            customer=customer,
            rule=rule,
            severity=_severity(severity),
        )
        found = measure(session, asked)
    if csv:
        sys.stdout.write(as_csv(found, zone, language))
    elif as_json:
        show_json([view_measured(one, language) for one in found])
    else:
        headings = ["figure", *([by] if by else []), *(["from (UTC)"] if every else [])]
        rows = [row for one in found for row in _rows(one, language, asked)]
        show_table([*headings, "value", "nine of ten within", "of", "without"], rows)


def _rows(measured: Measured, language: str, asked: Asked) -> list[list[str]]:
    title = measured.kpi.said_in(language).title
    rows = []
    for part in measured.parts:
        group = [part.label] if asked.by else []
        for begin, figure in [(None, part.whole), *part.trend]:
            when = [shown_time(begin) or "all"] if asked.every else []
            rows.append([title, *group, *when, *_cells(measured.kpi, figure, language)])
    return rows


def _cells(kpi: Kpi, figure: Figure, language: str) -> list[str]:
    high = show_value(kpi, figure.high, language) if figure.high is not None else ""
    without = str(figure.missing or "")
    return [show_value(kpi, figure.value, language), high, str(figure.count), without]


def _read(text: str, now: datetime) -> datetime:
    return datetime.fromtimestamp(read_moment(text, now), UTC)


def _one_of(option: str, value: str | None, known: tuple[str, ...]) -> Any:
    if value is not None and value not in known:
        message = f"{option} {value}: write one of {', '.join(known)}"
        raise ConfigurationError(message)
    return value


def _severity(word: str | None) -> Severity | None:
    words = {one.word: one for one in Severity}
    return words[_one_of("--severity", word, tuple(words))] if word is not None else None
