"""The processor's state as bytes and back, also into a processor of another book."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from prevenant.domain import Reading
from rules import nearby
from rules.alarm import AlarmState
from rules.derived import Memory
from rules.flood import Flood
from rules.lane import DeviceState, Lane
from rules.put_back import Behind

_Values = TypeVar("_Values")


class _Kept(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """A device's state beyond its last reading, where there is anything."""

    alarms: dict[str, AlarmState] | None = None
    nears: list[nearby.NearState] | None = None
    ended: dict[str, float] | None = None
    raised: dict[str, list[float]] | None = None
    shelved: dict[str, float] | None = None
    memory: Memory | None = None
    flood: tuple[int, int, float, int] | None = None
    held: tuple[float, float, Any] | None = None
    is_silent: bool = False
    behind: Behind | None = None


class _Device(msgspec.Struct, Generic[_Values], array_like=True, gc=False):
    """One device: its last reading, and what else is known of it."""

    device_id: str
    site_id: str
    observed_at: float
    received_at: float
    retained: bool
    values: _Values
    kept: _Kept | None


class _Lane(msgspec.Struct, Generic[_Values]):
    """The devices of one type, and the names of what their memories and `near` hold."""

    devices: list[_Device[_Values]]
    remembered: list[str]
    nears: list[str]


class Saved(msgspec.Struct):
    """What is saved beside the devices."""

    rules: str
    """The fingerprint of the rules."""
    late: int
    history: list[Any]
    losses: list[tuple[str, str, float]] = []
    lanes: dict[str, msgspec.Raw] = {}


def save_state(saved: Saved, lanes: Iterable[Lane]) -> bytes:
    """Return `saved` with the state of all devices, as bytes."""
    for lane in lanes:
        saved.lanes[lane.name] = msgspec.Raw(
            msgspec.msgpack.encode(
                _Lane(
                    [_pack(device_id, state) for device_id, state in lane.devices.items()],
                    lane.plan.derived.names,
                    [repr(near) for near in lane.plan.nears],
                )
            )
        )
    return msgspec.msgpack.encode(saved)


def load_state(state: bytes, lanes: Mapping[str, Lane], rules: str) -> Saved:
    """Fill `lanes` with the devices of a saved state; `rules` is the fingerprint of the book in force."""
    saved = msgspec.msgpack.decode(state, type=Saved)
    for name, packed in saved.lanes.items():
        if name in lanes:
            same = saved.rules == rules
            _load_lane(lanes[name], _decode_lane(packed, lanes[name]), same_rules=same)
    return saved


def _decode_lane(packed: msgspec.Raw, lane: Lane) -> _Lane[Any]:
    """Return the saved devices of a type; a field that is of another kind now is unknown."""
    as_now: Any = _Lane[lane.values_type]  # type: ignore[name-defined]
    try:
        as_then: _Lane[Any] = msgspec.msgpack.decode(packed, type=as_now)
    except msgspec.ValidationError:
        as_then = msgspec.msgpack.decode(packed, type=_Lane[Any])
        for device in as_then.devices:
            device.values = _convert(device.values, lane)
    return as_then


def _load_lane(lane: Lane, packed: _Lane[Any], *, same_rules: bool) -> None:
    plan = lane.plan
    nears = [repr(near) for near in plan.nears]
    sites: dict[str, str] = {}
    """Each name once: there are many devices at a site."""
    for device in packed.devices:
        reading = Reading(
            lane.name,
            sites.setdefault(device.site_id, device.site_id),
            device.device_id,
            device.observed_at,
            device.received_at,
            device.values,
            device.retained,
        )
        state = DeviceState(reading)
        if device.kept is not None:
            _unpack(lane, state, device.kept)
        state.weighed = plan.signature(reading)
        if nears != packed.nears or not (nears and state.nears):
            kept = dict(zip(packed.nears, state.nears or (), strict=False))
            state.nears = [kept.get(near) or nearby.NearState(rest=None) for near in nears] or None
        if not plan.remembers:
            state.memory = None
        elif state.memory is None:
            state.memory = plan.derived.new_memory(reading)
        elif not same_rules:
            state.memory = plan.derived.adopt(state.memory, packed.remembered)
        lane.add(device.device_id, state)


def _pack(device_id: str, state: DeviceState) -> _Device[Any]:
    reading, flood = state.reading, state.flood
    is_bare = not (
        state.alarms
        or state.nears
        or state.ended
        or state.raised
        or state.shelved
        or state.memory
        or flood
        or state.is_silent
        or state.behind
    )
    kept = None
    if not is_bare:
        held = flood.held if flood else None
        kept = _Kept(
            state.alarms or None,
            state.nears,
            state.ended,
            state.raised,
            state.shelved,
            state.memory,
            (flood.second, flood.weighed, flood.due, flood.shed) if flood else None,
            (held.observed_at, held.received_at, held.values) if held else None,
            state.is_silent,
            state.behind,
        )
    return _Device(
        device_id,
        reading.site_id,
        reading.observed_at,
        reading.received_at,
        reading.retained,
        reading.values,
        kept,
    )


def _unpack(lane: Lane, state: DeviceState, kept: _Kept) -> None:
    state.alarms, state.nears, state.ended = kept.alarms, kept.nears, kept.ended
    state.raised, state.shelved, state.memory = kept.raised, kept.shelved, kept.memory
    state.is_silent, state.behind = kept.is_silent, kept.behind
    for name, alarm in (state.alarms or {}).items():
        levels = lane.rules[lane.index[name]].levels if name in lane.index else ()
        alarm.level = min(alarm.level, max(0, len(levels) - 1))
        alarm.lower = min(alarm.lower, alarm.level - 1)
    if kept.flood is None:
        return
    second, weighed, due, shed = kept.flood
    state.flood = Flood(second, weighed, None, due, shed)
    if kept.held is not None:
        observed_at, received_at, values = kept.held
        state.is_holding = True
        state.flood.held = msgspec.structs.replace(
            state.reading,
            observed_at=observed_at,
            received_at=received_at,
            values=_convert(values, lane),
            retained=False,
        )


def _convert(values: Any, lane: Lane) -> Any:
    """Return the values of a reading; a field that is of another kind now is unknown."""
    try:
        return msgspec.convert(values, lane.values_type)
    except msgspec.ValidationError:
        kept = {}
        for name, value in values.items():
            try:
                msgspec.convert({name: value}, lane.values_type)
            except msgspec.ValidationError:
                continue
            kept[name] = value
        return msgspec.convert(kept, lane.values_type)
