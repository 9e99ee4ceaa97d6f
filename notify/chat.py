"""Staff chat and push by Apprise: the address is an Apprise URL, which holds the secrets of its service.

Apprise says whether a service took something, and why not in its log alone. The log is read here, and
kept from the engine's own: it names hosts.
"""

import logging
import re
from functools import cache
from types import ModuleType
from typing import Any

from notify.message import Delivery, Message
from prevenant.domain import Severity
from prevenant.errors import DeliveryError, Refused, Throttled, Uncertain, WrongAddress

CONNECT_S, READ_S = 5.0, 10.0
_STATUS = re.compile(r"error=(\d{3})\b")
_NEVER_CONNECTED = re.compile(
    r"NewConnectionError|NameResolutionError|Connection refused", re.IGNORECASE
)
_BROKEN = re.compile(r"connection error|timed? ?out|timeout", re.IGNORECASE)
_NOT_NOW = frozenset({408, 425, 429, 503})
_GONE = frozenset({401, 403, 404, 410})
_SERVER_ERROR = 500


class Chat:
    """Messages to chat and push services. Raises the errors of `DeliveryError`."""

    confirms = False

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand one message over, once; return the key, since services give no identity."""
        apprise = load_apprise()
        service = open_service(delivery.address)
        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        result = sender.notify(
            str(message.texts[delivery.channel]),
            notify_type=_kind(apprise, message.severity),
            log_level=logging.DEBUG,
        )
        if result:
            return delivery.key
        is_late = result.status == apprise.AppriseResultStatus.TIMEOUT
        said = "\n".join(
            entry.message for one in result for attempt in one.attempts for entry in attempt.logs
        )
        raise judge_log(str(service.service_name), said, is_late=is_late)

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> None:
        """Return None: such services cannot be asked what they took."""
        del delivery, message, known

    def close(self) -> None:
        """Do nothing: every message has its own connection."""


def judge_log(service: str, said: str, *, is_late: bool = False) -> DeliveryError:
    """Return the error that the log of an attempt that failed stands for."""
    statuses = _STATUS.findall(said)
    if statuses:
        status = int(statuses[-1])
        reason = f"{service} answers {status}"
        if status in _NOT_NOW:
            return Throttled(f"{reason}: not now", str(status))
        if status >= _SERVER_ERROR:
            return Uncertain(reason, str(status))
        if status in _GONE:
            return WrongAddress(f"{reason}: make a new address there", str(status))
        return Refused(reason, str(status))
    if _NEVER_CONNECTED.search(said):
        return Throttled(f"{service} cannot be reached")
    if is_late or _BROKEN.search(said):
        return Uncertain(f"{service} did not answer in time, or broke off")
    return Refused(f"{service} does not take it")


def open_service(address: str) -> Any:
    """Return Apprise's service behind an address. Raises WrongAddress where it knows none."""
    apprise = load_apprise()
    asset = apprise.AppriseAsset(secure_logging=True, storage_mode="memory")
    service = apprise.Apprise.instantiate(address, asset=asset)
    if service is None:
        reason = "Apprise knows no such service, or it lacks something"
        raise WrongAddress(reason)
    # Whether it is tried again is decided by the ledger, not by what the address asks for.
    service.retry = 0
    service.socket_connect_timeout, service.socket_read_timeout = CONNECT_S, READ_S
    return service


@cache
def load_apprise() -> ModuleType:
    """Return Apprise, which is loaded when it is needed: it brings its services along."""
    import apprise  # noqa: PLC0415  takes half a second

    log = logging.getLogger("apprise")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    log.setLevel(logging.DEBUG)
    return apprise


def _kind(apprise: ModuleType, severity: int) -> Any:
    if severity >= Severity.LIFE_SAFETY:
        return apprise.NotifyType.FAILURE
    return apprise.NotifyType.WARNING if severity >= Severity.MAJOR else apprise.NotifyType.INFO
