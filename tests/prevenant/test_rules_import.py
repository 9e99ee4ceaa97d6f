"""`prevenant rules import`: the book to stdout or a file, the list to stderr, one error for bad input."""

from pathlib import Path

import pytest

from tests.prevenant.test_cli import prevenant

ROOT = Path(__file__).parents[2]
ROOMS = str(ROOT / "tests/rules/importing/prometheus_rooms.yml")


def test_the_book_goes_to_stdout_and_the_list_to_stderr() -> None:
    out, errors = prevenant("rules", "import", "prometheus", ROOMS)
    lines = errors.splitlines()
    assert out.startswith(f"# Carried over from {ROOMS}: alerting rules of Prometheus.\n")
    assert "\n    when: room_temperature_celsius > 30\n" in out
    assert f"{ROOMS}: groups[0].rules[5] (TargetDown): `up` says whether" in errors
    assert lines[-1] == "3 rules carried over, 2 in part, 1 not"
    assert all(line.startswith(f"{ROOMS}: ") for line in lines[:-1])


def test_the_written_book_passes_the_check(tmp_path: Path) -> None:
    book = tmp_path / "book.yaml"
    out, _ = prevenant("rules", "import", "prometheus", ROOMS, "--out", str(book))
    assert out == ""
    assert "5 rules on 4 device types" in prevenant("rules", "check", str(book))[0]
    _, errors = prevenant("rules", "import", "prometheus", ROOMS, "--out", str(book), status=1)
    assert errors == f"error: {book} is there already: name a new file with --out\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prometeus", ROOMS], "there is no format 'prometeus': did you mean 'prometheus'?"),
        (["prometheus", "none.yml"], "there is no file none.yml"),
        (["prometheus", "."], "cannot be read"),
        (["prometheus", "bytes"], "cannot be read"),
        (["thingsboard", ROOMS], "this is not JSON"),
        (["prometheus", ROOMS, "--out", "none/book.yaml"], "cannot be written"),
    ],
)
def test_bad_input_is_one_clear_error(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    out, errors = prevenant("rules", "import", *arguments, folder=tmp_path, status=1)
    assert out == ""
    assert words in errors
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
