"""Wording: Jinja2 in a sandbox, by template, language and channel.

The shipped templates stand in `notify/templates/LANGUAGE.yaml`; the section `templates` of a rule book
adds to them and replaces them. A language that lacks a template falls back to English.
"""

import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import datetime
from functools import cache, lru_cache, wraps
from pathlib import Path
from types import CodeType
from typing import Any
from zoneinfo import ZoneInfo

from babel import UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import get_decimal_symbol
from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    Undefined,
    meta,
    nodes,
    pass_context,
    pass_eval_context,
)
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_default, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from notify.sandbox import LONGEST, Sandbox
from notify.visible import cut, one_line, visible_text
from prevenant.document import Value, nearest_word, read_document, suggest
from prevenant.errors import Problem

LANGUAGES = ("en", "fr")
_CHANNEL = "_channel"
"""By which people are told, where that is known; nothing of the kind stands in a text for machines."""
_YES_NO = {"en": ("yes", "no"), "fr": ("oui", "non")}
_LOCALES = {"en": "en_GB"}
"""Where a language alone does not say how times are written."""
_SHIPPED = Path(__file__).parent / "templates"
_FORMS = ("sms", "voice", "email", "whatsapp", "chat")
_EMAIL_PARTS = ("subject", "text")
CALENDAR = "calendar"
"""What an e-mail does to the calendar of whom it tells of a visit."""
INVITE, CANCEL = "invite", "cancel"
_MAX_RENDERED = LONGEST
_LONGEST_TEXT = {"voice": 1_500, "whatsapp": 1_600, "chat": 4_000}
"""What a call says twice in less than five minutes, what Twilio takes, and what nearly any chat does."""
_LONGEST_VALUE = {"sms": 250, "voice": 250, "whatsapp": 250, "email": 2_000, "chat": 2_000}
"""What is filled in is cut there, so that what a text asks at its end is still asked."""
_COMPILED = 2_000
"""How many texts are kept ready to render."""
_SUBJECT_LENGTH, _LONGEST_SUBJECT = 80, 160

