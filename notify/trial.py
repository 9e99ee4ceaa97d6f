"""Texts worded on trial, with sample values: everything that one of them misses is found at once."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jinja2 import UndefinedError

from notify.templating import WORDING_ERRORS, MissingVariable, Templates, make_environment
from prevenant.document import nearest_word

_CHECKS_ITSELF = ("default", "d")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a text cannot be worded."""

    reason: str
    """In words."""
    name: str = ""
    """The name that is missing, where that is the reason."""
    variable: str = ""
    """The variable which is not there, or which lacks the name."""
    near: str = ""
    """Which variable is near."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.near}" if self.near else self.reason


class Trial:
    """Words the templates of a book, and its other texts, with sample values."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._noted: list[_Noted] = []
        self._lenient = templates.within(_lenient_environment(self._noted))

    def word(
        self, name: str, language: str, channel: str, variables: Mapping[str, Any]
    ) -> list[Flaw]:
        """Return what is wrong with a template as whoever reads a language gets it on a channel."""
        return self._try(lambda by: by.render(name, language, channel, variables), variables)

    def word_text(self, text: str, language: str, variables: Mapping[str, Any]) -> list[Flaw]:
        """Return what is wrong with one text, such as a rule's message."""
        return self._try(lambda by: by.render_text(text, language, variables), variables)

    def _try(self, say: Callable[[Templates], object], variables: Mapping[str, Any]) -> list[Flaw]:
        try:
            say(self._templates)
        except UndefinedError as error:
            return self._find_missing(say, variables) or [Flaw(str(error))]
        except WORDING_ERRORS as error:
            return [Flaw(str(error) or type(error).__name__)]
        return []

    def _find_missing(
        self, say: Callable[[Templates], object], variables: Mapping[str, Any]
    ) -> list[Flaw]:
        self._noted.clear()
        # What goes wrong follows from what is missing, whatever it is.
        with suppress(Exception):
            say(self._lenient)
        return list(dict.fromkeys(one.flaw_among(variables) for one in self._noted))


class _Noted(MissingVariable):
    """A variable that is missing: whatever is done with it is noted, and goes on."""

    __slots__ = ()

    noted: list["_Noted"]

    def flaw_among(self, variables: Mapping[str, Any]) -> Flaw:
        """Return what is to be said of it, where these variables are there."""
        name, owner = str(self._undefined_name), self._undefined_obj
        group = next((one for one, value in variables.items() if value is owner), "")
        near = "" if group else nearest_word(name, list(variables))
        return Flaw(self._undefined_message, name, group or name, near)

    def _note(self, *_: Any, **__: Any) -> "_Noted":
        self.noted.append(self)
        return self

    def __getattr__(self, name: str) -> "_Noted":
        if name.startswith("__"):
            raise AttributeError(name)
        return self._note()


def _answering(answer: Any) -> Callable[..., Any]:
    def note(self: _Noted, *_: Any) -> Any:
        self._note()
        return answer

    return note


_ANSWERS = {"str": "", "bool": False, "len": 0, "int": 0, "float": 0.0, "iter": iter(()), "hash": 0}
_ANSWERS |= dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "contains"), False)
for _name, _answer in _ANSWERS.items():
    setattr(_Noted, f"__{_name}__", _answering(_answer))
for _name in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv"),
    *("mod", "rmod", "pow", "rpow", "pos", "neg", "call", "getitem"),
):
    setattr(_Noted, f"__{_name}__", _Noted._note)


def _lenient_environment(noted: list[_Noted]) -> Any:
    """Return an environment that goes on where a variable is missing, and notes each."""
    kind = type("_NotedHere", (_Noted,), {"__slots__": (), "noted": noted})
    environment = make_environment(kind)
    for name, apply in environment.filters.items():
        if name not in _CHECKS_ITSELF:
            environment.filters[name] = _passing(apply)
    return environment


def _passing(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that takes note of a missing variable, and lets it pass."""

    @wraps(apply)
    def passing(*args: Any, **options: Any) -> Any:
        for one in args:
            if isinstance(one, _Noted):
                return one._note()
        return apply(*args, **options)

    return passing
