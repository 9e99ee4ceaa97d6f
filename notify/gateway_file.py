"""The file that describes an SMS gateway, `sms-gateway.yaml`: judged once and wholly, like the rule book.

send:
  url: https://sms.example.com/v1/messages
  body: json
  headers: {Authorization: env:SMS_KEY}
  fields: {to: "{to}", from: "{from}", text: "{text}", reference: "{key}", callback: "{receipts}"}
from: Prevenant
answer: {id: message.id}
receipts:
  secret: env:SMS_SECRET
  state: status
  delivered: [delivered]
  failed: [failed, expired]
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notify.visible import whole_text
from prevenant.addresses import is_web_address
from prevenant.document import Mapping as Pairs
from prevenant.document import Value, read_document
from prevenant.domain import PayloadPath
from prevenant.errors import GatewayError, Problem
from prevenant.senders import Senders

BODIES = ("form", "json", "query")
METHODS = ("POST", "PUT", "GET")
PLACEHOLDERS = ("to", "to_digits", "from", "text", "key", "receipts", "encoding")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_QUOTED = re.compile(r"\[[\"'].*?[\"']\]")
_NUMBERED = re.compile(r"(^|\.)(-?\d+)(?=[.\[]|$)")
"""An index as other programs write it, which would be the key of an object here."""
_SECRET = "env:"  # noqa: S105  how a secret's place is written
_TIMEOUT_S, _LONGEST_TIMEOUT_S = 10.0, 20.0
_LEAST_SECRET = 16
_BOOLEANS = ("false", "true")
"""As JSON writes them."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How the gateway's answer to a text is read."""

    id: PayloadPath | None = None
    code: PayloadPath | None = None
    """Where it says how it went, for gateways that answer 200 whatever happens."""
    taken: frozenset[str] = frozenset()
    """The codes that mean it was taken; none: every answer of 2xx does."""
    later: frozenset[str] = frozenset()
    wrong_address: frozenset[str] = frozenset()
    opted_out: frozenset[str] = frozenset()
    account: frozenset[str] = frozenset()
    """The codes that mean that our account there cannot send."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """How the gateway tells what became of a text."""

    state: PayloadPath
    states: Mapping[str, str]
    """By the gateway's word: `sent`, `delivered` or `failed`."""
    secret: str = field(repr=False)
    key: PayloadPath | None = None
    id: PayloadPath | None = None
    reason: PayloadPath | None = None


@dataclass(frozen=True, slots=True)
class Replies:
    """How the gateway hands over what people write."""

    sender: PayloadPath
    text: PayloadPath
    secret: str = field(repr=False)
    id: PayloadPath | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """An SMS gateway over plain HTTP."""

    url: str
    method: str
    body: str
    fields: Mapping[str, Any]
    senders: Senders
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)
    timeout_s: float = _TIMEOUT_S
    answers: Answers = Answers()
    receipts: Receipts | None = None
    replies: Replies | None = None


