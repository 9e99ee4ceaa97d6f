"""Curves as pages show them: with a caption in words, a table for who sees no picture, and plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from ingest.history import Span
from prevenant.api.access import Actor
from prevenant.api.history import Curve, Histories, History, Limit
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.console.shell import show_plain
from prevenant.domain import DeviceType
from rules.bounds import bounds_of
from rules.rule import Rule

_ROWS = 24
_DAY = timedelta(hours=20)
_REST = 12
"""So many values that no rule looks at are drawn at first."""
_SYMBOLS = {
    "celsius": "°C",
    "fahrenheit": "°F",
    "kelvin": "K",
    "percent": "%",
    "ampere": "A",
    "milliampere": "mA",
    "volt": "V",
    "millivolt": "mV",
    "watt": "W",
    "kilowatt": "kW",
    "kilowatthour": "kWh",
    "hertz": "Hz",
    "kilohertz": "kHz",
    "rpm": "rpm",
    "pascal": "Pa",
    "hectopascal": "hPa",
    "kilopascal": "kPa",
    "bar": "bar",
    "metre": "m",
    "millimetre": "mm",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "decibel": "dB",
    "lux": "lx",
    "number": "",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that is drawn in: what it is, by a code that the page has words for."""

    at: datetime
    what: str
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be drawn of a device."""

    device_type: DeviceType
    device_id: str
    since: datetime
    until: datetime
    focus: datetime | None = None
    rule: Rule | None = None
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around the curves: where they belong, and where they go on."""

    title: str
    back: str
    live: str = ""
    """Where the readings come as they arrive, where they are to be followed."""


def show_charts(
    request: Request, picture: Picture, around: Around, zone: ZoneInfo, actor: Actor
) -> Response:
    """Render curves: as a part of a page where a script asks, else as a page of their own."""
    span = Span(
        epoch_seconds(picture.since),
        epoch_seconds(picture.until),
        epoch_seconds(picture.focus) if picture.focus else inf,
    )
    histories: Histories = request.app.state.histories
    rule = picture.rule
    history = histories.draw(picture.device_type, picture.device_id, span, rule)
    charts = view_charts(picture, history, zone.key)
    asks_of_model = bool(
        rule and bounds_of(rule) and not any(curve.is_asked for curve in history.curves)
    )
    values = {
        "title": around.title,
        "back": around.back,
        "live": f"{around.live}?after={history.last_seq}" if around.live else "",
        "zone": zone,
        "history": history,
        "charts": charts,
        "is_predicted": asks_of_model,
        "is_long": picture.until - picture.since > _DAY,
    }
    is_part = request.headers.get("hx-request") == "true"
    return show_plain(
        request, "charts.html" if is_part else "charts_page.html", values, actor=actor
    )


def view_charts(picture: Picture, history: History, zone: str) -> list[dict[str, Any]]:
    """Return each curve with its words, its rows and the data that a script draws."""
    marks = [
        {"at": epoch_seconds(one.at), "what": one.what, "severity": one.severity}
        for one in picture.marks
    ]
    shown = [curve for curve in history.curves if curve.is_asked]
    rest = [curve for curve in history.curves if not curve.is_asked]
    return [
        {
            "name": curve.name,
            "unit": unit_of(curve.unit),
            "curve": curve,
            "low": min((value for _, value in curve.points), default=None),
            "high": max((value for _, value in curve.points), default=None),
            "last": curve.points[-1][1] if curve.points else None,
            "limits": curve.limits,
            "rows": [(from_epoch(at), value) for at, value in rows_of(curve)],
            "is_open": curve.is_asked or (not shown and number < _REST),
            "data": _data_of(curve, history, marks, zone),
        }
        for number, curve in enumerate([*shown, *rest])
    ]


def rows_of(curve: Curve) -> list[tuple[float, float]]:
    """Return so many points of a curve that a table can be read, the extremes among them."""
    points = curve.points
    if len(points) <= _ROWS:
        return points
    low, high = min(points, key=_value), max(points, key=_value)
    chosen = {points[number * (len(points) - 1) // (_ROWS - 3)] for number in range(_ROWS - 2)}
    return sorted({*chosen, low, high})


def unit_of(unit: str) -> str:
    """Return a unit as it stands behind a number."""
    return _SYMBOLS.get(unit, unit.replace("_", " "))


def _value(point: tuple[float, float]) -> float:
    return point[1]


def _data_of(
    curve: Curve, history: History, marks: list[dict[str, Any]], zone: str
) -> dict[str, Any]:
    return {
        "name": curve.name,
        "unit": unit_of(curve.unit),
        "flag": curve.is_flag,
        "since": history.span.since,
        "until": history.span.until,
        "zone": zone,
        "points": _columns(curve.points),
        "limits": [_view_limit(one) for one in curve.limits],
        "marks": marks,
    }


def _view_limit(limit: Limit) -> dict[str, Any]:
    return {
        "label": f"{limit.sign} {limit.words or format(limit.value, '.6g')}",
        "sign": limit.sign,
        "value": limit.value,
        "severity": limit.severity,
        "clears": limit.clears,
        "points": _columns(limit.points),
    }


def _columns(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    return [[round(at, 3) for at, _ in points], [value for _, value in points]]
