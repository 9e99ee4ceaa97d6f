"""The registry of trained models as the stream needs it.

What scores is imported with the first model that is read: an engine without any never pays for it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prevenant.errors import ConfigurationError, PrevenantError
from prevenant.stream.voices import Voice, Voices, untrained
from prevenant.target import ANOMALY
from rules.models import BookModel
from rules.rule import RuleBook

if TYPE_CHECKING:
    from models.registry import Registry


class RegistryVoices:
    """The versions below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None

    def wanted(self, model: BookModel) -> tuple[int, int]:
        """Return which version is to speak, and which is to be tried in its shadow; 0 is none."""
        if self._is_untrained(model):
            # A detector learns each device as it goes: it needs no training.
            return model.version or 1, 0
        if not (self._folder / model.name).is_dir():
            return model.version or 0, 0
        standing = self._registry().standing(model.name)
        speaks = model.version or standing.active or 0
        shadow = standing.shadow or 0
        return speaks, 0 if shadow == speaks else shadow

    def fingerprint(self, model: BookModel, version: int) -> str:
        """Return the seal of a version whose files are whole. Raises PrevenantError where they are not."""
        if self._is_untrained(model):
            return untrained(model.inputs)
        from models.model_folder import read_files, read_manifest  # noqa: PLC0415  see above

        folder = self._folder / model.name / f"v{version}"
        read_files(folder, model.name, version)
        return read_manifest(folder).seal

    def load(self, model: BookModel, version: int) -> Voice:
        """Return a version. Raises PrevenantError where it cannot be used for `model`."""
        from prevenant.scoring_voices import make_detector, make_voice  # noqa: PLC0415  see above

        fingerprint = self.fingerprint(model, version)
        if self._is_untrained(model):
            return make_detector(model, version, fingerprint)
        trained = self._registry().load(model.name, version)
        if not trained.card.target.is_like(model.kind, model.unit, model.horizon):
            message = (
                f"version {version} of {model.name} predicts something else than the rule book asks: "
                f"train it again with `prevenant models train {model.name} --data FILE`"
            )
            raise ConfigurationError(message)
        missing = sorted(set(trained.card.definition.fields) - set(model.sent))
        if missing:
            message = (
                f"version {version} of {model.name} has learned from {', '.join(missing)}, which no "
                f"{model.on} sends: train it again with `prevenant models train {model.name} --data FILE`"
            )
            raise ConfigurationError(message)
        return make_voice(model, trained, version, fingerprint)

    def has_changed(self) -> bool:
        """Return whether any file is another than when this was asked last."""
        seen = frozenset(_stamps(self._folder))
        before, self._seen = self._seen, seen
        return seen != before

    def _is_untrained(self, model: BookModel) -> bool:
        return model.kind == ANOMALY and not (self._folder / model.name).is_dir()

    def _registry(self) -> "Registry":
        from models.registry import Registry  # noqa: PLC0415  see above

        return Registry(self._folder)


def describe_models(book: RuleBook, voices: Voices) -> Iterator[str]:
    """Yield a line for each model of a book: for what it speaks, in which version, or what to do first."""
    for name, model in book.models.items():
        fields = ", ".join(one.name for one in model.fields)
        head = f"model {name} speaks for {model.on} ({fields})"
        try:
            number, shadow = voices.wanted(model)
            if number:
                voices.load(model, number)
        except PrevenantError as error:
            yield f"{head}: {error}"
            continue
        if not number:
            remedy = f"train it with `prevenant models train {name} --data FILE`"
            yield f"{head}: it has no version yet, so these are unknown: {remedy}"
        else:
            beside = f", with version {shadow} in its shadow" if shadow else ""
            yield f"{head}: version {number}{beside}"


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in folder.glob("*/*"):
        # What is retired meanwhile is not there any more.
        with suppress(FileNotFoundError):
            for one in path.iterdir() if path.is_dir() else (path,):
                stat = one.stat()
                found.append((str(one), stat.st_mtime_ns, stat.st_size))
    return found
