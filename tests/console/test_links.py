"""Pages by link: a customer moves and rates a visit, a technician works a job, nobody else sees them."""

import io
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlmodel import Session, select

from notify import Templates
from notify.links import Link
from prevenant.crm.directory import find_present
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.tables import CASE_EVENTS, TimelineEntry
from tests.console.browsing import PATIENCE_MS, Browsing, check_accessible
from tests.world import World
from workflows import surveys
from workflows.colleagues import post_words
from workflows.story import Story
from workflows.tables import Case, Photo, SentSurvey, WorkOrder
from workflows.versions import running

JULES, CAMILLE, PAUL = "+33639980022", "+33639980041", "+33639980008"
_LINK = re.compile(r"http://127\.0\.0\.1:\d+(/[vj]/[\w-]{24})(?![\w-])")


def warm_up(world: World, home: str = "h01") -> None:
    """Let a refrigerator be too warm for twenty minutes."""
    values = {"setpoint": 4.0, "compressor_amps": 0.1, "door_open": False}
    for _ in range(5):
        world.publish(f"homes/{home}/fridges/fridge", cabinet=9.3, **values)
        world.clock.advance(minutes=5)


def link_in(world: World, number: str, *words: str) -> str:
    """Return the path of the link in the latest text to a phone with these words."""
    world.phone(number).expects_sms(*words)
    texts = [one.body for one in world.carrier.sent_to(number, "Messages")]
    texts = [text for text in texts if all(word in text for word in words)]
    found = _LINK.search(texts[-1])
    assert found, texts[-1]
    return found[1]


