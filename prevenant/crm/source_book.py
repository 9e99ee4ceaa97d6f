"""The file that names outside CRMs, `crm.yaml`: judged once and wholly, like the rule book.

sources:
  erp:
    database: env:ERP_DATABASE_URL
    every: 5m
    rows:
      customers:
        table: clients
        columns: {id: client_no, name: client_name}
        cursor: updated_at
        deleted: is_deleted
"""

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from prevenant.addresses import is_web_address
from prevenant.crm.entities import ENTITIES, Entity
from prevenant.crm.missing import MOST_REMOVED, read_share
from prevenant.crm.source import Column, CrmSource, Feed
from prevenant.crm.source_database import DatabaseSource
from prevenant.crm.source_rest import Login, Paging, RestSource
from prevenant.document import Mapping as Pairs
from prevenant.document import Value, read_document
from prevenant.domain import PayloadPath
from prevenant.durations import format_duration
from prevenant.errors import Problem, SourcesError

_EVERY_S, _TIMEOUT_S = 300.0, 10.0
_OVERLAP_OF_APIS_S = 1.0
"""Many an API gives only what is later: another row of the last one's moment would be lost."""
_SOURCE = {"database", "api", "every", "timeout", "auth", "rows"}
_ROWS = {"columns", "cursor", "deleted", "overlap", "missing", "most_removed"}
_FROM_DATABASE = _ROWS | {"table", "query"}
_FROM_API = _ROWS | {"path", "items", "pages", "since", "parameters"}
_DECIDES = {"columns", "cursor", "deleted", "items", "parameters", "path", "query", "table"}
_PAGES = ("none", "page", "offset", "cursor", "link")
_AUTH = {"bearer", "header", "value", "user", "password"}
_SECRET = "env:"  # noqa: S105  how a secret's place is written


def load_sources(
    path: Path,
    environment: Mapping[str, str] | None = None,
    *,
    most_removed: float | None = None,
) -> list[CrmSource]:
    """Return the outside CRMs that a file names; none where there is no file.

    `most_removed` takes the place of what the file says of it.
    Raises SourcesError with every problem at once.
    """
    if not path.exists():
        return []
    problems: list[Problem] = []
    document = read_document(path, problems)
    pairs = document.mapping({"sources"}) if document else None
    named = pairs.get("sources") if pairs else None
    reader = _Reader(os.environ if environment is None else environment, most_removed)
    sources = [
        source
        for name, value in (named.mapping() if named else None) or ()
        if (source := reader.read_source(name, value.named(f"source {name!r}"))) is not None
    ]
    if problems:
        for source in sources:
            source.close()
        raise SourcesError(problems)
    return sources


_LEAST_EVERY_S, _LEAST_TIMEOUT_S = 1.0, 0.1
_LONGEST_NAME = 100


