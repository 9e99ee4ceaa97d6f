"""A report as one HTML page that is whole by itself: no script, nothing from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of the page."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page."""

    heading: str
    text: str = ""
    picture: str = ""
    """SVG of models.charts."""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    numbers: frozenset[int] = frozenset()
    """Columns of the table whose cells are numbers."""
    remarks: Sequence[str] = ()
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page, from top to bottom."""

    title: str
    subtitle: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    footer: str

    def render(self) -> str:
        """Return the page as HTML; whatever a file or a person wrote stays text."""
        return _template().render(
            title=self.title,
            subtitle=self.subtitle,
            tiles=self.tiles,
            sections=self.sections,
            footer=self.footer,
        )


@cache
def _template() -> Template:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html")