WORDING_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""What can go wrong where a text meets values that its author did not expect."""

Worded = dict[str, str | dict[str, str]]
"""One template in one language: a text by channel; for e-mail `subject`, `text`, perhaps `calendar`."""


class Said(str):
    """Words that are fit for their channel already, as those of a message that goes with others."""

    __slots__ = ()


class Templates:
    """All templates, ready to render."""

    def __init__(self, own: Mapping[str, Mapping[str, Worded]] | None = None) -> None:
        self.own = frozenset(own or ())
        """The names of those that a rule book has written."""
        self._words: dict[str, dict[str, Worded]] = {}
        for source in (shipped_templates(), own or {}):
            for name, languages in source.items():
                self._words.setdefault(name, {}).update(
                    {language: dict(worded) for language, worded in languages.items()}
                )
        self._used: dict[str, set[str]] = {}
        self._settle(make_environment())

    @property
    def names(self) -> list[str]:
        """The names of all templates."""
        return sorted(self._words)

    def languages_of(self, name: str) -> list[str]:
        """Return the languages in which a template is written."""
        return sorted(self._words.get(name, {}))

    def language_for(self, name: str, language: str) -> str:
        """Return in which language a template is said to whoever reads `language`."""
        languages = self._words[name]
        if language in languages:
            return language
        return "en" if "en" in languages else next(iter(languages))

    def channels_of(self, name: str, language: str) -> list[str]:
        """Return the channels for which a template has words of its own in a language."""
        worded = self._words.get(name, {}).get(language, {})
        return [channel for channel in _FORMS if worded.get(channel)]

    def form_for(self, name: str, language: str, channel: str) -> tuple[str, str]:
        """Return the language and the channel whose words are taken for a reader on a channel."""
        spoken = self.language_for(name, language)
        own = self.channels_of(name, spoken)
        return spoken, next((form for form in (channel, "sms", "voice") if form in own), "email")

    def within(self, environment: Sandbox) -> "Templates":
        """Return the same templates, worded in another environment."""
        twin = copy(self)
        twin._settle(environment)
        return twin

    def add_missing(self, older: "Templates") -> None:
        """Take over the templates that only an older book has, for cases that began under it."""
        for name, languages in older._words.items():
            self._words.setdefault(name, languages)

    def variables_of(self, name: str) -> set[str]:
        """Return the top-level variables that a template uses in any language and channel."""
        used: set[str] = set()
        for worded in self._words.get(name, {}).values():
            for form in worded.values():
                for text in _texts_of(form):
                    used |= meta.find_undeclared_variables(self._environment.parse(text))
        return used

    def uses(self, name: str, variable: str) -> bool:
        """Return whether a template says a variable in any language and channel."""
        if name not in self._used:
            self._used[name] = self.variables_of(name)
        return variable in self._used[name]

    def render(
        self,
        name: str,
        language: str,
        channel: str,
        variables: Mapping[str, Any],
        timezone: str = "UTC",
    ) -> str | dict[str, str]:
        """Return the text of a template on a channel; for e-mail `subject`, `text` and `html`.

        `calendar` beside them is what it does to a calendar, `invite` or `cancel`, with `visit_start`,
        `visit_end` and `visit_place`. Raises jinja2.TemplateError where it cannot be rendered.
        """
        spoken = self.language_for(name, language)
        worded = self._words[name][spoken]
        context = {
            **variables,
            "language": spoken,
            "timezone": timezone,
            _CHANNEL: channel,
        }
        email = worded.get("email")
        if channel != "email":
            text = worded.get(channel) or worded.get("sms") or worded.get("voice")
            if channel == "voice" and not worded.get("voice") and "link" in context:
                # Nobody can write down from a call what stands there for readers.
                context["link"] = ""
            said = self._text(text or (email["text"] if isinstance(email, dict) else ""), context)
            return cut(said, _LONGEST_TEXT.get(channel, _MAX_RENDERED))
        if isinstance(email, dict):
            parts = {part: self._text(email[part], context) for part in _EMAIL_PARTS}
            parts |= _entry_of(email.get(CALENDAR, ""), variables)
        else:
            text = self._text(worded.get("sms") or worded.get("voice"), context)
            parts = {"subject": text.split(". ")[0][:_SUBJECT_LENGTH], "text": text}
        parts["subject"] = one_line(parts["subject"], _LONGEST_SUBJECT)
        whole = {**context, _CHANNEL: "html"}
        parts["html"] = self._html.render(whole, subject=parts["subject"], text=parts["text"])
        return parts

    def render_text(
        self,
        text: str,
        language: str,
        variables: Mapping[str, Any],
        timezone: str = "UTC",
        *,
        to_people: bool = False,
    ) -> str:
        """Return one text of a rule book, such as a rule's message, with its variables filled in."""
        context = {**variables, "language": language, "timezone": timezone}
        return self._text(text, {**context, _CHANNEL: ""} if to_people else context)

    def _settle(self, environment: Sandbox) -> None:
        self._environment = environment
        environment.filters["phrase"] = self._phrase
        self._compiled = lru_cache(_COMPILED)(self._make)
        self._html = self._make((_SHIPPED / "email.html.j2").read_text("utf-8"))

    @pass_context
    def _phrase(self, context: Context, code: str) -> str:
        """Return a few words that stand in the templates under `phrase_CODE`."""
        languages = self._words[f"phrase_{code}"]
        return str((languages.get(str(context["language"])) or languages["en"])["sms"])

    def _make(self, text: str) -> Template:
        environment = self._environment
        return Template.from_code(environment, _compile(text), environment.make_globals(None))

    def _text(self, text: Any, context: Mapping[str, Any]) -> str:
        said = self._compiled(str(text)).render(context).strip()[:_MAX_RENDERED]
        contact = context.get("contact")
        is_nameless = isinstance(contact, Mapping) and contact.get("first_name") == ""
        return _close_gaps(said) if is_nameless else said


def _close_gaps(text: str) -> str:
    """Return a text that greets nobody by name, without what stood around the name."""
    text = re.sub(r",? +(?=[,.!])|, (?= ?:)", "", text)
    return re.sub(r"^, +(\w)", lambda match: match[1].upper(), text, flags=re.MULTILINE)


def _texts_of(form: str | dict[str, str]) -> list[str]:
    """Return what is rendered of a form of a template."""
    if isinstance(form, str):
        return [form]
    return [text for part, text in form.items() if part in _EMAIL_PARTS]