def load_gateway(path: Path, environment: Mapping[str, str] | None = None) -> Gateway | None:
    """Return the gateway that a file describes; None where there is no file.

    Raises GatewayError with every problem at once.
    """
    if not path.exists():
        return None
    problems: list[Problem] = []
    document = read_document(path, problems)
    reader = _Reader(os.environ if environment is None else environment)
    gateway = reader.read(document) if document else None
    if problems or gateway is None:
        raise GatewayError(problems)
    return gateway


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def read(self, value: Value) -> Gateway | None:
        pairs = value.mapping({"send", "from", "senders", "answer", "receipts", "replies"})
        if pairs is None:
            return None
        send = pairs.need(
            "send", "say how a text is handed over: send: {url: https://…, fields: {…}}"
        )
        senders = self._read_senders(pairs)
        answers = self._read_answers(pairs.get("answer"))
        receipts = self._read_receipts(pairs.get("receipts"))
        replies = self._read_replies(pairs.get("replies"))
        sending = (
            send.mapping(
                {"url", "method", "body", "headers", "fields", "user", "password", "timeout"}
            )
            if send
            else None
        )
        if send is None or sending is None:
            return None
        url = self._read_url(sending)
        body = _choice(sending, "body", BODIES)
        fields = sending.need("fields", 'say what is sent: fields: {to: "{to}", text: "{text}"}')
        content = _read_fields(fields, body) if fields else {}
        user, password = sending.get("user"), sending.get("password")
        if (user is None) != (password is None):
            send.fail("`user` and `password` go together: write both, or neither")
        login = (self._secret(user), self._secret(password)) if user and password else None
        headers = sending.get("headers")
        return Gateway(
            url=url,
            method=_choice(sending, "method", METHODS),
            body=body,
            fields=content,
            senders=senders,
            headers={
                name: self._secret(one)
                for name, one in (headers.mapping() if headers else None) or ()
            },
            login=login,
            timeout_s=self._read_timeout(sending),
            answers=answers,
            receipts=receipts,
            replies=replies,
        )

    def _read_timeout(self, pairs: Pairs) -> float:
        timeout_s = pairs.duration_s("timeout", _TIMEOUT_S)
        value = pairs.get("timeout")
        if value is not None and timeout_s > _LONGEST_TIMEOUT_S:
            value.fail(
                f"a text is given up after {_LONGEST_TIMEOUT_S:.0f} s at most, so that no other "
                "process takes it up meanwhile: write less"
            )
        return timeout_s

    def _secret(self, value: Value) -> str:
        """Return a text; `env:NAME` is what the environment has under that name."""
        text = value.text() or ""
        if not text.startswith(_SECRET):
            return text
        found = self._environment.get(text.removeprefix(_SECRET), "")
        if not found:
            value.fail(f"the environment has no {text.removeprefix(_SECRET)}: set it")
        return found

    def _read_url(self, pairs: Pairs) -> str:
        value = pairs.need("url", "say where texts are handed over: url: https://…")
        url = self._secret(value) if value else ""
        if value and url and not is_web_address(url):
            value.fail("this is no address: write https://…")
        elif value and _PLACEHOLDER.search(url):
            value.fail("an address is taken as it is: write what changes under `fields`")
        return url

    def _read_senders(self, pairs: Pairs) -> Senders:
        value = pairs.get("senders")
        default = pairs.text("from", "")
        try:
            return Senders.parse(default, (value.text() or "") if value else "")
        except ValueError as error:
            if value:
                value.fail(str(error))
            return Senders(default)

    def _read_answers(self, value: Value | None) -> Answers:
        codes = ("taken", "later", "wrong_address", "opted_out", "account")
        pairs = value.mapping({"id", "code", *codes}) if value else None
        if value is None or pairs is None:
            return Answers()
        named = {name: _words(pairs.get(name)) for name in codes}
        _refuse_twice(value, named)
        code = _path(pairs.get("code"))
        if code is None and any(named.values()):
            value.fail("say where the code stands: code: status")
        return Answers(_path(pairs.get("id")), code, **named)

    def _read_receipts(self, value: Value | None) -> Receipts | None:
        known = {"secret", "key", "id", "state", "sent", "delivered", "failed", "reason"}
        pairs = value.mapping(known) if value else None
        if value is None or pairs is None:
            return None
        state = _path(pairs.need("state", "say where the state stands: state: status"))
        if not _words(pairs.get("delivered")):
            value.fail("say which words mean that it arrived: delivered: [delivered]")
        named = {name: _words(pairs.get(name)) for name in ("sent", "delivered", "failed")}
        _refuse_twice(value, named)
        states = {word: name for name, words in named.items() for word in words}
        secret = self._read_secret(pairs)
        key, one, reason = (_path(pairs.get(name)) for name in ("key", "id", "reason"))
        return Receipts(state, states, secret, key, one, reason) if state else None

    def _read_replies(self, value: Value | None) -> Replies | None:
        pairs = value.mapping({"secret", "from", "text", "id"}) if value else None
        if pairs is None:
            return None
        sender = _path(pairs.need("from", "say where the sender's number stands: from: msisdn"))
        text = _path(pairs.need("text", "say where the text stands: text: message"))
        secret = self._read_secret(pairs)
        if sender is None or text is None:
            return None
        return Replies(sender, text, secret, _path(pairs.get("id")))

    def _read_secret(self, pairs: Pairs) -> str:
        value = pairs.need(
            "secret", "name what proves that it is the gateway: secret: env:SMS_SECRET"
        )
        secret = self._secret(value) if value else ""
        if value and secret and len(secret) < _LEAST_SECRET:
            value.fail(f"it can be guessed: take {_LEAST_SECRET} characters or more")
        return secret


def _read_fields(value: Value, body: str) -> dict[str, Any]:
    """Return what is sent, with its placeholders; in JSON it may be nested."""
    written = value.as_written()
    if not isinstance(written, dict):
        value.fail('expected `name: "{placeholder}"` pairs')
        return {}
    if body != "json" and any(isinstance(one, dict | list) for one in written.values()):
        value.fail("only in JSON can fields be nested: write `body: json`")
    used = set(_PLACEHOLDER.findall(str(written)))
    for name in sorted(used - set(PLACEHOLDERS)):
        value.fail(f"{{{name}}} is not known here: write {', '.join(PLACEHOLDERS)}")
    if "text" not in used or not used & {"to", "to_digits"}:
        value.fail("the fields have to hold {text}, and {to} or {to_digits}")
    return written


def fill_in(fields: Any, values: Mapping[str, str]) -> Any:
    """Return fields with their placeholders filled in."""
    if isinstance(fields, dict):
        return {name: fill_in(one, values) for name, one in fields.items()}
    if isinstance(fields, list):
        return [fill_in(one, values) for one in fields]
    if not isinstance(fields, str):
        return fields
    return _PLACEHOLDER.sub(lambda match: values[match[1]], fields)


def text_at(path: PayloadPath | None, told: Any) -> str:
    """Return what stands somewhere in what a gateway says, as its file writes it; else nothing."""
    found = path.find(told) if path else None
    if isinstance(found, bool):
        return _BOOLEANS[found]
    return "" if found is None or isinstance(found, dict | list) else whole_text(str(found))


def _choice(pairs: Pairs, name: str, known: tuple[str, ...]) -> str:
    value = pairs.get(name)
    return (value.choice(known) if value else None) or known[0]


def _words(value: Value | None) -> frozenset[str]:
    words = [one.text() or "" for one in value.one_or_more()] if value else []
    return frozenset(one.lower() if one.lower() in _BOOLEANS else one for one in words)


def _refuse_twice(value: Value, named: Mapping[str, Collection[str]]) -> None:
    """Note the words that are to mean two things."""
    meant: dict[str, str] = {}
    for name, words in named.items():
        for word in sorted(words):
            if word in meant:
                value.fail(f"{word!r} means both `{meant[word]}` and `{name}`: keep one of them")
            meant[word] = name


def _path(value: Value | None) -> PayloadPath | None:
    text = value.text() if value else None
    if value is None or text is None:
        return None
    if _NUMBERED.search(_QUOTED.sub("", text)):
        better = _NUMBERED.sub(r"[\2]", text)
        value.fail(f'an item of a list is written {better}, and a key that is a number ["0"]')
        return None
    try:
        return PayloadPath.parse(text)
    except ValueError as error:
        value.fail(str(error))
        return None
