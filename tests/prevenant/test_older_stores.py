"""A store of an earlier release keeps its cases: they hear of their alarms as before."""

from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from sqlmodel import col, select

import prevenant.app
from prevenant.crm.tables import Device, Technician
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock
from workflows.audit import find_lost
from workflows.tables import CaseAlarm

MIGRATIONS = Path(prevenant.app.__file__).parent / "migrations"
AT = "2026-05-04 08:00:00"


def test_cases_from_before_cases_had_several_alarms(
    empty_database_url: str, clock: MovedClock
) -> None:
    store = Store(empty_database_url)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0006")
        for number, rule in ((1, "hot"), (2, "quiet")):
            connection.execute(
                sa.text(
                    "INSERT INTO alarm (id, rule, device_type, site_id, device_id, severity, state,"
                    ' onset_at, raised_at, acknowledged_by, held_by, reason, trace, "values")'
                    f" VALUES ({number}, '{rule}', 'room', 's', 's/{number}', 3, 'active',"
                    f" '{AT}', '{AT}', '', '', 'why', '[]', '{{}}')"
                )
            )
            connection.execute(
                sa.text(
                    "INSERT INTO case_event (id, key, kind, urgency, alarm_id, data, at, heard_at,"
                    f" attempts) VALUES ({number}, 'k{number}', 'alarm.raised', 3, {number}, '{{}}',"
                    f" '{AT}', '{AT}', 0)"
                )
            )
        connection.execute(
            sa.text("INSERT INTO workflow_version (version, name, steps) VALUES ('v', 'w', '[]')")
        )
        connection.execute(
            sa.text(
                "INSERT INTO case_file (id, alarm_id, rule, device_type, site_id, device_id,"
                " severity, workflow, workflow_version, state, outcome, owner, progress, due_at,"
                " opened_at) VALUES (1, 1, 'hot', 'room', 's', 's/1', 3, 'w', 'v', 'open', '', '',"
                f" '{{}}', '2026-05-05 08:00:00', '{AT}')"
            )
        )
    store.upgrade()
    clock.advance(minutes=10)
    with store.read() as session:
        (member,) = session.exec(select(CaseAlarm)).all()
        assert (member.case_id, member.alarm_id, member.ended_at) == (1, 1, None)
        outcomes = session.exec(select(CaseEvent.outcome).order_by(col(CaseEvent.id))).all()
        assert outcomes == ["", "no workflow"]
        assert find_lost(session, clock.now()) == []
    store.close()


def test_places_people_and_devices_from_before_there_were_areas(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    rows = (
        "customer (id, name) VALUES ('c', 'Airport')",
        (
            "contact (id, name, phone, email, language, timezone, preferred, customer_id)"
            " VALUES ('k', 'Kim', '', '', 'en', 'UTC', 'sms', 'c')"
        ),
        (
            "site (id, name, customer_id, contact_id, address, latitude, longitude, timezone)"
            " VALUES ('s', 'Hall', 'c', 'k', '', 1, 1, 'UTC')"
        ),
        (
            "device (id, site_id, type, label, place, camera_url, loudspeaker_url)"
            " VALUES ('s/d', 's', 'door', 'Door', '', '', '')"
        ),
        (
            "technician (id, contact_id, latitude, longitude, timezone, capacity, skills, shifts)"
            " VALUES ('t', 'k', 1, 1, 'UTC', 1, '{}', '[]')"
        ),
    )
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0005")
        for row in rows:
            connection.execute(sa.text(f"INSERT INTO {row}"))
    store.upgrade()
    with store.read() as session:
        device = session.get_one(Device, "s/d")
        technician = session.get_one(Technician, "t")
    assert (device.site_id, device.asset_id) == ("s", None)
    assert (technician.areas, technician.parts, technician.is_active) == ([], {}, True)
    refused = pytest.raises(sa.exc.IntegrityError)
    with refused, store.write() as session:
        session.execute(sa.text("DELETE FROM site"))
    store.close()
