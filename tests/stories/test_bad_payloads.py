"""What cannot become a reading is quarantined with its reason, and the next reading is served."""

import pytest
import requests
from sqlmodel import Session, col, select

from ingest.quarantine import Quarantined
from tests.world import World

DOOR = "airport/t2/doors/D14"
DEFIBRILLATOR = "airport/t2/defibrillators/A2"


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (DOOR, b'{"open": tr', "this is not JSON"),
        (DOOR, b'{"open": "yes", "battery": 50}', "open: expected true or false, got text"),
        (DOOR, b"[1, 2, 3]", 'expected an object such as {"field": 1}, got a list'),
        (DOOR, b"", "the payload is empty"),
        (DOOR, b"\xff\xfe\x00", "this is not JSON"),
        (DOOR, b'{"temprature": 22}', "none of the fields of door"),
        (DOOR, b'{"open": true, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
        (DOOR, b'{"open": true, "x": "' + b"x" * 1_048_576 + b'"}', "more than the 65536"),
        ("airport/t2/doors/D14/extra", b'{"open": true}', "no device type of the book"),
        ("airport/t2/lifts/L1", b'{"open": true}', "no device type of the book"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:24],
)
def test_it_is_quarantined_and_the_next_reading_is_served(
    world: World, topic: str, payload: bytes, reason: str
) -> None:
    world.publish(topic, payload)
    world.publish(DEFIBRILLATOR, in_cabinet=False, battery=90.0)

    world.phone("+33639980001").expects_sms("URGENCE")
    refused = world.expect(_newest, "quarantined payload")
    assert reason in refused.reason
    assert refused.topic == topic
    assert refused.size == len(payload)
    assert payload.startswith(refused.payload)


def test_the_api_lists_it_without_needing_more_than_the_token(world: World) -> None:
    world.publish(DOOR, b"nonsense")
    world.expect(_newest, "quarantined payload")
    url = f"{world.engine.address}/api/v1/quarantine"
    assert requests.get(url, timeout=30).status_code == 401
    listed = requests.get(url, headers={"Authorization": "Bearer admin"}, timeout=30).json()
    assert listed[0]["payload"] == "nonsense"
    assert listed[0]["reason"].startswith("this is not JSON")


def _newest(session: Session) -> Quarantined | None:
    return session.exec(select(Quarantined).order_by(col(Quarantined.id).desc())).first()
