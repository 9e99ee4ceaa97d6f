"""The section `devices` of a rule book: what devices of a kind publish, and how it is read."""

import difflib
import re
from typing import Any

from prevenant.document import Mapping, Value
from prevenant.domain import DeviceType, FieldType, PayloadPath, Status
from prevenant.units import UNITS, conversion
from rules.parsing import IDENTITY

FORMATS = ("json", "msgpack", "cbor", "number", "text", "csv", "sparkplug")

_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_RATE = re.compile(r"([1-9][0-9]*) ?/ ?s")
_KINDS: dict[str, type] = {"bool": bool, "string": str, "number": float}
_KEYS = {
    "topic",
    "fields",
    "format",
    "separator",
    "decimal",
    "readings",
    "identity",
    "status",
    "time",
    "max_skew",
    "max_late",
    "max_payload",
    "max_rate",
    "silent_after",
}
_FIELD_KEYS = {"kind", "unit", "from", "scale", "offset", "enum", "sent"}
_STATUS_KEYS = {"topic", "online", "offline", "from"}
_BARE = {"number", "text"}
_WRITTEN = {"csv", *_BARE}
_NESTED = {"json", "msgpack", "cbor"}
_SEPARATORS = {"tab": "\t", "space": " "}
_SPARKPLUG_FORM = "spBv1.0/{site}/+/+/{device}, or spBv1.0/{site}/+/{device} for edge nodes"
_SPARKPLUG_LEVELS = (4, 5)


def read_entries(
    sections: list[Value], what: str, form: re.Pattern[str]
) -> list[tuple[str, Value]]:
    """Return the entries of all sections of a kind, by name; a name that stands twice is a problem."""
    seen: dict[str, Value] = {}
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"{what} {name!r}")
            if not form.fullmatch(name):
                named.fail("a name is made of letters, digits and underscores")
            elif name in seen:
                earlier = seen[name]
                named.fail(f"stands twice, first in {earlier.source}:{earlier.line}: rename one")
            else:
                seen[name] = named
    return list(seen.items())


def read_devices(sections: list[Value]) -> dict[str, DeviceType]:
    """Return the device types of all `devices` sections; problems are noted in the document."""
    types: dict[str, DeviceType] = {}
    for name, value in read_entries(sections, "device type", _FIELD_NAME):
        device = _read_device(name, value)
        if device is not None:
            types[name] = device
    return types


def _read_device(name: str, value: Value) -> DeviceType | None:
    keys = value.mapping(_KEYS)
    if keys is None:
        return None
    topic_value = keys.need(
        "topic", "write the pattern of its topics, as in site/{site}/doors/{device}"
    )
    fields_value = keys.need("fields", "list what it publishes, as in {temperature: celsius}")
    format_value = keys.get("format")
    format_ = (format_value.choice(FORMATS) if format_value else None) or "json"
    topic = topic_value.raw() if topic_value else None
    identity = _read_identity(keys.get("identity"), format_)
    if topic_value and topic is not None:
        _check_topic(topic, topic_value, [what for what, _ in identity])
        if format_ == "sparkplug":
            _check_sparkplug_topic(topic, topic_value)
    fields = _read_fields(fields_value, format_) if fields_value else ()
    if fields_value and format_ in _BARE and len(fields) > 1:
        fields_value.fail(f"a payload of format {format_} is one value: name one field")
    time_field, time_path = _read_time(keys.get("time"), format_)
    if topic is None or not fields:
        return None
    return DeviceType(
        name,
        topic,
        fields,
        time_field=time_field,
        max_skew_s=keys.duration_s("max_skew", 60.0),
        max_late_s=keys.duration_s("max_late", 86_400.0),
        max_payload_bytes=int(keys.number("max_payload", 65_536)),
        max_rate=_read_rate(keys.get("max_rate")),
        silent_after_s=keys.duration_s("silent_after", 0.0),
        format=format_,
        separator=_read_separator(keys.get("separator"), format_),
        has_decimal_comma=_read_decimal(keys.get("decimal"), format_),
        time_path=time_path,
        readings_path=_read_readings(keys.get("readings"), format_),
        identity=identity,
        status=_read_status(keys.get("status"), topic),
    )


def _read_rate(value: Value | None) -> int:
    """Return how many changes a second are weighed; 100 where the book does not say."""
    text = value.raw() if value else None
    if value is None or text is None:
        return 100
    match = _RATE.fullmatch(text.strip())
    if match is None:
        value.fail(f"{text!r} is no rate: write how many changes a second, as in 100/s")
        return 100
    return int(match[1])


