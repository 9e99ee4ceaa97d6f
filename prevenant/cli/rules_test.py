"""`prevenant rules test`: the tests that rule authors write for their own book."""

from pathlib import Path
from typing import Annotated

import typer

from prevenant.book_tests import run_book_tests, write_junit
from prevenant.cli.shown import out
from prevenant.errors import BookError, ConfigurationError, Problem


def run_tests(
    tests: Annotated[
        list[Path] | None,
        typer.Argument(help="The test files.", show_default="rules.test.yaml"),
    ] = None,
    *,
    book: Annotated[
        Path | None, typer.Option(help="Another rule book than the files name.")
    ] = None,
    pattern: Annotated[str, typer.Option("-k", help="Only tests whose name holds this.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write the results as JUnit's XML.")] = None,
) -> None:
    """Run the tests of a rule book: readings in; alarms, steps of cases and messages out."""
    files = tests or [Path("rules.test.yaml")]
    results = []
    problems: list[Problem] = []
    for file in files:
        if not file.exists():
            remedy = "write tests there, as docs/rule-book.md has them, or name another file"
            problems.append(Problem(str(file), 1, 1, f"there is no such file: {remedy}"))
            continue
        try:
            results += [(file, one) for one in run_book_tests(file, book, pattern)]
        except BookError as error:
            problems += [one for one in error.problems if one not in problems]
    if problems:
        raise BookError(problems)
    if not results:
        shown = f" whose name holds {pattern!r}" if pattern else ""
        message = f"there is no test{shown} in {', '.join(map(str, files))}"
        raise ConfigurationError(message)
    for _, result in results:
        verdict = "[green]passed[/]" if result.passed else "[red]failed[/]"
        out.print(verdict, end=" ")
        out.print(result.name if result.passed else f"{result.name} ({result.place})", markup=False)
        for line in result.differences:
            out.print(f"       {line}", markup=False)
    failed = sum(not result.passed for _, result in results)
    out.print(f"{len(results) - failed} passed, {failed} failed")
    if junit is not None:
        write_junit(junit, results)
    raise typer.Exit(1 if failed else 0)