@pytest.fixture
def visitors(chromium: Browser, world: World) -> Iterator[BrowserContext]:
    """Return a phone's browser that nobody has signed in."""
    context = chromium.new_context(
        base_url=world.engine.address,
        locale="en-GB",
        timezone_id="Europe/Paris",
        viewport={"width": 390, "height": 844},
        geolocation={"latitude": 47.28, "longitude": 5.04},
        permissions=["geolocation"],
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def phone(visitors: BrowserContext) -> Iterator[Page]:
    with Browsing(visitors.new_page()).watched() as page:
        yield page


def photograph() -> bytes:
    """Return a JPEG with a place in it."""
    exif = Image.Exif()
    exif[0x010E] = "somebody's home"
    out = io.BytesIO()
    Image.new("RGB", (3000, 2000), "teal").save(out, "JPEG", exif=exif)
    return out.getvalue()


def write_to_technician(world: World, text: str) -> None:
    """Let somebody at a desk write to the technician who has the job."""
    case = world.expect_case("refrigerator-warming")
    with world.engine.store.write() as session:
        contact = session.exec(select(WorkOrder.contact_id)).one()
        post_words(session, case.id or 0, world.clock.now(), "Nadia", contact, "sms", text)
    world.phone(JULES).expects_sms("sous le capot")


def ask_survey(world: World, kind: str) -> None:
    """Send the customer a survey, as a step of a workflow does."""
    case_id = world.expect_case("refrigerator-warming").id
    with world.engine.store.write() as session:
        case, now = session.get_one(Case, case_id), world.clock.now()
        run = running(session, Story({}, {}, Templates()), case, now)
        person = find_present(session, "camille-roux")
        assert person is not None
        until = now + timedelta(days=2)
        surveys.ask(run, person, kind, "customer", f"survey_{kind}", [["sms"]], until)


def test_a_technician_works_a_job(world: World, phone: Page) -> None:
    with world.engine.store.write() as session:
        session.add(Contact(id="room", name="Expert room", phone="+33639980099", language="fr"))
        session.flush()
        session.add(RoleHolder(contact_id="room", role="expert"))
    warm_up(world)
    phone.goto(link_in(world, JULES, "Répondez 1"))
    expect(phone.locator("h1")).to_contain_text("Réfrigérateur")
    expect(phone.locator("main")).not_to_contain_text("rue")
    check_accessible(phone)
    phone.get_by_role("button", name="J'accepte").click()
    expect(phone.locator(".notice").first).to_contain_text("est à vous")
    world.phone(JULES).expects_sms("Elle est à vous", "/j/")
    world.phone(CAMILLE).expects_sms("Jules passe")
    expect(phone.get_by_role("link", name="Itinéraire")).to_have_attribute(
        "href", re.compile(r"destination=47\.\d+,5\.\d+")
    )
    phone.get_by_role("button", name="Partager ma position").click()
    expect(phone.locator("#share")).to_have_attribute("aria-pressed", "true")
    phone.get_by_role("button", name="Je suis en route").click()
    world.phone(CAMILLE).expects_sms("Jules est en route")
    phone.get_by_text("Demander à un expert").click()
    phone.get_by_label("Votre question").fill("Quel relais pour ce compresseur ?")
    phone.get_by_role("button", name="Demander", exact=True).click()
    world.phone("+33639980099").expects_sms("Jules Perrin demande", "Quel relais")
    expect(phone.locator("#talk")).to_contain_text("Quel relais pour ce compresseur ?")
    write_to_technician(world, "Le <b>230 V</b>, sous le capot.")
    expect(phone.locator("#talk")).to_contain_text("Nadia")
    expect(phone.locator("#talk")).to_contain_text("Le <b>230 V</b>, sous le capot.")
    phone.get_by_role("button", name="Je suis sur place").click()
    world.expect_story("technician.arrived", "Jules")
    check_accessible(phone)
    phone.get_by_label("Une photo").set_input_files(
        {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": photograph()}
    )
    phone.get_by_role("button", name="Envoyer la photo").click()
    expect(phone.locator(".photos img")).to_have_count(1)
    phone.get_by_text("Aucun défaut").click()
    phone.get_by_role("textbox", name="Cause").fill("relais du compresseur")
    phone.get_by_label("Pièces utilisées").fill("relais 230 V")
    phone.get_by_role("button", name="Terminé").click()
    world.expect_story(
        "technician.done", "no fault found: relais du compresseur: parts relais 230 V"
    )
    expect(phone.locator("h1")).to_contain_text("Réfrigérateur")
    with world.engine.store.read() as session:
        photo = session.exec(select(Photo)).one()
        order = session.exec(select(WorkOrder)).one()
    assert (photo.width, photo.height) == (1600, 1067)
    assert b"somebody" not in photo.picture
    assert (order.code, order.parts) == ("no_fault_found", "relais 230 V")


def test_a_customer_moves_the_visit_and_rates_it(world: World, phone: Page) -> None:
    warm_up(world)
    jules = world.phone(JULES).expects_sms("Répondez 1").replies("1")
    phone.goto(link_in(world, CAMILLE, "Jules passe lundi 4 mai, 11:00-13:00"))
    expect(phone.locator("h1")).to_contain_text("Jules passe s'en occuper")
    expect(phone.locator("main")).to_contain_text("9,3 °C")
    check_accessible(phone)
    phone.get_by_text("Choisir un autre moment").click()
    check_accessible(phone)
    day = phone.get_by_role("group", name="mardi 5 mai")
    day.get_by_text("09:30 \N{EN DASH} 11:30").click()
    phone.get_by_role("button", name="Déplacer la visite").click()
    expect(phone.locator(".notice").first).to_contain_text("nouvel horaire")
    expect(phone.locator(".when")).to_contain_text("emain, mardi 5 mai, 09:30")
    world.phone(CAMILLE).expects_sms("C'est noté, Camille", "mardi 5 mai, 09:30-11:30")
    jules.expects_sms("change, à la demande du client", "mardi 5 mai, 09:30-11:30")
    world.expect_story("visit.moved", "Camille Roux moves the visit", "Jules Perrin")
    # The waits follow the visit: nobody is alarmed when its first time has passed.
    world.clock.advance(hours=5)
    world.phone(CAMILLE).has_no_sms("désol")
    jules.replies("1")
    expect(phone.locator("h1")).to_contain_text("Jules est en route")
    jules.replies("2")
    expect(phone.locator("h1")).to_contain_text("Jules est sur place")
    jules.replies("3 joint changé")
    expect(phone.locator("h1")).to_contain_text("C'est fait")
    check_accessible(phone)
    phone.get_by_role("group", name="Votre avis").get_by_text("4").click()
    phone.get_by_label("Que pourrions-nous").fill("<script>alert(1)</script> ponctuel")
    phone.get_by_role("button", name="Envoyer").click()
    world.expect_case("refrigerator-warming", state="closed", rating=4)
    expect(phone.locator("main")).to_contain_text("la note 4")


def test_what_comes_of_a_press_is_told_however_late_the_case_hears_of_it(
    world: World, phone: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears, look = threading.Event(), world.engine._runtime._look
    hears.set()

    def look_when_free(now: datetime) -> Any:
        hears.wait(60)
        return look(now)

    monkeypatch.setattr(world.engine._runtime, "_look", look_when_free)
    warm_up(world)
    job = link_in(world, JULES, "Répondez 1")
    # As where cases are the work of another process.
    world.engine.store.attend(CASE_EVENTS, None)
    hears.clear()
    phone.goto(job)
    phone.get_by_role("button", name="J'accepte").click()
    expect(phone.locator("#said")).to_contain_text("Nous transmettons")
    hears.set()
    expect(phone.locator("#said")).to_contain_text("est à vous")
    expect(phone.get_by_role("button", name="Je suis en route")).to_be_visible()
    # It may also be heard before the page is there that would wait for it.
    visit = link_in(world, CAMILLE, "Jules passe")
    hears.clear()
    form: dict[str, str | float | bool] = {"do": "talk", "key": "k", "note": "bonjour"}
    waits_at = phone.request.post(visit, form=form, max_redirects=0).headers["location"]
    hears.set()
    world.expect_story("person.wanted")
    phone.goto(waits_at)
    expect(phone.locator("#said")).to_contain_text("va vous rappeler")


def test_a_customer_confirms_and_speaks_to_a_person(world: World, phone: Page) -> None:
    warm_up(world)
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    phone.goto(link_in(world, CAMILLE, "Jules passe"))
    phone.get_by_role("button", name="Oui, cela me convient").click()
    world.expect_story("customer.confirmed", "Camille Roux")
    expect(phone.locator(".tag")).to_have_text("Confirmé")
    phone.get_by_text("Parler à quelqu'un").click()
    phone.get_by_label("De quoi").fill("Le code de la porte est 12A")
    phone.get_by_role("button", name="Rappelez-moi").click()
    world.phone(PAUL).expects_sms("Camille Roux demande à parler à quelqu'un", "code de la porte")
    expect(phone.locator("#now")).to_contain_text("Une personne va vous rappeler")


def test_a_customer_says_that_it_is_fixed(world: World, phone: Page) -> None:
    warm_up(world)
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    phone.goto(link_in(world, CAMILLE, "Jules passe"))
    phone.get_by_text("C'est déjà réglé, ou").click()
    phone.get_by_label("Que s'est-il passé").fill("Le disjoncteur avait sauté")
    phone.get_by_role("button", name="C'est déjà réglé").click()
    world.phone(JULES).expects_sms("n'est plus ouverte")
    world.phone(PAUL).expects_sms("le problème étant réglé", "disjoncteur")
    expect(phone.locator("h1")).to_contain_text("Aucune visite n'est prévue")


def test_a_link_opens_one_case_and_ends(world: World, phone: Page) -> None:
    warm_up(world)
    job = link_in(world, JULES, "Répondez 1")
    world.phone(JULES).replies("1")
    visit = link_in(world, CAMILLE, "Jules passe")
    for path in (visit.replace("/v/", "/j/"), job.replace("/j/", "/v/"), visit[:-1] + "!", "/v/x"):
        answer = phone.request.get(path)
        assert answer.status == 404, path
        assert "Jules" not in answer.text()
    sent = phone.request.post(job.replace("/j/", "/v/"), form={"do": "confirm", "key": "k"})
    assert sent.status == 404
    headers = phone.request.get(visit).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "noindex" in headers["x-robots-tag"]
    with world.engine.store.read() as session:
        assert not any(one.uses for one in session.exec(select(Link)))
    world.clock.advance(days=31)
    assert phone.request.get(visit).status == 410
    phone.goto(visit)
    expect(phone.locator("h1")).to_contain_text("This link is over")
    check_accessible(phone)


def test_the_same_form_sent_twice_is_one_answer(world: World, phone: Page) -> None:
    warm_up(world)
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    visit = link_in(world, CAMILLE, "Jules passe")
    for _ in range(2):
        form: dict[str, str | float | bool] = {"do": "talk", "key": "same", "note": "bonjour"}
        assert phone.request.post(visit, form=form).ok
    world.phone(PAUL).expects_sms("demande à parler")
    world.phone(CAMILLE).expects_sms("Une personne va vous rappeler")
    replies = [
        one for one in world.expect(lambda s: s.exec(select(Link)).all(), "links") if one.uses
    ]
    assert [one.uses for one in replies] == [2]
    with world.engine.store.read() as session:
        assert len(stories(session)) == 1


def stories(session: Session) -> list[str]:
    lines = session.exec(select(TimelineEntry).where(TimelineEntry.kind == "person.wanted"))
    return [one.summary for one in lines]


def test_a_desk_revokes_the_links_of_a_case(world: World, phone: Page, page: Page) -> None:
    warm_up(world)
    job = link_in(world, JULES, "Répondez 1")
    phone.goto(job)
    expect(phone.locator("h1")).to_contain_text("Réfrigérateur")
    page.goto(f"/cases/{world.expect_case('refrigerator-warming').id}")
    links = page.locator("section", has=page.get_by_role("heading", name="Links without a login"))
    expect(links).to_contain_text("Jules Perrin")
    links.get_by_role("button", name="Revoke them all").click()
    world.expect_story("link.revoked", "administrator")
    expect(page.get_by_role("button", name="Revoke them all")).to_have_count(0)
    # The page hears of it, and is another one by itself; one that is led away meanwhile goes nowhere.
    expect(phone.locator("h1")).not_to_contain_text("Réfrigérateur")
    expect(phone.get_by_role("button")).to_have_count(0)
    answer = phone.goto(job)
    assert answer is not None
    assert answer.status == 410


@pytest.mark.parametrize(
    ("kind", "group", "rating"), [("nps", "recommanderiez", 9), ("ces", "facilité", 6)]
)
def test_a_customer_answers_another_survey(
    world: World, phone: Page, kind: str, group: str, rating: int
) -> None:
    warm_up(world)
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    link = link_in(world, CAMILLE, "Jules passe")
    ask_survey(world, kind)
    phone.goto(link)
    scale = phone.get_by_role("group", name=re.compile(group))
    check_accessible(phone)
    scale.get_by_text(str(rating), exact=True).click()
    phone.get_by_role("button", name="Envoyer").click()
    world.expect(
        lambda session: session.exec(
            select(SentSurvey.rating).where(SentSurvey.kind == kind, SentSurvey.rating == rating)
        ).first(),
        "answer to the survey",
    )