def _entry_of(calendar: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return what an e-mail does to a calendar, and when and where the visit is that it is about."""
    visit, site = variables.get("visit"), variables.get("site") or {}
    if not calendar or (calendar == INVITE and not visit):
        return {}
    entry = {CALENDAR: calendar}
    if visit:
        place = one_line(str(site.get("address", "")), _LONGEST_VALUE["sms"])
        entry |= {
            "visit_start": visit["start"].isoformat(),
            "visit_end": visit["end"].isoformat(),
            "visit_place": place,
        }
    return entry


class MissingVariable(StrictUndefined):
    """A variable that is missing; of a group such as `values` it says which name is near."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        group, name = self._undefined_obj, str(self._undefined_name)
        if not isinstance(group, Mapping):
            return super()._undefined_message
        near = nearest_word(name, [str(one) for one in group])
        return f"there is no {name!r}" + (f": {near}" if near else "")


def make_environment(
    missing: type[MissingVariable] = MissingVariable,
) -> Sandbox:
    """Return the sandbox that templates run in; a missing variable is an error."""
    environment = Sandbox(undefined=missing, autoescape=False, finalize=_said)
    environment.code_generator_class = _Code
    environment.filters.update(clock=_clock, day=_day, window=_window, phrase=_no_phrase)
    filters = environment.filters
    filters.update(default=_default, d=_default)
    filters.update(join=_joining(filters["join"]), format=_formatting(filters["format"]))
    filters.update({name: _said_as_nothing(filters[name]) for name in _OF_TEXT})
    return environment


class _Code(CodeGenerator):
    """Joins by `~` what is known, and takes what is not for nothing."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  Jinja's own
        self.write("str_join(one for one in (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(") if one is not None)")


def _said_as_nothing(text_filter: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of texts that takes what is not known for an empty one."""
    at = 1 if hasattr(text_filter, "jinja_pass_arg") else 0

    @wraps(text_filter)
    def filtered(*arguments: Any, **options: Any) -> Any:
        given = list(arguments)
        given[at] = "" if given[at] is None else given[at]
        return text_filter(*given, **options)

    return filtered


def _joining(join: Callable[..., Any]) -> Callable[..., str]:
    """Return a filter that joins what is known of a list."""

    @pass_eval_context
    def joined(
        context: EvalContext, value: Any, d: str = "", attribute: str | int | None = None
    ) -> str:
        if attribute is not None:
            value = map(make_attrgetter(context.environment, attribute), value)
        return str(join(context, [one for one in value if one is not None], d))

    return joined


def _formatting(fill_in: Callable[..., Any]) -> Callable[..., str]:
    """Return a filter that fills in a text; what is not known is filled in as nothing."""

    def formatted(value: str, *arguments: Any, **options: Any) -> str:
        known = {name: "" if one is None else one for name, one in options.items()}
        return str(fill_in(value, *("" if one is None else one for one in arguments), **known))

    return formatted


_OF_TEXT = (
    *(
        "string",
        "upper",
        "lower",
        "title",
        "capitalize",
        "trim",
        "truncate",
        "replace",
        "striptags",
    ),
    *("center", "indent", "wordwrap", "escape", "e", "forceescape", "urlencode"),
)
"""Filters that would make a word of None."""


def _default(value: Any, instead: Any = "", boolean: bool = False) -> Any:  # noqa: FBT001, FBT002  Jinja's own
    """Return what stands for a value that is missing, or that is there and not known."""
    return instead if value is None else do_default(value, instead, boolean)


@pass_context
def _no_phrase(context: Context, code: str) -> str:
    # Each rule book has its own. What takes the context is never worked out while a text is compiled.
    del context
    raise LookupError(code)


@lru_cache(_COMPILED)
def _compile(text: str) -> CodeType:
    """Return the code of a text: the same for every rule book, which is read and tried again and again."""
    return make_environment().compile(text)


@cache
def shipped_templates() -> Mapping[str, Mapping[str, Worded]]:
    """Return the templates that come with Prevenant, by name and language; they are read once."""
    found: dict[str, dict[str, Worded]] = {}
    for language in LANGUAGES:
        problems: list[Problem] = []
        document = read_document(_SHIPPED / f"{language}.yaml", problems)
        for name, value in (document.mapping() or ()) if document else ():
            found.setdefault(name, {})[language] = _read_worded(value, make_environment())
        if problems:
            raise ValueError("\n".join(map(str, problems)))
    return found


def read_templates(sections: list[Value]) -> dict[str, dict[str, Worded]]:
    """Return the `templates` sections of a book; problems are noted in the document."""
    found: dict[str, dict[str, Worded]] = {}
    environment = make_environment()
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"template {name!r}")
            for language, words in named.mapping() or ():
                if len(language) != 2:  # noqa: PLR2004  ISO 639-1
                    words.fail(f"{language!r} is no language: {suggest(language, LANGUAGES)}")
                else:
                    found.setdefault(name, {})[language] = _read_worded(words, environment)
    return found