class _Reader:
    def __init__(self, environment: Mapping[str, str], most_removed: float | None) -> None:
        self._environment = environment
        self._most_removed = most_removed

    def read_source(self, name: str, value: Value) -> CrmSource | None:
        pairs = value.mapping(_SOURCE)
        if pairs is None:
            return None
        database, api = pairs.get("database"), pairs.get("api")
        if (database is None) == (api is None):
            value.fail("write either `database: URL` or `api: URL`")
            return None
        if not (name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME):
            value.fail("this is no name of a source: write one such as erp, on one line")
        every = _seconds(pairs, "every", _EVERY_S, _LEAST_EVERY_S)
        timeout = _seconds(pairs, "timeout", _TIMEOUT_S, _LEAST_TIMEOUT_S)
        rows = pairs.need("rows", "say which rows it has: rows: {customers: …}")
        feeds = self._read_feeds(rows, is_api=api is not None) if rows else {}
        if rows is not None and not feeds:
            rows.fail("no kind of rows is named here: write such as customers: {…}")
        where = database or api
        url = self._secret(where) if where else None
        login = self._read_auth(pairs.get("auth"), is_api=api is not None)
        if where is None or url is None:
            return None
        if api is not None:
            if not is_web_address(url):
                api.fail("this is no address: write https://…")
                return None
            return RestSource(name, url, every, timeout, feeds, login)
        try:
            return DatabaseSource(name, url, every, timeout, feeds)
        except ValueError as error:
            where.fail(str(error))
            return None

    def _secret(self, value: Value) -> str | None:
        """Return a text; `env:NAME` is what the environment has under that name."""
        text = value.text()
        if text is None or not text.startswith(_SECRET):
            return text
        found = self._environment.get(text.removeprefix(_SECRET))
        if not found:
            value.fail(f"the environment has no {text.removeprefix(_SECRET)}: set it")
        return found or None

    def _read_auth(self, value: Value | None, *, is_api: bool) -> Login:
        pairs = value.mapping(_AUTH) if value else None
        if value is None or pairs is None:
            return Login()
        if not is_api:
            value.fail("a database has user and password in its URL: write them there")
            return Login()
        found = {name: self._secret(one) or "" for name, one in pairs}
        match sorted(found):
            case ["bearer"]:
                return Login({"Authorization": f"Bearer {found['bearer']}"})
            case ["header", "value"]:
                return Login({found["header"]: found["value"]})
            case ["password", "user"]:
                return Login(user=found["user"], password=found["password"])
        value.fail("write `bearer`, or `user` and `password`, or `header` and `value`")
        return Login()

    def _read_feeds(self, value: Value, *, is_api: bool) -> dict[str, Feed]:
        feeds = {}
        for name, one in value.mapping(set(ENTITIES)) or ():
            known = ENTITIES.get(name)
            feed = self._read_feed(known, one, is_api=is_api) if known else None
            if feed is not None:
                feeds[name] = feed
        # What others refer to is read first.
        return {name: feeds[name] for name in ENTITIES if name in feeds}

    def _read_feed(self, entity: Entity, value: Value, *, is_api: bool) -> Feed | None:
        pairs = value.mapping(_FROM_API if is_api else _FROM_DATABASE)
        if pairs is None:
            return None
        place = self._read_api_place(pairs) if is_api else _read_database_place(pairs)
        columns = pairs.need("columns", f"say which are ours: columns: {{{entity.identity[0]}: …}}")
        found = _read_columns(entity, columns, is_api=is_api) if columns else {}
        missing = _one_of(pairs, "missing", ("keep", "remove"), "keep")
        cursor = pairs.get("cursor")
        if cursor is not None and missing == "remove":
            cursor.fail(
                "with a cursor only changes are read, so that nothing is missing: drop `missing`"
            )
        most = pairs.get("most_removed")
        if most is not None and missing != "remove":
            most.fail("nothing is taken out for being missing: write `missing: remove`, or drop it")
        return Feed(
            entity=entity,
            place=place,
            columns=found,
            cursor=_read_cursor(cursor, is_api=is_api) if cursor else None,
            deleted=_read_column(one, is_api=is_api) if (one := pairs.get("deleted")) else None,
            overlap_s=pairs.duration_s("overlap", _OVERLAP_OF_APIS_S if is_api else 0.0),
            removes_missing=missing == "remove",
            most_removed=_share(most) if self._most_removed is None else self._most_removed,
            mapping=_digest_of(value),
        )

    def _read_api_place(self, pairs: Pairs) -> dict[str, Any]:
        pairs.need("path", "write where it is behind the address: path: /customers")
        parameters = pairs.get("parameters")
        return {
            "path": pairs.text("path", ""),
            "items": _path(pairs.get("items")),
            "since": pairs.text("since", ""),
            "parameters": {
                n: self._secret(v) for n, v in (parameters.mapping() if parameters else None) or ()
            },
            "pages": _read_pages(pairs.get("pages")),
        }