def _read_separator(value: Value | None, format_: str) -> str:
    text = value.raw() if value else None
    if value is None or text is None:
        return ","
    separator = _SEPARATORS.get(text, text)
    if format_ != "csv":
        value.fail(f"a separator is for format csv, not for {format_}: remove it")
    elif len(separator) != 1 or separator in '"\n\r':
        value.fail(f"{text!r} cannot separate columns: write one character, or tab or space")
        return ","
    return separator


def _read_decimal(value: Value | None, format_: str) -> bool:
    """Return whether numbers have a comma where others have a point."""
    if value is None:
        return False
    if format_ not in _WRITTEN:
        value.fail(f"a decimal mark is for csv, number and text, not for {format_}: remove it")
        return False
    return value.choice(("point", "comma")) == "comma"


def _read_readings(value: Value | None, format_: str) -> PayloadPath | None:
    if value is not None and format_ not in _NESTED:
        value.fail(f"a payload of format {format_} holds one reading: remove it")
        return None
    return _read_path(value) if value else None


def _read_identity(value: Value | None, format_: str) -> tuple[tuple[str, PayloadPath], ...]:
    if value is None:
        return ()
    if format_ not in _NESTED:
        value.fail(f"a payload of format {format_} names no device: put {{device}} into the topic")
        return ()
    identity = []
    for what, path_value in value.mapping(IDENTITY) or ():
        path = _read_path(path_value)
        if path is not None:
            identity.append((what, path))
    return tuple(identity)


def _read_time(value: Value | None, format_: str) -> tuple[str, PayloadPath | None]:
    """Return the plain key of the device's own time, and the path where it is more than a key."""
    text = value.raw() if value else None
    if value is None or text is None:
        return "observed_at", None
    if format_ in _BARE or format_ == "sparkplug":
        value.fail(
            f"a payload of format {format_} has no place for a time to name: remove it"
            if format_ in _BARE
            else "Sparkplug's metrics have their own timestamps: remove it"
        )
        return "observed_at", None
    if format_ == "csv":
        return "observed_at", _read_column(value)
    path = _read_path(value)
    if path is not None and not path.from_root and path.steps == (text,):
        return text, None
    return "observed_at", path


def _read_path(value: Value) -> PayloadPath | None:
    text = value.raw()
    if text is None:
        return None
    try:
        return PayloadPath.parse(text)
    except ValueError as error:
        value.fail(str(error))
        return None


def _read_column(value: Value) -> PayloadPath | None:
    number = value.integer(1)
    return None if number is None else PayloadPath((number,))


def _read_status(value: Value | None, readings_topic: str) -> Status | None:
    if value is None:
        return None
    if not value.is_mapping:
        topic_value, status = value, Status(value.raw() or "")
    else:
        keys = value.mapping(_STATUS_KEYS)
        needed = keys.need("topic", "write where devices say it") if keys else None
        if keys is None or needed is None:
            return None
        path_value = keys.get("from")
        topic_value = needed
        status = Status(
            needed.raw() or "",
            keys.text("online", "online"),
            keys.text("offline", "offline"),
            _read_path(path_value) if path_value else None,
        )
        if status.online == status.offline:
            value.fail(f"online and offline are both {status.online!r}: name two words")
    _check_topic(status.topic, topic_value, [])
    if status.topic == readings_topic:
        topic_value.fail("this is the topic of the readings: devices say their status on another")
    return status


def _check_topic(topic: str, value: Value, named_in_payload: list[str]) -> None:
    levels = topic.split("/")
    names = _PLACEHOLDER.findall(topic)
    if "device" not in names and "device" not in named_in_payload:
        value.fail("the topic has to name {device}, as in site/{site}/doors/{device}")
    for name in dict.fromkeys(names):
        if name not in IDENTITY:
            value.fail(f"{{{name}}} is not known in a topic: write {{site}}, {{device}} or +")
        elif names.count(name) > 1:
            value.fail(f"{{{name}}} stands twice in the topic: keep one of them")
        elif name in named_in_payload:
            value.fail(f"identity names the {name} already: write + instead of {{{name}}}")
    for level in levels:
        plain = not set(level) & set("+#{}")
        if not plain and level != "+" and not _PLACEHOLDER.fullmatch(level):
            value.fail(f"{level!r} is no level of a topic: a placeholder fills a whole level")
    if not levels[0]:
        value.fail("a topic does not begin with a slash")


