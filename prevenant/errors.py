"""Everything Prevenant raises on purpose.

    PrevenantError
    ├── ConfigurationError      what a user wrote is wrong; says where, and what to write instead
    │   ├── SettingsError
    │   ├── BookError           every problem of a rule book at once
    │   ├── CrmImportError      every problem of the imported files at once
    │   ├── SourcesError        every problem of the file that names outside CRMs at once
    │   ├── GatewayError        every problem of the file that describes an SMS gateway at once
    │   ├── HistoryError        every problem of the files that a model is to learn from at once
    │   └── ModelRefused        a stored model is damaged, foreign, or too new for this version
    ├── Undecodable             one payload could not become a reading; it goes to quarantine
    ├── JournalError            the journal could not be written or read; nothing is acknowledged
    │   └── RecordTooLarge      what was to be written is larger than the journal ever takes
    ├── StoreUnavailable        the database does not answer; try again
    ├── KeyTaken                another request with the same key was first; nothing was done twice
    ├── PartitionLost           another process decides this part of the stream now; stop
    ├── CrmUnavailable          an outside CRM does not answer; what was read before serves on
    ├── CrmBusy                 another process reads this outside CRM just now; look again later
    ├── NotVouched              an OpenID provider does not say who somebody is; nobody is let in
    └── DeliveryError           a provider did not take a message
        ├── Refused             for good: this address or this content will never be taken
        │   ├── WrongAddress    nobody can be reached under this address
        │   ├── OptedOut        the person has told the provider to stop
        │   └── Unusable        our account there cannot: another provider may
        ├── Throttled           for now: try again after `retry_after_s`
        └── Uncertain           it may have been taken: look it up before anything is sent again

*Unknown* is not *false*: `Uncertain` is neither a success nor a failure.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class PrevenantError(Exception):
    """Base of all errors that Prevenant raises on purpose."""


class ConfigurationError(PrevenantError):
    """What a user wrote is wrong. The message says where, and what to write instead."""


class SettingsError(ConfigurationError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file that a user wrote: where, what, and the remedy."""

    source: str
    line: int
    column: int
    message: str
    place: str = ""
    """How it is called where lines and columns are not: `book.xlsx:sites!C7`."""

    def __str__(self) -> str:
        place = self.place or f"{self.source}:{self.line}:{self.column}"
        return f"{place}: {self.message}"


class _Problems(ConfigurationError):
    """Many problems at once, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class BookError(_Problems):
    """A rule book cannot be used; `problems` lists everything wrong in it."""


class CrmImportError(_Problems):
    """Files for the CRM cannot be imported; `problems` lists everything wrong in them."""


class SourcesError(_Problems):
    """The file of outside CRMs cannot be used; `problems` lists everything wrong in it."""


class GatewayError(_Problems):
    """The file of an SMS gateway cannot be used; `problems` lists everything wrong in it."""


class HistoryError(_Problems):
    """Files cannot be learned from; `problems` lists everything wrong in them."""


class ModelRefused(ConfigurationError):
    """A stored model cannot be used: it is damaged, foreign, or too new. The rules go on without."""


class Undecodable(PrevenantError):
    """A payload cannot become a reading. The message is the reason that quarantine shows."""


class JournalError(PrevenantError):
    """The journal cannot be written or read. Nothing that it did not take is acknowledged."""


class RecordTooLarge(JournalError):
    """Records of these partitions are larger than a topic takes, however often they are published."""

    def __init__(self, message: str, partitions: Iterable[int]) -> None:
        super().__init__(message)
        self.partitions = frozenset(partitions)


class StoreUnavailable(PrevenantError):
    """The database does not answer. Trying again may help."""


class KeyTaken(PrevenantError):
    """What was asked for under a key is done, or being done, for another request with that key."""


class PartitionLost(PrevenantError):
    """Another process decides this part of the stream now. Whoever decided it before stops."""


class CrmUnavailable(PrevenantError):
    """An outside CRM cannot be read. `whole`: none of its rows can; else only those of one kind.

    `retry_after_s` is its own advice, 0 where it gave none.
    """

    def __init__(self, reason: str, *, whole: bool = True, retry_after_s: float = 0.0) -> None:
        super().__init__(mask_addresses(reason))
        self.whole = whole
        self.retry_after_s = retry_after_s


class TooManyMissing(PrevenantError):
    """So many rows are listed no more that the list is doubted: none is taken out."""

    def __init__(self, kind: str, gone: int, held: int, most: float) -> None:
        listed = held - gone
        super().__init__(
            f"of the {held} {kind} that we have from there, {listed} {'is' if listed == 1 else 'are'} "
            f"listed, so that {gone} would be taken out, more than {most * 100:g} percent: "
            "none was; if the list is right, allow it with"
        )


class CrmBusy(PrevenantError):
    """Another process reads this outside CRM just now. Looking again later is enough."""


class NotVouched(PrevenantError):
    """An OpenID provider has not said, in a way that can be believed, who somebody is."""


class DeliveryError(PrevenantError):
    """A provider did not take a message. `code` is the provider's own, where it gave one."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(mask_addresses(reason))
        self.reason = mask_addresses(reason)
        self.code = code


class Refused(DeliveryError):
    """The provider will never take this message to this address."""


class WrongAddress(Refused):
    """Nobody can be reached under this address on this channel."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(f"wrong address: {reason}", code)


class OptedOut(Refused):
    """The person has told the provider to stop, so that nothing more may go to this address."""


class Unusable(Refused):
    """The provider cannot send this for us; another one may. `is_general`: nor anything else."""

    def __init__(self, reason: str, code: str | None = None, *, is_general: bool = True) -> None:
        super().__init__(reason, code)
        self.is_general = is_general


class Throttled(DeliveryError):
    """The provider does not take it now; `retry_after_s` is its own advice, where it gave one."""

    def __init__(
        self, reason: str, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason, code)
        self.retry_after_s = retry_after_s


class Uncertain(DeliveryError):
    """Whether the provider took the message is not known."""


_IP = r"\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"
_PHONE = re.compile(rf"(?<!\d)(?<!\d\.)(?!{_IP})\+?\d[\d .()-]{{6,}}\d")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def mask_addresses(text: str) -> str:
    """Return `text` with phone numbers and e-mail addresses hidden, fit for a log."""
    return _PHONE.sub("(number hidden)", _EMAIL.sub("(address hidden)", text))