def _seconds(pairs: Pairs, name: str, default: float, least: float) -> float:
    """Return a length of time that leaves the other side some rest, or time to answer."""
    found = pairs.duration_s(name, default)
    value = pairs.get(name)
    if value is not None and found < least:
        value.fail(f"this is too short: write at least {format_duration(least)}")
    return found


def _digest_of(value: Value) -> str:
    """Return a digest of what decides which rows come and what they say, with secrets as places."""
    written = value.as_written()
    decides = {name: written[name] for name in sorted(_DECIDES & written.keys())}
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _share(value: Value | None) -> float:
    text = value.text() if value else None
    if value is None or text is None:
        return MOST_REMOVED
    try:
        return read_share(text)
    except ValueError as error:
        value.fail(str(error))
        return MOST_REMOVED


def _one_of(pairs: Pairs, name: str, known: Iterable[str], default: str) -> str:
    value = pairs.get(name)
    return (value.choice(list(known)) if value else None) or default


def _read_database_place(pairs: Pairs) -> dict[str, Any]:
    found = {name: pairs.text(name, "") for name in ("table", "query") if name in pairs}
    if len(found) != 1:
        pairs.owner.fail("write either `table: NAME` or `query: SELECT …`")
    return found


def _read_pages(value: Value | None) -> Paging:
    keys = {"style", "parameter", "size_parameter", "size", "first", "next"}
    pairs = value.mapping(keys) if value else None
    if value is None or pairs is None:
        return Paging()
    style = _one_of(pairs, "style", _PAGES, "none")
    names = {"page": "page", "offset": "offset", "cursor": "cursor"}
    if style == "cursor":
        pairs.need("next", "write where the next cursor stands in the answer: next: meta.next")
    size, first = pairs.get("size"), pairs.get("first")
    return Paging(
        style=style,
        parameter=pairs.text("parameter", names.get(style, "")),
        size_parameter=pairs.text("size_parameter", ""),
        size=(size.integer(1) if size else None) or 100,
        first=1 if first is None else first.integer(0) or 0,
        next=_path(pairs.get("next")),
    )


def _read_columns(entity: Entity, value: Value, *, is_api: bool) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for name, one in value.mapping(set(entity.row.model_fields)) or ():
        found[name] = _read_column(one, is_api=is_api)
    wanted = ("id",) if entity.name == "leave" else entity.identity
    for name in wanted:
        if name not in found and (name in entity.required or entity.name == "leave"):
            value.fail(f"{name!r} is missing: without it no row is found again")
    return found


def _read_cursor(value: Value, *, is_api: bool) -> Column:
    """Read what grows with every change: it has to be theirs, as it is."""
    if value.is_mapping:
        value.fail("only a column of theirs grows with every change: write its name alone")
        return Column()
    return _named_column(value, is_api=is_api)


def _read_column(value: Value, *, is_api: bool) -> Column:
    """Read a name (or path), or `{from: …, words: {…}}`, or `{constant: …}`."""
    if not value.is_mapping:
        return _named_column(value, is_api=is_api)
    pairs = value.mapping({"from", "words", "constant"})
    constant = pairs.get("constant") if pairs else None
    if constant is not None:
        return Column(constant=constant.text() or "")
    origin = pairs.need("from", "write from: COLUMN, or constant: TEXT") if pairs else None
    words = pairs.get("words") if pairs else None
    mapped = {n: v.text() or "" for n, v in (words.mapping() if words else None) or ()}
    plain = _named_column(origin, is_api=is_api) if origin else Column()
    return Column(plain.name, plain.path, words=mapped)


def _named_column(value: Value, *, is_api: bool) -> Column:
    if is_api:
        return Column(path=_path(value))
    return Column(name=value.text() or "")


def _path(value: Value | None) -> PayloadPath | None:
    text = value.text() if value else None
    if value is None or text is None:
        return None
    try:
        return PayloadPath.parse(text)
    except ValueError as error:
        value.fail(str(error))
        return None
