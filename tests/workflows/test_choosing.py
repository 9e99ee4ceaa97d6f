"""With the store: the crowd keeps the same candidates as judging everybody, also after changes."""

import random
from collections import Counter
from datetime import timedelta

import pytest

from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, Leave, Technician
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import VISIT, DispatchDesk
from workflows.office import Office, office_of
from workflows.tables import ACTIVE_JOBS, Case, Offer, WaitingJob, WorkOrder

STEPS = VISIT.replace("hvac, within", "hvac >= 2, at_once: 2, within")


def fill(desk: DispatchDesk, seed: int, count: int = 60) -> None:
    """Let technicians differ."""
    chance = random.Random(seed)
    for number in range(count):
        desk.add_technician(
            f"t{number:02}",
            chance.uniform(-130, 130),
            skills={"hvac": chance.randint(1, 3)},
            shifts=parse_shifts(
                chance.choice(["always", "mon-fri 08:00-18:00", "sun 08:00-09:00"])
            ),
            capacity=chance.randint(1, 2),
        )


def change(desk: DispatchDesk, seed: int) -> None:
    """Let another process change some of them."""
    chance = random.Random(seed)
    other = Store(desk.store.url)
    with other.write() as session:
        for number in chance.sample(range(60), 12):
            one = session.get_one(Technician, f"t{number:02}")
            match chance.randrange(5):
                case 0:
                    one.is_active = False
                case 1:
                    one.position_latitude, one.position_longitude = 47.4, 5.1
                    one.position_at = desk.clock.now() - timedelta(minutes=chance.randrange(120))
                case 2:
                    session.get_one(Contact, one.contact_id).is_active = False
                case 3:
                    one.skills = {"hvac": 3}
                case _:
                    now, day = desk.clock.now(), timedelta(days=1)
                    session.add(Leave(technician_id=one.id, starts_at=now - day, ends_at=now + day))
    other.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_crowd_keeps_the_same_candidates_as_judging_everybody(
    store: Store, clock: MovedClock, seed: int
) -> None:
    desk = DispatchDesk(store, clock, STEPS)
    desk.office.gather_s = 0.0
    fill(desk, seed)
    for step in range(4):
        for small in (10_000, 0):
            desk.office.small = small
            desk.raise_alarm(number=10 * step + (small == 0))
            # The same question again: whoever was offered the first job gives it back.
            case = desk.case()
            kept = desk.candidates(case.id)
            (last,) = [one for one in desk.rounds() if one.case_id == case.id]
            found = (kept, last.eligible, last.total, last.counts, last.summary)
            with desk.store.write() as session:
                for offer in desk.rows(Offer, case_id=case.id):
                    session.get_one(Offer, offer.id).state = "withdrawn"
            if small:
                expected = found
        assert found == expected
        change(desk, 100 * seed + step)


def test_a_technician_who_changed_since_the_crowd_was_read_is_judged_as_they_are(
    store: Store, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = DispatchDesk(store, clock, STEPS)
    fill(desk, 5)
    desk.office.small = 0
    with store.read() as session, office_of(session).crowd(session):
        pass
    change(desk, 6)
    # However stale the crowd is, nobody is sent who cannot go, and the counts add up.
    monkeypatch.setattr(Office, "_refresh", lambda *_: None)
    desk.raise_alarm()
    (last,) = desk.rounds()
    assert last.eligible + sum(last.counts.values()) == last.total
    with store.read() as session:
        for who, _ in desk.offers():
            technician = session.get_one(Technician, who)
            assert technician.is_active
            assert session.get_one(Contact, technician.contact_id).is_active
            assert technician.skills["hvac"] >= 2


@pytest.mark.parametrize("small", [10_000, 0])
@pytest.mark.parametrize("seed", range(4))
def test_nobody_ever_has_more_jobs_and_offers_than_they_can_take(
    store: Store, clock: MovedClock, seed: int, small: int
) -> None:
    chance = random.Random(seed)
    desk = DispatchDesk(store, clock, STEPS)
    desk.office.small = small
    fill(desk, seed, 12)
    for number in range(25):
        if chance.random() < 0.5:
            desk.raise_alarm(number=number)
        elif standing := desk.rows(Offer, state="open"):
            offer = chance.choice(standing)
            with store.read() as session:
                device = session.get_one(Case, offer.case_id).device_id
            desk.reply_for(device, offer.technician_id, chance.choice(["accept", "decline"]))
        desk.pass_time(seconds=chance.choice([0, 1, 3, 700]))
        loads = Counter(one.technician_id for one in desk.rows(Offer, state="open"))
        loads += Counter(
            one.technician_id for one in desk.rows(WorkOrder) if one.state in ACTIVE_JOBS
        )
        loads += Counter(one.technician_id for one in desk.rows(WaitingJob, state="assigned"))
        with store.read() as session:
            for who, load in loads.items():
                assert not who or load <= session.get_one(Technician, who).capacity
        for one, _ in desk.offers():
            with store.read() as session:
                assert session.get_one(Technician, one).skills["hvac"] >= 2
