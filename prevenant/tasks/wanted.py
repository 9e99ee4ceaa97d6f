"""What a task is to do: each kind with what was asked, as it is kept in the task's folder.

Files that came with it are named as they stand in that folder. Times are seconds since 1970.
"""

import msgspec

JOURNAL = "journal"
"""Stands for what the devices have sent, where data is named."""


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """History against a changed rule book."""

    main: str
    files: dict[str, str]
    against: int = 0
    """The version to compare with; 0 is the one in force."""
    since: float | None = None
    until: float | None = None
    alarms_only: bool = False
    nobody_answers: bool = False


class Trial(msgspec.Struct, frozen=True, tag="test"):
    """The tests of a rule book."""

    main: str
    files: dict[str, str]
    tests: str
    """The text of the test file."""
    pattern: str = ""


class Data(msgspec.Struct, frozen=True):
    """What a model is to learn from, to be judged on, or to speak of."""

    readings: str = JOURNAL
    """A file of readings, or `journal`."""
    failures: str = ""
    """A file of failures; none where it is empty."""
    on: str = ""
    """The device type whose fields are taken."""
    since: float | None = None


class Train(msgspec.Struct, frozen=True, tag="train"):
    """The next version of a model."""

    model: str
    data: Data
    predicts: str = ""
    features: tuple[str, ...] = ()
    from_visits: bool = False
    """Whether what technicians have confirmed since `data.since` counts as failures."""
    seed: int = 0
    cost_visit: float = 1.0
    cost_failure: float = 10.0


class Judge(msgspec.Struct, frozen=True, tag="judge"):
    """Versions of a model on the same data, side by side, each with a report."""

    model: str
    versions: tuple[int, ...]
    data: Data
    cost_visit: float = 1.0
    cost_failure: float = 10.0


class Predict(msgspec.Struct, frozen=True, tag="predict"):
    """What a version says of each device, as a file."""

    model: str
    version: int
    data: Data
    at: str = "last"
    """`last` row of each device, or `all`."""
    form: str = "csv"
    """`csv` or `parquet`."""


class Take(msgspec.Struct, frozen=True, tag="take"):
    """A model that was exported elsewhere, as the next version of its name."""

    file: str


Wanted = Replay | Trial | Train | Judge | Predict | Take


def kind_of(wanted: Wanted) -> str:
    """Return the kind of what is wanted, as `train`."""
    return str(wanted.__struct_config__.tag)


def subject_of(wanted: Wanted) -> str:
    """Return what a task is about: a model, or nothing for the rule book."""
    return wanted.model if isinstance(wanted, Train | Judge | Predict) else ""
