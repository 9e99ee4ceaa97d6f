"""Models by name and version on the disk: which there are, which speaks, which is only listened to.

    FOLDER/compressor/v1, v2, …     one version each, never changed once it is there
    FOLDER/compressor/standing.json which version is active, which in shadow, which were active before

Several processes share a folder: whoever writes holds its lock, and what readers see is always whole.
"""

import fcntl
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import msgspec

from models.base import Card
from models.model_folder import (
    KNOWN_FILES,
    MANIFEST,
    REPORT,
    UNREADABLE,
    read_card,
    read_estimator,
    read_files,
    sync_folder,
    write_durably,
    write_folder,
)
from prevenant.document import suggest
from prevenant.errors import ConfigurationError, ModelRefused

if TYPE_CHECKING:
    from models.training import Model

STANDING = "standing.json"
Which = int | Literal["active", "shadow", "latest"]
"""A version, or the one that stands so."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_BYTES = 2_000_000_000
_VERSION = re.compile(r"v([1-9]\d{0,8})")


class Standing(msgspec.Struct, frozen=True):
    """Which versions of a model do what."""

    active: int | None = None
    """The one that speaks."""
    shadow: int | None = None
    """The one whose predictions are recorded beside, and heard by no rule."""
    before: tuple[int, ...] = ()
    """Those that were active, the last one last: where a rollback goes."""
    last: int = 0
    """The highest number that was ever given."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One version as a list shows it."""

    name: str
    version: int
    card: Card | None
    """None where it is refused."""
    refused: str = ""
    is_active: bool = False
    is_shadow: bool = False
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True, slots=True)
class Registry:
    """The models below one folder."""

    folder: Path

    def names(self) -> list[str]:
        """Return the models of which any version is there."""
        if not self.folder.is_dir():
            return []
        return sorted(
            one.name for one in self.folder.iterdir() if _NAME.fullmatch(one.name) and one.is_dir()
        )

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, in order."""
        folder = self._model(name)
        if not folder.is_dir():
            return []
        found = (_VERSION.fullmatch(one.name) for one in folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def standing(self, name: str) -> Standing:
        """Return which versions do what. Raises ModelRefused where that is damaged."""
        path = self._model(name) / STANDING
        try:
            return msgspec.json.decode(path.read_bytes(), type=Standing)
        except FileNotFoundError:
            return Standing()
        except (OSError, *UNREADABLE) as error:
            newest = max(self.versions(name), default=1)
            remedy = f"write `prevenant models activate {name} {newest}`"
            message = f"{path} is damaged ({' '.join(str(error).split())}): {remedy}"
            raise ModelRefused(message) from error

    def list_versions(self, name: str | None = None) -> Sequence[Listed]:
        """Return every version, of one model or of all, with the reason where one is refused."""
        return [
            self._look(one, number)
            for one in ([name] if name else self.names())
            for number in self.versions(one)
        ]

    def find(self, name: str, which: Which = "active") -> int:
        """Return the number of a version. Raises ConfigurationError where there is none."""
        there = self.versions(name)
        if not there:
            hint = (
                suggest(name, self.names())
                if self.names()
                else f"train it: `prevenant models train {name} --data FILE`"
            )
            message = f"there is no model {name!r}: {hint}"
            raise ConfigurationError(message)
        if which == "latest":
            return there[-1]
        if isinstance(which, int):
            number: int | None = which
        else:
            standing = self.standing(name)
            number = standing.active if which == "active" else standing.shadow
        if number is None:
            remedy = f"`prevenant models activate {name} {there[-1]}`"
            message = f"no version of {name} is {which}: write {remedy}"
            raise ConfigurationError(message)
        if number not in there:
            known = ", ".join(str(one) for one in there)
            message = f"{name} has no version {number}: there are {known}"
            raise ConfigurationError(message)
        return number

    def load(self, name: str, which: Which = "active") -> "Model":
        """Return a model. Raises ModelRefused, and ConfigurationError where there is none."""
        number = self.find(name, which)
        return read_model(self._version(name, number), name, number)

    def card(self, name: str, which: Which = "active") -> Card:
        """Return a version's card, without its estimator. Raises as `load` does."""
        number = self.find(name, which)
        folder = self._version(name, number)
        return read_card(folder, read_files(folder, name, number), Card)

    def report(self, name: str, which: Which = "active") -> Path:
        """Return where a version's report stands."""
        return self._version(name, self.find(name, which)) / REPORT

    def save(
        self, model: "Model", write_report: Callable[[Card], str] | None = None
    ) -> "tuple[Model, bool]":
        """Store a model as the next version of its name; return it with its number.

        True beside it where it became active, which only the first one does by itself. Raises
        ModelRefused where its estimator is made of what no stored model may be made of, or cannot be
        asked by a scorer, and OSError.
        """
        name = model.card.name
        _check_name(name)
        if reason := _find_unasked(model.card, model.estimator):
            remedy = f"train it with `prevenant models train {name} --data FILE`"
            message = f"the model {name} cannot be stored: {reason}; {remedy}"
            raise ModelRefused(message)
        folder = self._model(name)
        with self._locked(name):
            standing = self._standing_or_new(name)
            number = max([standing.last, *self.versions(name)]) + 1
            card = msgspec.structs.replace(model.card, version=number)
            partial = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=folder))
            try:
                report = write_report(card) if write_report else ""
                write_folder(partial, name, number, card, model.estimator, report)
                partial.chmod(0o755)
                partial.rename(self._version(name, number))
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            is_first = standing.active is None
            self._write(
                name,
                msgspec.structs.replace(
                    standing, last=number, active=number if is_first else standing.active
                ),
            )
        return replace(model, card=card), is_first

    def activate(self, name: str, which: Which) -> Standing:
        """Let a version speak. Raises ModelRefused where it cannot, and the one before stays."""
        number = self.find(name, which)
        read_model(self._version(name, number), name, number)
        with self._locked(name):
            standing = self._standing_or_new(name)
            before = standing.before
            if standing.active is not None and standing.active != number:
                before = (*(one for one in before if one != number), standing.active)
            shadow = None if standing.shadow == number else standing.shadow
            return self._write(name, Standing(number, shadow, before, max(standing.last, number)))

    def rollback(self, name: str) -> Standing:
        """Let the version speak again that was active before. Raises ConfigurationError."""
        there = set(self.versions(name))
        if not there:
            self.find(name, "latest")
        with self._locked(name):
            standing = self.standing(name)
            left = [one for one in standing.before if one in there and one != standing.active]
            if not left:
                remedy = "name one to `prevenant models activate`"
                message = f"no version of {name} was active before: {remedy}"
                raise ConfigurationError(message)
            read_model(self._version(name, left[-1]), name, left[-1])
            shadow = None if standing.shadow == left[-1] else standing.shadow
            return self._write(name, Standing(left[-1], shadow, tuple(left[:-1]), standing.last))

    def shadow(self, name: str, which: Which | None) -> Standing:
        """Have a version's predictions recorded beside the active one's; None ends that."""
        number = None if which is None else self.find(name, which)
        if number is not None:
            read_model(self._version(name, number), name, number)
        with self._locked(name):
            standing = self.standing(name)
            if number is not None and number == standing.active:
                message = f"version {number} of {name} is active: shadow another one"
                raise ConfigurationError(message)
            return self._write(name, msgspec.structs.replace(standing, shadow=number))

    def retire(self, name: str, keep: int) -> list[int]:
        """Remove old versions but the newest `keep`, those in use, and the one to roll back to."""
        self.find(name, "latest")
        with self._locked(name):
            standing = self.standing(name)
            there = self.versions(name)
            used = {standing.active, standing.shadow, *standing.before[-1:]}
            old = [one for one in there[: len(there) - keep] if one not in used]
            kept = set(there) - set(old)
            before = tuple(one for one in standing.before if one in kept)
            self._write(name, msgspec.structs.replace(standing, before=before))
            for number in old:
                # Whoever reads just now sees all of it or none.
                gone = self._model(name) / f".v{number}.partial"
                self._version(name, number).rename(gone)
                shutil.rmtree(gone)
        return old

    def export(self, name: str, which: Which, to: Path) -> Path:
        """Write a version as one zip file that another engine can take. Raises ModelRefused, OSError."""
        number = self.find(name, which)
        folder = self._version(name, number)
        files = read_files(folder, name, number)
        files[MANIFEST] = (folder / MANIFEST).read_bytes()
        path = to / f"{name}-v{number}.zip" if to.is_dir() else to
        partial = path.with_name(f".{path.name}.partial")
        try:
            with ZipFile(partial, "w", ZIP_DEFLATED) as archive:
                for file, content in sorted(files.items()):
                    # A fixed date: the same model gives the same bytes.
                    archive.writestr(ZipInfo(f"{name}-v{number}/{file}"), content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return path

    def take(self, path: Path) -> "tuple[Model, bool]":
        """Store what `export` wrote as the next version of its name. Raises ModelRefused, OSError.

        Returns the same as `save`.
        """
        with tempfile.TemporaryDirectory(prefix="prevenant-") as folder:
            _unpack(path, Path(folder))
            try:
                model = read_model(Path(folder))
            except ModelRefused as error:
                # Nobody knows the folder, which is gone when this is read.
                raise ModelRefused(str(error).replace(folder, str(path))) from None
            report = Path(folder) / REPORT
            text = report.read_text("utf-8") if report.exists() else ""
        return self.save(model, lambda _: text)

    def _look(self, name: str, number: int) -> Listed:
        folder = self._version(name, number)
        try:
            standing = self.standing(name)
        except ModelRefused:
            standing = Standing()
        try:
            card, refused = read_card(folder, read_files(folder, name, number), Card), ""
        except ModelRefused as error:
            card, refused = None, str(error)
        active, shadow = number == standing.active, number == standing.shadow
        return Listed(name, number, card, refused, active, shadow, folder)

    def _standing_or_new(self, name: str) -> Standing:
        try:
            return self.standing(name)
        except ModelRefused:
            return Standing(last=max(self.versions(name), default=0))

    def _write(self, name: str, standing: Standing) -> Standing:
        path = self._model(name) / STANDING
        partial = path.with_name(f".{STANDING}.partial")
        write_durably(partial, msgspec.json.encode(standing))
        partial.replace(path)
        sync_folder(path.parent)
        return standing

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        folder = self._model(name)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in folder.glob(".*.partial"):
                # Nobody else writes now: whoever began this was killed.
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)

    def _model(self, name: str) -> Path:
        _check_name(name)
        return self.folder / name

    def _version(self, name: str, number: int) -> Path:
        return self._model(name) / f"v{number}"


