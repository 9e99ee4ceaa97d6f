"""What a book's templates say with sample values, and what is doubtful in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notify.message import CHANNELS
from notify.segments import count_segments
from notify.templating import LANGUAGES, WORDING_ERRORS
from notify.trial import Trial
from prevenant.book import Book
from prevenant.book_uses import EXTRAS, sample_variables
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from workflows.checking import TemplateUse

MOST_SEGMENTS = 3
_MOST_SPOKEN = 600
"""Characters that are spoken in less than a minute."""
_MOST_OF_SUBJECT = 78
_MORE_THAN_ONE = 71
"""So many characters are one segment in GSM's alphabet, and two in UCS-2."""
_PREVIEW_ZONE = "Europe/Paris"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a template says on a channel, to whom reads a language."""

    name: str
    language: str
    channel: str
    text: str
    """Of an e-mail its plain text."""
    subject: str = ""
    html: str = ""
    calendar: str = ""
    is_own_words: bool = True
    """Whether it has words of its own for this channel; else those of another are taken."""

    @property
    def encoding(self) -> str:
        """How an SMS is written."""
        return "UCS-2" if _beyond_gsm(self.text) else "GSM-7"

    @property
    def segments(self) -> int:
        """How many segments an SMS takes."""
        return count_segments(self.text)


def preview(book: Book, name: str, language: str, channel: str) -> Preview:
    """Word a template with sample values. Raises ConfigurationError where it cannot be."""
    if name not in book.templates.names:
        message = f"there is no template {name!r}: {suggest(name, book.templates.names)}"
        raise ConfigurationError(message)
    languages = book.templates.languages_of(name)
    if language not in languages:
        known = " and ".join(languages)
        message = f"template {name!r} is not written in {language!r}: it is in {known}"
        raise ConfigurationError(message)
    if channel not in CHANNELS:
        message = f"{channel!r} is no channel for people: {suggest(channel, CHANNELS)}"
        raise ConfigurationError(message)
    try:
        return _word(book, name, language, channel, next(_samples(book, name)))
    except WORDING_ERRORS as error:
        message = f"template {name!r} cannot be worded ({language}, {channel}): {error}"
        raise ConfigurationError(message) from None


def judge_templates(book: Book) -> Iterator[str]:
    """Yield what is wrong or doubtful in a book's templates, one line each, with the remedy."""
    trial = Trial(book.templates)
    for name in book.templates.names:
        yield from _judge_languages(book, name)
        for language in book.templates.languages_of(name):
            for channel in book.templates.channels_of(name, language):
                for finding in _judge_words(book, trial, name, language, channel):
                    yield f"template {name!r} ({language}, {channel}): {finding}"


def used_by(book: Book, name: str) -> list[str]:
    """Return the workflows whose steps name a template."""
    uses = (use for use in book.uses if isinstance(use, TemplateUse) and use.name == name)
    return sorted({use.workflow for use in uses})


def _judge_languages(book: Book, name: str) -> Iterator[str]:
    languages = book.templates.languages_of(name)
    for missing in [one for one in LANGUAGES if one not in languages]:
        instead = "en" if "en" in languages else languages[0]
        yield (
            f"template {name!r} is not written in {missing!r}: who reads that gets {instead!r}; "
            f"add it under `{missing}:`"
        )
    channels = {one: book.templates.channels_of(name, one) for one in languages}
    every = sorted({channel for some in channels.values() for channel in some})
    for language, some in channels.items():
        for channel in [one for one in every if one not in some]:
            other = next(one for one in languages if channel in channels[one])
            yield (
                f"template {name!r} has words for {channel} in {other!r} and none in "
                f"{language!r}: add `{channel}:` there"
            )


def _judge_words(book: Book, trial: Trial, name: str, language: str, channel: str) -> Iterator[str]:
    found: dict[str, None] = {}
    for variables in _samples(book, name):
        flaws = trial.word(name, language, channel, variables)
        for flaw in flaws:
            found[f"it cannot be worded: {flaw}; `prevenant rules check` says where"] = None
        if not flaws:
            worded = _word(book, name, language, channel, variables)
            found |= dict.fromkeys(_judge_length(worded))
    yield from found


def _judge_length(worded: Preview) -> Iterator[str]:
    if not worded.text.strip():
        yield "it says nothing: write a text, or leave the channel out"
    if worded.channel == "sms" and worded.segments > MOST_SEGMENTS:
        beyond = _beyond_gsm(worded.text)
        because = f", since {beyond!r} is none of GSM's characters" if beyond else ""
        yield (
            f"it takes {worded.segments} segments{because}, each billed: "
            f"shorten it to {MOST_SEGMENTS}"
        )
    if worded.channel == "voice" and len(worded.text) > _MOST_SPOKEN:
        yield f"{len(worded.text)} characters take too long to say: shorten it to {_MOST_SPOKEN}"
    if worded.channel == "email" and len(worded.subject) > _MOST_OF_SUBJECT:
        yield (
            f"its subject has {len(worded.subject)} characters, and is cut where mail is read: "
            f"shorten it to {_MOST_OF_SUBJECT}"
        )


def _beyond_gsm(text: str) -> str:
    """Return the first character that makes an SMS a UCS-2 one, or nothing."""
    return next((one for one in text if count_segments(one * _MORE_THAN_ONE) > 1), "")


def _samples(book: Book, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield variables like those of every place that uses a template; else all that there are."""
    uses = [use for use in book.uses if isinstance(use, TemplateUse) and use.name == name]
    if not uses or book.needs is None:
        yield sample_variables(after_dispatch=True, extra=EXTRAS, is_predicted=True)
        return
    for use in uses:
        yield from book.needs.samples(use)


def _word(
    book: Book, name: str, language: str, channel: str, variables: Mapping[str, Any]
) -> Preview:
    worded = book.templates.render(name, language, channel, variables, _PREVIEW_ZONE)
    is_own = channel in book.templates.channels_of(name, language)
    if isinstance(worded, str):
        return Preview(name, language, channel, worded, is_own_words=is_own)
    return Preview(
        name,
        language,
        channel,
        worded["text"],
        worded["subject"],
        worded["html"],
        worded.get("calendar", ""),
        is_own,
    )
