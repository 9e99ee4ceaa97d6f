"""The switch for models: an engine goes by the versions that are to speak, whoever made them active."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from prevenant.clock import SystemClock, Wakeup
from prevenant.errors import JournalError, PrevenantError, StoreUnavailable
from prevenant.store import Store
from prevenant.stream.model_rows import write_refusal
from prevenant.stream.predicting import may_go_on
from prevenant.stream.voices import Voice, Voices
from rules.models import BookModel
from rules.rule import RuleBook

log = structlog.get_logger()

_LOOK_EVERY = timedelta(seconds=0.5)

InForce = dict[tuple[str, bool], tuple[int, str]]
"""By model, and whether it is its shadow: the version that scores, and its fingerprint."""


class Change(Protocol):
    """How the host is told of another version; see `EmbeddedHost.change_model`."""

    def __call__(self, model: str, voice: Voice | None, *, is_shadow: bool = False) -> None:
        """Let a version score from now on. Raises JournalError."""


class ModelSwitch:
    """Looks which versions are to speak, reads them beside the stream, and gives them to the host."""

    def __init__(self, store: Store, voices: Voices, book: RuleBook) -> None:
        self._store, self._voices = store, voices
        self._models = dict(book.models)
        self._given: InForce = {}
        self._refused: dict[str, str] = {}
        self._next_book: RuleBook | None = None
        """Another book that decides since we looked last."""
        self._is_new = True
        """Whether the book, or what is given, is another than when we looked last."""
        self._bell = Wakeup()
        self._stopping = False

    def begin(self, in_force: Callable[[], InForce], change: Change) -> None:
        """Look for the first time, before anything is decided; `in_force` is what was recovered."""
        self._given = dict(in_force())
        self._look(change)
        for name in self._models:
            if not self._given.get((name, False), (0, ""))[0] and name not in self._refused:
                remedy = f"train it with `prevenant models train {name} --data FILE`"
                log.warning("a model of the book has no version yet", model=name, remedy=remedy)

    def run(self, change: Change) -> None:
        """Serve until `stop`. Files ring no bell, so we look twice a second."""
        real = SystemClock()
        said = ""
        while not self._stopping:
            try:
                self._look(change)
                said = ""
            except (StoreUnavailable, JournalError, OSError) as error:
                self._is_new = True
                if said != str(error):
                    log.error("another version of a model would wait", reason=str(error))
                said = str(error)
            self._bell.wait(real, real.now() + _LOOK_EVERY if self._models else None)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._bell.ring()

    def change_book(self, book: RuleBook) -> None:
        """Go by the models of another book, which decides from now on; whoever decides never waits."""
        self._next_book = book
        self._bell.ring()

    def _look(self, change: Change) -> None:
        book, self._next_book = self._next_book, None
        if book is not None:
            self._follow(book)
        if not self._models or not (self._voices.has_changed() or self._is_new):
            return
        self._is_new = False
        for model in self._models.values():
            self._look_at(model, change)

    def _follow(self, book: RuleBook) -> None:
        before, self._models = self._models, dict(book.models)
        self._given = {
            (name, is_shadow): version
            for (name, is_shadow), version in self._given.items()
            if name in self._models and may_go_on(before[name], self._models[name])
        }
        self._refused = {}
        self._is_new = True

    def _look_at(self, model: BookModel, change: Change) -> None:
        reason = ""
        try:
            active, shadow = self._voices.wanted(model)
        except PrevenantError as error:
            reason, active, shadow = str(error), 0, 0
        else:
            reason = self._give(model, active, change, is_shadow=False)
            shadow_reason = self._give(model, shadow, change, is_shadow=True)
            reason = reason or (f"its shadow: {shadow_reason}" if shadow_reason else "")
        if reason and self._refused.get(model.name) != reason:
            log.error("a version of a model is refused", model=model.name, reason=reason)
        if reason:
            self._refused[model.name] = reason
        else:
            self._refused.pop(model.name, None)
        with self._store.write() as session:
            if not write_refusal(session, model.name, reason):
                self._is_new = True

    def _give(self, model: BookModel, number: int, change: Change, *, is_shadow: bool) -> str:
        """Give the host a version, unless it has it; return why it cannot be used.

        Where another one cannot be used, the one before goes on; where the very one that scores is
        damaged, nothing does, so that what is read again is decided as it was.
        """
        key = (model.name, is_shadow)
        given = self._given.get(key, (0, ""))
        voice, reason = None, ""
        if number:
            try:
                if given == (number, self._voices.fingerprint(model, number)):
                    return ""
                voice = self._voices.load(model, number)
            except PrevenantError as error:
                reason = str(error)
        if reason and given[0] not in {0, number}:
            return f"{reason}; version {given[0]} goes on"
        wanted = (voice.version, voice.fingerprint) if voice else (0, "")
        if wanted != given:
            change(model.name, voice, is_shadow=is_shadow)
            self._given[key] = wanted
            log.info("model in force", model=model.name, version=wanted[0], shadow=is_shadow)
        return reason