def read_model(folder: Path, name: str | None = None, version: int | None = None) -> "Model":
    """Return the model that a folder holds. Raises ModelRefused."""
    from models.training import Model  # noqa: PLC0415  a second, where a model is to speak

    files = read_files(folder, name, version)
    card, estimator = read_card(folder, files, Card), read_estimator(folder, files)
    if reason := _find_unasked(card, estimator):
        message = f"{folder} is refused: {reason}; train it again"
        raise ModelRefused(message)
    return Model(card, estimator)


def _find_unasked(card: Card, estimator: Any) -> str:
    """Return why no scorer could ask a model; empty where one can."""
    from models.estimators import check_estimator  # noqa: PLC0415  a second, where a model is to speak

    try:
        check_estimator(card, estimator)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        return " ".join(str(error).split())
    return ""


def _unpack(path: Path, folder: Path) -> None:
    """Write the files of an exported model into `folder`. Raises ModelRefused."""
    try:
        with ZipFile(path) as archive:
            members = {one.filename.rpartition("/")[2]: one for one in archive.infolist()}
            if sum(one.file_size for one in archive.infolist()) > _LARGEST_BYTES:
                message = f"{path} is larger than any model: it is not unpacked"
                raise ModelRefused(message)
            for file in (MANIFEST, *KNOWN_FILES):
                if file in members:
                    (folder / file).write_bytes(archive.read(members[file]))
    except (BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        reason = " ".join(str(error).split()) or "it is cut off"
        message = (
            f"{path} cannot be read: {reason}; name a file that `prevenant models export` wrote"
        )
        raise ModelRefused(message) from error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a model: write letters, digits and _, as in compressor"
        raise ConfigurationError(message)
