"""One version of a model as a folder: what it says, what it is made of, and checksums of both.

    manifest.json      format, name and version, who made it, and the checksum of every other file
    card.json          what the model is: target, features, training data, figures
    estimator.skops    scikit-learn's estimator; never a pickle
    features.json      the definition of its features, for a reader's eyes
    metrics.json       its figures, for a reader's eyes
    report.html        the report on its training

A folder that is damaged, foreign or too new is refused with one reason, by ModelRefused and nothing else.
"""

import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from models.trust import Untrusted, dump_estimator, load_estimator
from prevenant import __version__
from prevenant.errors import ModelRefused

FORMAT = 1
"""What this version writes, and the newest that it reads."""

MANIFEST, CARD, ESTIMATOR = "manifest.json", "card.json", "estimator.skops"
FEATURES, METRICS, REPORT = "features.json", "metrics.json", "report.html"

_NEEDED = (CARD, ESTIMATOR)
KNOWN_FILES = (*_NEEDED, FEATURES, METRICS, REPORT)

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec makes of bytes that are no JSON; not all of its errors are its own."""

C = TypeVar("C", bound=msgspec.Struct)


class Manifest(msgspec.Struct, frozen=True):
    """What a folder holds, and how to see that it is whole."""

    format: int
    name: str
    version: int
    made_by: str
    """The version of Prevenant."""
    scikit_learn: str
    files: dict[str, str]
    """SHA-256 of each file."""
    seal: str = ""
    """SHA-256 of the rest of this."""

    def sealed(self) -> "Manifest":
        """Return the same with its seal."""
        bare = msgspec.structs.replace(self, seal="")
        return msgspec.structs.replace(
            self, seal=_sha256(msgspec.json.encode(bare, order="sorted"))
        )


def write_folder(
    folder: Path, name: str, version: int, card: msgspec.Struct, estimator: Any, report: str
) -> None:
    """Write a version into the empty folder `folder`, durably. Raises ModelRefused, OSError."""
    try:
        data = dump_estimator(estimator)
    except (Untrusted, TypeError) as error:
        message = f"the model {name} cannot be stored: {error}"
        raise ModelRefused(message) from error
    files = {CARD: _pretty(card), ESTIMATOR: data}
    for file, attribute in ((FEATURES, "definition"), (METRICS, "metrics")):
        if (part := getattr(card, attribute, None)) is not None:
            files[file] = _pretty(part)
    if report:
        files[REPORT] = report.encode()
    sums = {file: _sha256(content) for file, content in files.items()}
    manifest = Manifest(FORMAT, name, version, __version__, _scikit_learn(), sums).sealed()
    for file, content in {**files, MANIFEST: _pretty(manifest)}.items():
        write_durably(folder / file, content)
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Return what a folder holds by its own account. Raises ModelRefused."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        message = f"{folder} is no model of Prevenant: it has no {MANIFEST}"
        raise ModelRefused(message) from None
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("format")
    except UNREADABLE:
        raise _damaged(folder, MANIFEST) from None
    if isinstance(found, int) and found > FORMAT:
        newer = f"made by a newer Prevenant (format {found}, here {FORMAT})"
        message = f"{folder} was {newer}: upgrade, or train it again"
        raise ModelRefused(message)
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except UNREADABLE:
        raise _damaged(folder, MANIFEST) from None
    if manifest.sealed() != manifest or manifest.format != FORMAT:
        raise _damaged(folder, MANIFEST)
    return manifest


def read_files(
    folder: Path, name: str | None = None, version: int | None = None
) -> dict[str, bytes]:
    """Return the files of a folder once their checksums have been compared. Raises ModelRefused."""
    manifest = read_manifest(folder)
    wanted = (name or manifest.name, manifest.version if version is None else version)
    if (manifest.name, manifest.version) != wanted:
        message = (
            f"{folder} holds version {manifest.version} of {manifest.name}: it was put there by hand; "
            "take it away"
        )
        raise ModelRefused(message)
    if not set(_NEEDED) <= manifest.files.keys() <= set(KNOWN_FILES):
        raise _damaged(folder, MANIFEST)
    files = {}
    for file, expected in manifest.files.items():
        try:
            files[file] = (folder / file).read_bytes()
        except FileNotFoundError:
            remedy = "train it again, or use another version"
            message = f"{folder} is damaged: {file} is missing; {remedy}"
            raise ModelRefused(message) from None
        except OSError as error:
            raise _unreadable(folder, error) from error
        if _sha256(files[file]) != expected:
            raise _damaged(folder, file)
    return files


def read_card(folder: Path, files: Mapping[str, bytes], kind: type[C]) -> C:
    """Return the card among `files`. Raises ModelRefused."""
    try:
        return msgspec.json.decode(files[CARD], type=kind)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        message = f"{folder} has a card that this version cannot read: {reason}; train it again"
        raise ModelRefused(message) from error


def read_estimator(folder: Path, files: Mapping[str, bytes]) -> Any:
    """Return the estimator among `files`. Raises ModelRefused."""
    made_with = read_manifest(folder).scikit_learn
    try:
        return load_estimator(files[ESTIMATOR])
    except Untrusted as error:
        message = f"{folder} is refused: {error}; train it again"
        raise ModelRefused(message) from error
    except Exception as error:
        # Whatever skops makes of a foreign file, the reason is one line.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        hint = (
            f"it was made with scikit-learn {made_with}, and here is {_scikit_learn()}"
            if made_with != _scikit_learn()
            else reason
        )
        message = f"{folder} has an estimator that cannot be read: {hint}; train it again"
        raise ModelRefused(message) from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """See to it that what was created or renamed in `folder` is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _scikit_learn() -> str:
    return version_of("scikit-learn")


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=1)


def _plain(value: Any) -> Any:
    """Return a number of numpy's as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    message = f"{type(value).__name__} is nothing that a card can hold"
    raise TypeError(message)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _damaged(folder: Path, file: str) -> ModelRefused:
    remedy = "train it again, or use another version"
    return ModelRefused(f"{folder} is damaged: {file} is not what was written; {remedy}")


def _unreadable(folder: Path, error: OSError) -> ModelRefused:
    return ModelRefused(
        f"{folder} cannot be read: {error.strerror or error}; mend that, or train it again"
    )