def _check_sparkplug_topic(topic: str, value: Value) -> None:
    levels = topic.split("/")
    if levels[0] != "spBv1.0" or len(levels) not in _SPARKPLUG_LEVELS or levels[2] != "+":
        value.fail(f"{topic!r} is no Sparkplug topic: write {_SPARKPLUG_FORM}")


def _read_fields(value: Value, format_: str) -> tuple[FieldType, ...]:
    fields = []
    for name, kind in value.mapping() or ():
        if not _FIELD_NAME.fullmatch(name):
            kind.fail("a field's name is made of letters, digits and underscores")
        elif name in IDENTITY:
            kind.fail(f"{name!r} already means the {name} of the topic: choose another name")
        else:
            field = (
                _read_mapped(name, kind, format_) if kind.is_mapping else _read_field(name, kind)
            )
            if field is not None:
                fields.append(field)
    return tuple(fields)


def _read_field(name: str, value: Value) -> FieldType | None:
    text = value.raw()
    if text is None:
        return None
    word = text.removesuffix("?")
    optional = word != text
    if word in _KINDS:
        return FieldType(name, _KINDS[word], None, optional)
    if word in UNITS:
        return FieldType(name, float, word, optional)
    close = difflib.get_close_matches(word, [*_KINDS, *UNITS], 1)
    hint = "write bool, string, number or a unit such as celsius, percent or ampere"
    value.fail(
        f"{word!r} is neither a kind nor a unit: "
        + (f"did you mean {close[0]!r}?" if close else hint)
    )
    return None


def _read_mapped(name: str, value: Value, format_: str) -> FieldType | None:
    """Return a field whose value stands elsewhere, or means something else, than in the short form."""
    keys = value.mapping(_FIELD_KEYS)
    if keys is None:
        return None
    if "kind" in keys and "unit" in keys:
        value.fail("both kind and unit are given: a unit is a kind of number, so keep the unit")
    kind_value = keys.get("unit") or keys.need("kind", "write what it is, as in unit: celsius")
    field = _read_field(name, kind_value) if kind_value else None
    if field is None:
        return None
    enum = _read_enum(keys.get("enum"), field)
    scale, offset = _read_scale(keys, field, has_enum=bool(enum))
    return FieldType(
        name,
        field.kind,
        field.unit,
        field.optional,
        path=_read_place(keys.get("from"), format_),
        scale=scale,
        offset=offset,
        enum=enum,
    )


def _read_place(value: Value | None, format_: str) -> PayloadPath | None:
    if value is None:
        return None
    if format_ in _BARE:
        value.fail(f"a payload of format {format_} is the value itself: remove it")
        return None
    if format_ == "csv":
        return _read_column(value)
    if format_ == "sparkplug":
        return PayloadPath((value.raw() or "",))
    return _read_path(value)


def _read_scale(keys: Mapping, field: FieldType, *, has_enum: bool) -> tuple[float, float]:
    """Return the scale and the offset, with the conversion from the unit that is sent in them."""
    for key in ("scale", "offset", "sent"):
        value = keys.get(key)
        if value is not None and (field.kind is not float or has_enum):
            what = "values of an enum" if has_enum else f"a {field.kind.__name__}"
            value.fail(f"{key} is for numbers, not for {what}: remove it")
            return 1.0, 0.0
    scale, offset = keys.number("scale", 1.0), keys.number("offset", 0.0)
    scale_value, sent_value = keys.get("scale"), keys.get("sent")
    if scale == 0 and scale_value is not None:
        scale_value.fail("a scale of 0 makes every number the same: write another")
    sent = sent_value.choice(UNITS) if sent_value else None
    if sent is None or sent_value is None or sent not in UNITS:
        return scale, offset
    converted = conversion(sent, field.unit) if field.unit else None
    if converted is None:
        sent_value.fail(
            f"{sent} cannot be turned into {field.unit or 'a number without a unit'}: "
            "write a unit of the same dimension, or scale and offset"
        )
        return scale, offset
    factor, shift = converted
    return scale * factor, offset * factor + shift


def _read_enum(value: Value | None, field: FieldType) -> tuple[tuple[str, Any], ...]:
    if value is None:
        return ()
    pairs: list[tuple[str, Any]] = []
    words = value.mapping()
    for word, meaning_value in words or ():
        meaning: Any
        if field.kind is bool:
            meaning = meaning_value.boolean()
        elif field.kind is float:
            meaning = meaning_value.number()
        else:
            meaning = meaning_value.raw()
        if meaning is not None:
            pairs.append((word, meaning))
    if words is not None and not list(words):
        value.fail("the enum is empty: write what is sent and what it means, as in {0: closed}")
    return tuple(pairs)
