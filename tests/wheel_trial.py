"""Tries a built wheel where a user would: in a clean environment, beside the PyPI package `rules`.

python -m tests.wheel_trial dist/prevenant-….whl
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CONSTRAINTS = Path("constraints.txt").resolve()


def try_wheel(wheel: Path) -> None:
    """Install the wheel and run it; raise CalledProcessError where anything fails."""
    with tempfile.TemporaryDirectory(prefix="prevenant-wheel-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        command = str(folder / "venv" / "bin" / "prevenant")
        quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(folder, python, *quiet, "-c", str(CONSTRAINTS), f"{wheel.resolve()}[demo]", "rules")
        said = _run(folder, command, "--version")
        assert said.startswith("prevenant "), said
        theirs = "import rules, sys; assert hasattr(rules, 'RuleSet'), rules.__file__"
        _run(folder, python, "-c", theirs)
        ours = "import prevenant, rules; assert '_app' in rules.__file__, rules.__file__"
        _run(folder, python, "-c", ours)
        site = _run(folder, python, "-c", "import prevenant; print(prevenant.__path__[0])").strip()
        book = str(Path(site) / "_app" / "rules.yaml")
        assert "good" in _run(folder, command, "rules", "check", book)
        tests = str(Path(site) / "_app" / "rules.test.yaml")
        assert " 0 failed" in _run(folder, command, "rules", "test", tests)
        names = {path.name for path in Path(site).parent.iterdir()}
        unwanted = names & {"ingest", "workflows", "notify", "simulators", "tests", "benchmarks"}
        assert not unwanted, f"the wheel puts {unwanted} into site-packages"
        told = _run(folder, command, "demo", "--headless", "--until-told")
        assert "Every use case has told its people." in told


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        done.check_returncode()
    return done.stdout


if __name__ == "__main__":
    try_wheel(Path(sys.argv[1]))
    sys.stdout.write(
        "the wheel installs beside the PyPI package rules, and the demo runs from it\n"
    )
