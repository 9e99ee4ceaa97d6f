"""How well the service is done, in figures: each with its definition, by place and by time."""

from prevenant.kpis.definitions import KPIS, Kpi, Words, kpi_called
from prevenant.kpis.figures import Figure
from prevenant.kpis.measuring import Asked, Measured, Part, measure, view_measured
from prevenant.kpis.periods import Every
from prevenant.kpis.sheets import as_csv
from prevenant.kpis.showing import show_seconds, show_value

__all__ = [
    "KPIS",
    "Asked",
    "Every",
    "Figure",
    "Kpi",
    "Measured",
    "Part",
    "Words",
    "as_csv",
    "kpi_called",
    "measure",
    "show_seconds",
    "show_value",
    "view_measured",
]
