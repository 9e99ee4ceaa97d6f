"""Every format and every way in which a payload can be mapped, by the book that describes it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest

from ingest.decode import Decoded, Decoder
from prevenant.book import load_book

NOW = 1_800_000_000.0
UNIT = b"plant/s1/units/u1"


@pytest.fixture
def book(tmp_path: Path) -> Any:
    """Return how to make a decoder from the lines that describe one device type."""

    def make(lines: str) -> Decoder:
        path = tmp_path / "rules.yaml"
        path.write_text(f"devices:\n  unit: {{{lines}}}\n", "utf-8")
        return Decoder(load_book(path).rules.devices.values())

    return make


def decode(decoder: Decoder, *payloads: bytes, topic: bytes = UNIT) -> Decoded:
    return decoder.decode_batch([(topic, payload, 0) for payload in payloads], NOW)


def values(decoded: Decoded) -> list[dict[str, Any]]:
    assert decoded.rejected == []
    return [msgspec.structs.asdict(one.values) for one in decoded.readings]


def reasons(decoded: Decoded) -> list[str]:
    assert decoded.readings == []
    return [one.reason for one in decoded.rejected]


TOPIC = "topic: 'plant/{site}/units/{device}'"
FIELDS = "fields: {temperature: celsius, running: bool, mode: string}"
SENT = {"temperature": 21.5, "running": True, "mode": "cool", "observed_at": NOW - 5}


@pytest.mark.parametrize(
    ("format_", "payload"),
    [
        ("json", json.dumps(SENT).encode()),
        ("msgpack", msgspec.msgpack.encode(SENT)),
        ("cbor", cbor2.dumps(SENT)),
        ("csv, time: 4", b'21.5,on,"cool",%d\r\n' % (NOW - 5)),
        ("csv, time: 4", b"21.5, true, cool, 2027-01-15T07:59:55Z"),
        ("csv, separator: tab, time: 4", b"21.5\t1\tcool\t%d" % (NOW - 5)),
        ("csv, separator: ;, time: 4", b"21.5;yes;cool;%d" % ((NOW - 5) * 1000)),
    ],
)
def test_the_same_reading_in_every_format(book: Any, format_: str, payload: bytes) -> None:
    decoded = decode(book(f"{TOPIC}, format: {format_}, {FIELDS}"), payload)
    assert values(decoded) == [{"temperature": 21.5, "running": True, "mode": "cool"}] or (
        values(decoded)[0].items() >= {"temperature": 21.5, "running": True, "mode": "cool"}.items()
    )
    assert decoded.readings[0].observed_at == NOW - 5
    assert decoded.readings[0].device_id == "s1/u1"


@pytest.mark.parametrize(
    ("format_", "field", "payload", "value"),
    [
        ("number", "celsius", b"21.5", 21.5),
        ("number", "celsius", b" -3e1\n", -30.0),
        ("number", "{unit: celsius, scale: 0.1}", b"215", 21.5),
        ("number", "bool", b"1", True),
        ("text", "string", b"open", "open"),
        ("text", "bool", b"OFF", False),
        ("text", "bool", b"\xef\xbb\xbfon", True),
        ("text", "{kind: bool, enum: {auf: true, zu: false}}", b"zu", False),
        ("text", "{kind: number, enum: {low: 1, high: 2}}", b"high", 2.0),
        ("text", "string", "é".encode(), "é"),
    ],
)
def test_bare_values(book: Any, format_: str, field: str, payload: bytes, value: Any) -> None:
    decoder = book(f"{TOPIC}, format: {format_}, fields: {{it: {field}}}")
    assert values(decode(decoder, payload)) == [{"it": value}]


@pytest.mark.parametrize(
    ("field", "payload", "value"),
    [
        ("{unit: celsius, from: 'payload.data[0].t'}", {"data": [{"t": 5}]}, 5.0),
        ("{unit: celsius, from: 'data[-1].t'}", {"data": [{"t": 4}, {"t": 5}]}, 5.0),
        ("{unit: celsius, from: '[\"air temp\"].v'}", {"air temp": {"v": 5}}, 5.0),
        ("{unit: celsius, from: raw, scale: 0.1, offset: -40}", {"raw": 450}, 5.0),
        ("{unit: celsius, sent: fahrenheit}", {"it": 41}, 5.0),
        ("{unit: celsius, sent: kelvin, scale: 0.01}", {"it": 27815}, 5.0),
        ("{unit: bar, sent: kilopascal}", {"it": 500}, 5.0),
        ("{kind: bool, enum: {0: false, 1: true}}", {"it": 1}, True),
        ("{kind: bool, enum: {0: false, 1: true}}", {"it": 1.0}, True),
        ("{kind: string, enum: {true: on, false: off}}", {"it": False}, "off"),
        ("{kind: string, enum: {7: alarm}}", {"it": "7"}, "alarm"),
    ],
)
def test_a_field_is_mapped(book: Any, field: str, payload: Any, value: Any) -> None:
    decoder = book(f"{TOPIC}, fields: {{it: {field}}}")
    (read,) = values(decode(decoder, json.dumps(payload).encode()))
    assert read == {"it": pytest.approx(value) if isinstance(value, float) else value}


@pytest.mark.parametrize(
    "payload", [{}, {"data": []}, {"data": [{}]}, {"data": [{"t": None}]}, {"data": 3}]
)
def test_a_part_of_a_path_that_is_missing_leaves_the_field_unknown(
    book: Any, payload: dict[str, Any]
) -> None:
    decoder = book(f"{TOPIC}, fields: {{it: {{unit: celsius, from: 'data[0].t'}}, b: percent}}")
    (read,) = values(decode(decoder, json.dumps(payload | {"b": 9}).encode()))
    assert read == {"it": None, "b": 9.0}


@pytest.mark.parametrize(
    ("lines", "payload", "reason"),
    [
        ("format: number, fields: {it: celsius}", b"warm", "it: expected a number, got 'warm'"),
        ("format: number, fields: {it: celsius}", b"", "the payload is empty"),
        ("format: number, fields: {it: celsius}", b"nan", "none of the fields"),
        ("format: text, fields: {it: bool}", b"perhaps", "it: 'perhaps' is neither true nor false"),
        ("format: text, fields: {it: string}", b"\xff", "this is not text"),
        ("format: csv, fields: {a: celsius, b: celsius}", b"1,x", "b: expected a number, got 'x'"),
        ("format: csv, fields: {a: celsius}", b"1\n2\n", "2 lines where one is expected"),
        ("format: csv, fields: {a: celsius}", b'"1', "this is not a CSV line"),
        (
            "format: msgpack, fields: {a: celsius}",
            b"\xdd\xff\xff\xff\xff",
            "this is not MessagePack",
        ),
        (
            "format: msgpack, fields: {a: celsius}",
            b"\x05",
            'expected an object such as {"field": 1}, got a whole number',
        ),
        ("format: msgpack, fields: {a: celsius}", b"\x91" * 9_000, "nested too deeply"),
        ("format: cbor, fields: {a: celsius}", b"\x9b" + b"\xff" * 8, "this is not CBOR"),
        ("format: text, fields: {a: string}", b"x\x00", "a: a text with a NUL character"),
        ("fields: {a: {kind: string, from: b}}", rb'{"b": "\u0000"}', "a: a text with a NUL"),
        (
            "format: cbor, fields: {a: celsius}",
            cbor2.dumps({"a": 1}) + b"x",
            "bytes follow its end",
        ),
        (
            "format: cbor, fields: {a: celsius}",
            cbor2.dumps({"a": cbor2.CBORTag(35, "(")}),
            "not CBOR",
        ),
        ("fields: {a: {unit: celsius, from: b}}", b'{"b": "1"}', "a: expected a number, got text"),
        (
            "fields: {a: {unit: celsius, from: b}}",
            b'{"b": true}',
            "a: expected a number, got true or false",
        ),
        ("fields: {a: {unit: celsius, from: b}}", b'{"b": 1e999}', "the number is too large"),
        ("fields: {a: {unit: celsius, from: b}}", b'{"b": 1%s}' % (b"0" * 400), "a: int too large"),
        ("fields: {a: {kind: bool, enum: {1: true}}}", b'{"a": 2}', "a: '2' is not in its enum: 1"),
        (
            "fields: {a: {kind: bool, enum: {1: true}}}",
            b'{"a": [2]}',
            "a: expected a value of its enum",
        ),
        ("max_payload: 10, format: text, fields: {a: string}", b"x" * 11, "more than the 10"),
    ],
)
def test_what_cannot_be_read_says_why(book: Any, lines: str, payload: bytes, reason: str) -> None:
    (found,) = reasons(decode(book(f"{TOPIC}, {lines}"), payload))
    assert reason in found


PLAIN = "fields: {open: bool, heat: celsius, badge: string}"
WORDS: list[tuple[bytes, str]] = [
    (b'{"heat": "21"}', "heat: expected a number, got text: send it without quotes"),
    (
        b'{"heat": true}',
        (
            "heat: expected a number, got true or false: "
            "send a number, or declare the field as what the device sends"
        ),
    ),
    (b'{"open": "yes"}', "open: expected true or false, got text: send it without quotes"),
    (
        b'{"open": 1}',
        (
            "open: expected true or false, got a whole number: "
            "send true or false, or declare the field as what the device sends"
        ),
    ),
    (b'{"badge": 17}', "badge: expected text, got a whole number: send it in quotes"),
    (
        b'{"heat": {"c": 1}}',
        (
            "heat: expected a number, got an object: "
            "send a number, or declare the field as what the device sends"
        ),
    ),
    (b"21.5", 'expected an object such as {"field": 1}, got a number'),
    (
        b"[]",
        (
            'expected an object such as {"field": 1}, got a list: '
            "`readings: payload` in the book takes its elements"
        ),
    ),
    (b'{"heat": 1e999}', "heat: the number is too large"),
    (
        b"",
        "the payload is empty: so a retained message is deleted, or the device had nothing to say",
    ),
    (b"{", "this is not JSON: it ends too early"),
    (b'\xef\xbb\xbf{"heat": NaN,}', "this is not JSON: trailing comma in object (byte 14)"),
    (b"{heat: 1}", "this is not JSON: names stand in double quotes (byte 1)"),
    (b'{"heat": 1,}', "this is not JSON: trailing comma in object (byte 11)"),
]


@pytest.mark.parametrize(("payload", "reason"), WORDS)
@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
def test_reasons_are_in_the_words_of_who_sets_up_a_device(
    book: Any, payload: bytes, reason: str, *, mapped: bool
) -> None:
    path = ", time: at.sent" if mapped else ""
    if mapped and payload in {b"[]", b'{"heat": 1e999}'}:
        pytest.skip("a mapping finds nothing there, or the parser refuses it as a whole")
    (found,) = reasons(decode(book(f"{TOPIC}, {PLAIN}{path}"), payload))
    assert found == reason


ODD_JSON = [
    (b'\xef\xbb\xbf{"heat": 21.5, "badge": "B1"}', {"heat": 21.5, "badge": "B1"}),
    (b'{"heat": NaN, "open": true}', {"heat": None, "open": True}),
    (b'{"heat":-Infinity,"badge":"NaN \\"inf"}', {"heat": None, "badge": 'NaN "inf'}),
    (b'{"heat": nan, "open": false, "more": [inf, -inf]}', {"heat": None, "open": False}),
]


@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
@pytest.mark.parametrize(("payload", "expected"), ODD_JSON)
def test_json_as_some_devices_write_it(
    book: Any, payload: bytes, expected: dict[str, Any], *, mapped: bool
) -> None:
    decoder = book(f"{TOPIC}, {PLAIN}{', time: at.sent' if mapped else ''}")
    (found,) = values(decode(decoder, payload))
    assert found.items() >= expected.items()


@pytest.mark.parametrize(
    "payload", [b'{"heat": NaN' + b'\\"' * 20_000, b"{" + b'"' * 60_001 + b"nan"]
)
def test_json_that_no_mending_helps_is_given_up_soon(book: Any, payload: bytes) -> None:
    started = time.process_time()
    assert "not JSON" in reasons(decode(book(f"{TOPIC}, {PLAIN}"), payload))[0]
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\xd9\xd9\xf7" + cbor2.dumps({"a": 5}), {"a": 5.0, "b": None}),
        (cbor2.dumps({"a": cbor2.undefined, "b": 1}), {"a": None, "b": 1.0}),
        (cbor2.dumps({"a": 5, "more": cbor2.CBORTag(1001, {1: 5})}), {"a": 5.0, "b": None}),
        (bytes.fromhex("bf6161056162fb3ff8000000000000ff"), {"a": 5.0, "b": 1.5}),
    ],
    ids=["self-described", "undefined", "a tag beside the fields", "of unknown length"],
)
def test_cbor_as_some_devices_write_it(book: Any, payload: bytes, expected: dict[str, Any]) -> None:
    decoder = book(f"{TOPIC}, format: cbor, fields: {{a: celsius, b: celsius}}")
    assert values(decode(decoder, payload)) == [expected]


def test_a_tag_in_place_of_a_field_says_so(book: Any) -> None:
    decoder = book(f"{TOPIC}, format: cbor, fields: {{a: celsius}}")
    (found,) = reasons(decode(decoder, cbor2.dumps({"a": cbor2.CBORTag(999, 5)})))
    assert found.startswith("a: expected a number, got a tag of CBOR that is not known here")


@pytest.mark.parametrize("payload", [b"\xef\xbb\xbf5,6", b"5,6\r\n\r\n", b"\n5,6"])
def test_a_csv_line_with_a_mark_or_empty_lines_around_it(book: Any, payload: bytes) -> None:
    decoder = book(f"{TOPIC}, format: csv, fields: {{a: celsius, b: celsius}}")
    assert values(decode(decoder, payload)) == [{"a": 5.0, "b": 6.0}]


@pytest.mark.parametrize(
    ("format_", "payload", "value"),
    [
        ("csv, separator: ;", b"21,5;x", 21.5),
        ("csv", b'"-0,25",x', -0.25),
        ("number", b" 21,5 ", 21.5),
        ("number", b"21", 21.0),
        ("text", b"1,5e3", 1500.0),
    ],
)
def test_a_decimal_comma(book: Any, format_: str, payload: bytes, value: float) -> None:
    decoder = book(f"{TOPIC}, format: {format_}, decimal: comma, fields: {{it: celsius}}")
    assert values(decode(decoder, payload)) == [{"it": value}]


def test_a_decimal_comma_is_refused_where_it_is_not_declared_and_a_point_where_it_is(
    book: Any,
) -> None:
    lines = f"{TOPIC}, format: number, fields: {{it: celsius}}"
    (found,) = reasons(decode(book(lines), b"21,5"))
    assert found == "it: expected a number, got '21,5': `decimal: comma` in the book reads it"
    (found,) = reasons(decode(book(f"{lines}, decimal: comma"), b"1.234,5"))
    assert found == "it: expected a number, got '1.234,5'"


@pytest.mark.parametrize(
    "stamp",
    [
        "1799999995",
        "1799999995.0",
        "1799999995000",
        " 1799999995000000 ",
        " 2027-01-15T07:59:55Z\n",
        "2027-01-15T08:59:55+0100",
    ],
)
def test_a_time_that_is_sent_as_a_text(book: Any, stamp: str) -> None:
    payload = json.dumps({"heat": 1, "observed_at": stamp}).encode()
    decoded = decode(book(f"{TOPIC}, {PLAIN}"), payload)
    assert decoded.readings[0].observed_at == NOW - 5


def test_milliseconds_that_read_as_a_date_of_long_ago_are_milliseconds(book: Any) -> None:
    decoder = book(f"{TOPIC}, {PLAIN}, max_late: 4000d")
    payload = b'{"heat": 1, "observed_at": "1711112100123"}'
    assert decode(decoder, payload).readings[0].observed_at == 1_711_112_100.123


def test_a_list_at_the_top_is_a_list_of_readings(book: Any) -> None:
    decoder = book(f"{TOPIC}, readings: payload, {PLAIN}")
    assert [one["heat"] for one in values(decode(decoder, b'[{"heat": 1}, {"heat": 2}]'))] == [1, 2]


@pytest.mark.parametrize("encode", [msgspec.msgpack.encode, cbor2.dumps], ids=["msgpack", "cbor"])
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_missing(book: Any, encode: Any, odd: float) -> None:
    format_ = "msgpack" if encode is msgspec.msgpack.encode else "cbor"
    decoder = book(f"{TOPIC}, format: {format_}, fields: {{a: celsius, b: celsius}}")
    assert values(decode(decoder, encode({"a": odd, "b": 1}))) == [{"a": None, "b": 1.0}]


GATEWAY = (
    "topic: gateways/+/up, identity: {device: payload.serial, site: payload.place}, "
    "time: meta.ts, fields: {it: {unit: celsius, from: t}}"
)


def test_a_payload_names_its_device(book: Any) -> None:
    sent = {"serial": 4711, "place": "s9", "t": 5, "meta": {"ts": (NOW - 9) * 1000}}
    decoded = decode(book(GATEWAY), json.dumps(sent).encode(), topic=b"gateways/g1/up")
    assert values(decoded) == [{"it": 5.0}]
    (reading,) = decoded.readings
    assert (reading.device_id, reading.site_id, reading.observed_at) == ("s9/4711", "s9", NOW - 9)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "does not name the device: nothing"),
        ("", "does not name the device"),
        ("a/b", "cannot name a device"),
        ("#", "cannot name a device"),
        ("a\x00", "cannot name a device"),
        ("x" * 201, "cannot name a device"),
        ([1], "does not name the device: a list"),
        (True, "does not name the device: true or false"),
    ],
)
def test_a_payload_that_does_not_name_its_device_says_so(book: Any, name: Any, reason: str) -> None:
    payload = json.dumps({"serial": name, "place": "s9", "t": 5}).encode()
    (found,) = reasons(decode(book(GATEWAY), payload, topic=b"gateways/g1/up"))
    assert reason in found


def test_a_gateway_sends_several_readings_at_once_and_a_wrong_one_stops_none(book: Any) -> None:
    decoder = book(
        "topic: 'gateways/{site}', readings: payload.values, identity: {device: id}, "
        "time: at, fields: {it: {unit: celsius, from: t}, mains: {kind: bool, from: payload.mains}}"
    )
    parts: Sequence[Any] = [
        {"id": "a", "t": 1, "at": NOW - 2},
        {"id": "b", "t": "hot"},
        {"t": 3},
        "nonsense",
        {"id": "c", "t": 4},
    ]
    payload = json.dumps({"mains": True, "values": parts}).encode()
    decoded = decode(decoder, payload, payload, topic=b"gateways/s1")
    found = [(one.device_id, one.values.it, one.values.mains) for one in decoded.readings]
    assert found == [("s1/a", 1.0, True), ("s1/c", 4.0, True)] * 2
    assert decoded.readings[0].observed_at == NOW - 2
    rejected = decoded.rejected[0]
    assert (
        "reading 1: it: expected a number, got text: send it without quotes; reading 2: "
        in rejected.reason
    )
    assert "reading 3: expected an object such as" in rejected.reason
    assert [one.position for one in decoded.rejected] == [0, 1]


def test_a_list_that_is_not_there_says_so(book: Any) -> None:
    decoder = book("topic: 'g/{device}', readings: values, fields: {it: celsius}")
    (found,) = reasons(decode(decoder, b'{"value": []}', topic=b"g/1"))
    assert "no list of readings" in found


STATUS = "status: {topic: 'plant/{site}/units/{device}/status', online: 'on', offline: 'off'}"


@pytest.mark.parametrize(
    ("status", "payload", "online"),
    [
        ("status: 'plant/{site}/units/{device}/status'", b"online", True),
        ("status: 'plant/{site}/units/{device}/status'", b"offline\n", False),
        (STATUS, b"off", False),
        (
            STATUS.replace("}", ", from: state.now}", 3)
            .replace("{site, from: state.now}", "{site}")
            .replace("{device, from: state.now}", "{device}"),
            b'{"state": {"now": "on"}}',
            True,
        ),
    ],
)
def test_a_status_topic_tells_whether_a_device_is_online(
    book: Any, status: str, payload: bytes, online: bool
) -> None:
    decoder = book(f"{TOPIC}, {FIELDS}, {status}")
    decoded = decode(decoder, payload, topic=UNIT + b"/status")
    assert (decoded.readings, decoded.rejected) == ([], [])
    assert [(one.device_id, one.online) for one in decoded.presences] == [("s1/u1", online)]


def test_a_status_that_is_another_word_says_so(book: Any) -> None:
    decoder = book(f"{TOPIC}, {FIELDS}, {STATUS}")
    (found,) = reasons(decode(decoder, b"dying", topic=UNIT + b"/status"))
    assert found == "the status 'dying' is neither 'on' nor 'off'"
