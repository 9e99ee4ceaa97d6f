"""The documents say what exists: settings, commands, routes, examples and links."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from fastapi.routing import APIRoute

from models.figures import FIGURES
from notify.gateway_file import PLACEHOLDERS, load_gateway
from prevenant.api.server import ROUTERS
from prevenant.book import load_book
from prevenant.book_tests import run_book_tests
from prevenant.cli import app
from prevenant.console import job_page, visit_page
from prevenant.kpis import KPIS
from prevenant.settings import describe_settings, load_settings
from prevenant.units import UNITS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]

_LINK = re.compile(r"\]\(([^)#\s]+)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def _with(book: str, block: str) -> str:
    """Return the text of a book in which the entries of `block` replace or join its own."""
    whole, part = yaml.compose(book, yaml.CLoader), yaml.compose(block, yaml.CLoader)
    assert whole is not None
    assert part is not None
    sections = {name.value: entries for name, entries in whole.value}
    for name, entries in part.value:
        if name.value not in sections:
            whole.value.append((name, entries))
            continue
        named = {entry.value for entry, _ in entries.value}
        kept = [pair for pair in sections[name.value].value if pair[0].value not in named]
        sections[name.value].value = kept + entries.value
    return str(yaml.serialize(whole, allow_unicode=True))


def commands(command: Any, path: str = "prevenant") -> list[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [path]
    return [name for one in inner.values() for name in commands(one, f"{path} {one.name}")]


def test_every_setting_is_documented() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    missing = [row[0] for row in describe_settings(load_settings()) if f"`{row[0]}`" not in text]
    assert missing == []


def test_every_command_is_documented() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    names = commands(typer.main.get_command(app))
    assert "prevenant rules check" in names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_figure_of_a_model_is_defined() -> None:
    text = (DOCS / "models.md").read_text("utf-8")
    rows = [f"| {figure.label} | {figure.definition} |" for figure in FIGURES.values()]
    assert [row for row in rows if row not in text] == []


def test_every_kpi_is_defined() -> None:
    text = (DOCS / "measures.md").read_text("utf-8")
    said = {one.name: one.said_in("en") for one in KPIS}
    rows = [
        f"| {one.title} (`{name}`) | {one.counts} | {one.times} | {one.left_out} |"
        for name, one in said.items()
    ]
    assert [row for row in rows if row not in text] == []


def test_every_unit_is_documented() -> None:
    text = (DOCS / "rule-book.md").read_text("utf-8")
    assert [unit for unit in UNITS if f"`{unit}`" not in text] == []


def test_every_route_is_documented() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    by_link = (visit_page.router, job_page.router)
    routers = (*(one for _, one in ROUTERS), *by_link)
    paths = [r.path for one in routers for r in one.routes if isinstance(r, APIRoute)]
    assert "/api/v1/alarms" in paths
    assert [path for path in paths if path.replace(":path", "") not in text] == []


def test_the_readme_quotes_the_rule_book() -> None:
    (quoted,) = blocks(ROOT / "README.md", "yaml")
    assert len(quoted.splitlines()) == 10
    assert quoted in (ROOT / "rules.yaml").read_text("utf-8")


def test_the_settings_of_the_readme_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    exports = re.findall(r"^ *export (\w+)=(\S+)$", text, re.MULTILINE)
    assert len(exports) == 3
    for name, value in exports:
        monkeypatch.setenv(name, value)
    shown = {row[0]: row[1] for row in describe_settings(load_settings())}
    assert [
        name for name, value in exports if "password" not in value and shown[name] != value
    ] == []


def test_the_commands_of_the_documents_can_be_typed() -> None:
    texts = [text for page in PAGES for text in blocks(page, "sh")]
    lines = "\n".join(texts).replace("\\\n", " ").replace("&& ", "\n")
    typed = re.findall(r"^ *(prevenant .+)", lines, re.MULTILINE)
    assert any("simulate replay" in one for one in typed)
    command: Any = typer.main.get_command(app)
    for one in typed:
        found, rest = command, shlex.split(one, comments=True)[1:]
        while hasattr(found, "commands"):
            found, rest = found.commands[rest[0]], rest[1:]
        found.make_context(one, rest).close()


def test_the_readme_names_targets_that_make_has() -> None:
    text = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^make (\w+)|`make (\w+)", text, re.MULTILINE))
    for target in {first or second for first, second in targets}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_eight_hops_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    hops = next(line for line in text.splitlines() if line.startswith("`ingest/mqtt →"))
    files = [f"{hop.strip()}.py" for hop in hops.strip("`").split("→")]
    assert len(files) == 8
    assert [file for file in files if not (ROOT / file).is_file()] == []


RULE_BOOK = blocks(DOCS / "rule-book.md", "yaml")
EXAMPLES = [(book, tests) for book, tests in pairwise(RULE_BOOK) if tests.startswith("tests:")]


@pytest.mark.parametrize("block", [b for b in RULE_BOOK if not b.startswith(("book:", "tests:"))])
def test_the_examples_of_the_rule_book_are_good(block: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(_with((ROOT / "rules.yaml").read_text("utf-8"), block), "utf-8")
    load_book(path)


def test_the_examples_of_tests_pass(tmp_path: Path) -> None:
    examples = [b for b in blocks(DOCS / "rule-book.md", "yaml") if b.startswith("book:")]
    path = tmp_path / "rules.test.yaml"
    for block in examples:
        path.write_text(block, "utf-8")
        results = run_book_tests(path, ROOT / "rules.yaml")
        assert [result.differences for result in results] == [[]]


@pytest.mark.parametrize(("block", "tests"), EXAMPLES, ids=lambda text: text.split()[1])
def test_the_examples_of_rules_do_what_is_said(block: str, tests: str, tmp_path: Path) -> None:
    assert not block.startswith("tests:")
    book = _with((ROOT / "rules.yaml").read_text("utf-8"), block)
    (tmp_path / "rules.yaml").write_text(book, "utf-8")
    (tmp_path / "rules.test.yaml").write_text(tests, "utf-8")
    results = run_book_tests(tmp_path / "rules.test.yaml")
    assert {result.name: result.differences for result in results} == {
        result.name: [] for result in results
    }


def test_the_example_of_a_gateway_is_good(tmp_path: Path) -> None:
    (text,) = [b for b in blocks(DOCS / "operating.md", "yaml") if b.startswith("send:")]
    (tmp_path / "sms-gateway.yaml").write_text(text, "utf-8")
    secrets = {"SMS_KEY": "k", "SMS_SECRET": "s" * 16}
    assert load_gateway(tmp_path / "sms-gateway.yaml", secrets) is not None
    assert [one for one in PLACEHOLDERS if f"{{{one}}}" not in text] == []


def anchors(page: Path) -> set[str]:
    """Return where links into a page may lead, as GitHub makes it of headings."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8"))
    inside = [(page.parent / file if file else page, to) for file, to in links if "://" not in file]
    assert [(file.name, to) for file, to in inside if to not in anchors(file)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
