"""`prevenant templates`: what a rule book says to people, by language and channel."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from prevenant.book import Book, load_book
from prevenant.book_templates import Preview, judge_templates, preview, used_by
from prevenant.cli.shown import out, printable, show_json, show_table
from prevenant.settings import load_settings

app = typer.Typer(help="What is said, by language and channel.", no_args_is_help=True)

BookOption = Annotated[
    Path | None, typer.Option("--book", help="The rule book.", show_default="the setting")
]


@app.command("list")
def list_templates(
    *,
    book: BookOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all templates: their languages and channels, whose they are, and who uses them."""
    good = _load(book)
    rows = [
        {
            "name": name,
            "languages": good.templates.languages_of(name),
            "channels": _channels(good, name),
            "from": "the book" if name in good.templates.own else "Prevenant",
            "used_by": used_by(good, name),
        }
        for name in good.templates.names
    ]
    if as_json:
        show_json(rows)
        return
    shown = ([_joined(value) for value in row.values()] for row in rows)
    show_table(["template", "languages", "channels", "from", "used by"], shown)


@app.command("preview")
def preview_template(
    name: Annotated[str, typer.Argument(help="The template's name.")],
    *,
    lang: Annotated[str, typer.Option(help="The reader's language.")] = "en",
    channel: Annotated[str, typer.Option(help="sms, voice, email, whatsapp or chat.")] = "sms",
    html: Annotated[bool, typer.Option("--html", help="Print the e-mail's HTML alone.")] = False,
    book: BookOption = None,
) -> None:
    """Show what a template says, with sample values; of an SMS its segments, too."""
    worded = preview(_load(book), name, lang, channel)
    if html:
        typer.echo(worded.html)
        return
    for line in _lines(worded):
        out.print(line, markup=False)


@app.command("check")
def check_templates(*, book: BookOption = None) -> None:
    """Judge all templates: languages and channels that are missing, unknown variables, length."""
    good = _load(book)
    findings = list(judge_templates(good))
    for one in findings:
        sys.stderr.write(f"{printable(one)}\n")
    if findings:
        raise typer.Exit(1)
    out.print(f"{len(good.templates.names)} templates: good")


def _load(book: Path | None) -> Book:
    return load_book(book or load_settings().book)


def _channels(book: Book, name: str) -> list[str]:
    templates = book.templates
    found = [templates.channels_of(name, one) for one in templates.languages_of(name)]
    return list(dict.fromkeys(channel for some in found for channel in some))


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _lines(worded: Preview) -> list[str]:
    lines = [] if worded.is_own_words else [f"({worded.channel} has no words of its own)"]
    if worded.channel == "email":
        lines.append(f"Subject: {worded.subject}")
        lines += [f"Calendar: {worded.calendar}"] if worded.calendar else []
        lines.append("")
    lines += [printable(line) for line in worded.text.split("\n")]
    if worded.channel == "sms":
        plural = "" if worded.segments == 1 else "s"
        said = f"{worded.segments} segment{plural}, {len(worded.text)} characters"
        lines += ["", f"{said}, {worded.encoding}"]
    return lines