def _read_worded(value: Value, environment: Sandbox) -> Worded:
    worded: Worded = {}
    for channel, text_value in value.mapping(_FORMS) or ():
        if channel == "email":
            worded["email"] = _read_email(text_value, environment)
        else:
            worded[channel] = _checked(text_value, environment)
    if not worded:
        value.fail("a template has a text for at least one of sms, voice and email")
    return worded


def _read_email(value: Value, environment: Sandbox) -> dict[str, str]:
    parts = value.mapping((*_EMAIL_PARTS, CALENDAR))
    if parts is None:
        return {}
    for part in _EMAIL_PARTS:
        parts.need(part, "an e-mail has a subject and a text")
    return {
        part: _read_calendar(one) if part == CALENDAR else _checked(one, environment)
        for part, one in parts
    }


def _read_calendar(value: Value) -> str:
    word = value.text() or ""
    if word not in {INVITE, CANCEL}:
        value.fail(f"{word!r} is not known here: write {INVITE} or {CANCEL}")
    return word


def _checked(value: Value, environment: Sandbox) -> str:
    text = value.raw() or ""
    try:
        environment.parse(text)
    except TemplateError as error:
        value.fail(f"this is no template: {error.message}")
        return ""
    except RecursionError:
        value.fail("this is no template: it is nested too deep")
        return ""
    return text


def local_zone(name: str) -> ZoneInfo:
    """Return a time zone by name; an unknown name is UTC."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _zone_of(context: Context) -> ZoneInfo:
    return local_zone(str(context.get("timezone", "UTC")))


def _locale_of(context: Context) -> str:
    language = str(context.get("language", "en"))
    return _LOCALES.get(language, language)


@pass_context
def _said(context: Context, value: Any) -> Any:
    """28.6 is said as 28,6 where the language writes it so, True as yes, what is not known as nothing.

    A text is fit for its channel.
    """
    if isinstance(value, bool) and _CHANNEL in context:
        yes, no = _YES_NO.get(str(context["language"]), _YES_NO["en"])
        return yes if value else no
    if value is None:
        return ""
    if isinstance(value, int | Undefined):
        return value
    if isinstance(value, Said):
        return value
    if not isinstance(value, float):
        channel = context.get(_CHANNEL)
        longest = _LONGEST_VALUE.get(channel) if channel else None
        return one_line(str(value), longest) if longest else visible_text(str(value))
    return str(value).replace(".", _decimal_symbol(_locale_of(context)))


@cache
def _decimal_symbol(locale: str) -> str:
    try:
        return str(get_decimal_symbol(locale))
    except (UnknownLocaleError, ValueError):
        return "."


@pass_context
def _clock(context: Context, at: datetime) -> str:
    """14:30, where the recipient is."""
    time = at.astimezone(_zone_of(context))
    return format_time(time, "short", locale=_locale_of(context)).replace("\u202f", " ")


@pass_context
def _day(context: Context, at: datetime) -> str:
    """Monday 4 May, where the recipient is."""
    local = at.astimezone(_zone_of(context))
    return format_date(local, "EEEE d MMMM", locale=_locale_of(context))


@pass_context
def _window(context: Context, visit: Mapping[str, datetime]) -> str:
    """Monday 4 May, 14:30-16:30, where the recipient is."""
    times = f"{_clock(context, visit['start'])}-{_clock(context, visit['end'])}"
    return f"{_day(context, visit['start'])}, {times}"
