"""The page on which an author changes the rule book: check, test, replay, publish."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response, status
from sqlmodel import Session

from prevenant.api.access import Actor, AuthorOfAll
from prevenant.book_judging import Judgement, judge_texts
from prevenant.book_people import known_people
from prevenant.book_texts import compare_texts, describe_differences
from prevenant.console.shell import act, go_on, show
from prevenant.console.texts import compare_lines, number_lines
from prevenant.drafts import (
    BookDraft,
    add_file,
    begin_draft,
    drop_draft,
    find_draft,
    remove_file,
    save_draft,
)
from prevenant.errors import ConfigurationError
from prevenant.moments import read_moment
from prevenant.publishing import find_active, list_versions, publish_edition
from prevenant.tasks.folder import Tasks
from prevenant.tasks.starting import start_task
from prevenant.tasks.wanted import Replay, Trial, Wanted

router = APIRouter(include_in_schema=False)

_PAGE = "/rules/draft"
_TESTS = "tests"
_ORIGIN = "console"
_VERSIONS, _TASKS = 30, 5
_MOST_TESTS = 500_000

Text = Annotated[str | None, Form()]
File = Annotated[str, Form()]


@router.post(_PAGE)
def begin(request: Request, actor: AuthorOfAll) -> Response:
    """Begin a draft, unless there is one, and show it."""
    now, tests = request.app.state.clock.now(), _tests_on_disk(request)
    return act(request, lambda session: begin_draft(session, actor.name, now, tests), _PAGE)


@router.get(_PAGE)
def show_draft(request: Request, actor: AuthorOfAll, file: str = "") -> Response:
    """Show the author's draft with everything that is wrong or doubtful in it."""
    with request.app.state.store.read() as session:
        if find_draft(session, actor.name) is None:
            return go_on("/rules")
    return show(request, "draft.html", lambda s: _draft(s, request, actor, file), actor)


@router.post(f"{_PAGE}/save")
def save(request: Request, actor: AuthorOfAll, file: File = "", text: Text = None) -> Response:
    """Keep what was written, and say what is wrong with it."""
    where = _page(file)
    response = act(request, _saving(request, actor, file, text), where)
    if "hx-request" not in request.headers:
        return response
    if "set-cookie" in response.headers:
        # What went wrong stands on the page itself.
        notice = {"Set-Cookie": response.headers["set-cookie"], "HX-Redirect": where}
        return Response(status_code=status.HTTP_204_NO_CONTENT, headers=notice)
    return show(request, "draft_saved.html", lambda s: _draft(s, request, actor, file), actor)


@router.post(f"{_PAGE}/files")
def add(
    request: Request, actor: AuthorOfAll, name: File, file: File = "", text: Text = None
) -> Response:
    """Add an empty file to the draft."""
    saving, now = _saving(request, actor, file, text), request.app.state.clock.now()

    def change(session: Session) -> None:
        saving(session)
        add_file(session, actor.name, now, name)

    return act(request, change, _page(name.strip()))


@router.post(f"{_PAGE}/files/remove")
def remove(request: Request, actor: AuthorOfAll, file: File) -> Response:
    """Remove a file from the draft."""
    now = request.app.state.clock.now()
    return act(request, lambda session: remove_file(session, actor.name, now, file), _PAGE)


@router.post(f"{_PAGE}/drop")
def drop(request: Request, actor: AuthorOfAll) -> Response:
    """Forget the draft."""
    return act(request, lambda session: drop_draft(session, actor.name), "/rules")


@router.post(f"{_PAGE}/test")
def run_tests(
    request: Request,
    actor: AuthorOfAll,
    file: File = "",
    text: Text = None,
    pattern: Annotated[str, Form()] = "",
) -> Response:
    """Run the draft's tests against it."""

    def want(draft: BookDraft) -> Wanted:
        return Trial(draft.main, draft.files, draft.tests, pattern.strip())

    return _start(request, actor, _saving(request, actor, file, text), want, _page(file))


@router.post(f"{_PAGE}/replay")
def replay(  # noqa: PLR0913, PLR0917  a form has as many fields as it needs
    request: Request,
    actor: AuthorOfAll,
    file: File = "",
    text: Text = None,
    against: Annotated[int, Form()] = 0,
    since: Annotated[str, Form()] = "",
    until: Annotated[str, Form()] = "",
    extent: Annotated[str, Form()] = "all",
    answers: Annotated[str, Form()] = "people",
) -> Response:
    """Replay history against the draft."""
    now = request.app.state.clock.now()

    def want(draft: BookDraft) -> Wanted:
        return Replay(
            draft.main,
            draft.files,
            against,
            read_moment(since.strip(), now) if since.strip() else None,
            read_moment(until.strip(), now) if until.strip() else None,
            alarms_only=extent == "alarms",
            nobody_answers=answers == "nobody",
        )

    return _start(request, actor, _saving(request, actor, file, text), want, _page(file))


@router.post(f"{_PAGE}/publish")
def publish(
    request: Request,
    actor: AuthorOfAll,
    over: Annotated[int, Form()],
    file: File = "",
    text: Text = None,
    note: Annotated[str, Form()] = "",
) -> Response:
    """Put the draft in force, unless another version has come meanwhile that its author has not seen."""
    now = request.app.state.clock.now()
    saving = _saving(request, actor, file, text)
    problem = ""

    def change(session: Session) -> None:
        saving(session)
        active = find_active(session)
        if active is not None and active.number != over:
            message = (
                f"version {active.number} was published meanwhile by {active.by}: look how it differs, "
                "then publish again"
            )
            raise ConfigurationError(message)
        draft = _need_draft(session, actor)
        found = judge_texts(draft.main, draft.files, now.date(), None)
        if found.edition is None:
            raise ConfigurationError(_count_problems(found))
        publish_edition(
            session, found.edition, now, by=actor.name, origin=_ORIGIN, note=note.strip()
        )
        drop_draft(session, actor.name)

    try:
        with request.app.state.store.write() as session:
            change(session)
    except ConfigurationError as error:
        problem = str(error)
    if problem:
        # What was written stays, though it was not published.
        act(request, saving, _PAGE)
        return go_on(_page(file), problem)
    return go_on("/rules")


def _start(
    request: Request,
    actor: Actor,
    saving: Callable[[Session], None],
    want: Callable[[BookDraft], Wanted],
    back: str,
) -> Response:
    """Save the draft and start a task about it; a bad book is shown with what is wrong instead."""
    state = request.app.state
    try:
        with state.store.write() as session:
            saving(session)
        with state.store.read() as session:
            draft = _need_draft(session, actor)
        found = judge_texts(draft.main, draft.files, state.clock.now().date(), None)
        if found.edition is None:
            return go_on(back, _count_problems(found))
        task = start_task(state.settings, state.clock, actor.name, want(draft))
    except ConfigurationError as error:
        return go_on(back, str(error))
    return go_on(f"/tasks/{task.number}")


def _saving(
    request: Request, actor: Actor, file: str, text: str | None
) -> Callable[[Session], None]:
    """Return what keeps the text of the file that was shown, or of the tests."""
    now = request.app.state.clock.now()

    def save_it(session: Session) -> None:
        if text is None:
            return
        if file == _TESTS:
            save_draft(session, actor.name, now, {}, text)
        else:
            save_draft(session, actor.name, now, {file: text})

    return save_it


def _need_draft(session: Session, actor: Actor) -> BookDraft:
    draft = find_draft(session, actor.name)
    if draft is None:
        message = "there is no draft any more: begin one from the version in force"
        raise ConfigurationError(message)
    return draft


def _count_problems(found: Judgement) -> str:
    first = found.problems[0]
    more = f", and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
    return f"the draft is not good yet: {first}{more}"


def _page(file: str) -> str:
    return f"{_PAGE}?file={quote(file)}" if file else _PAGE


def _draft(session: Session, request: Request, actor: Actor, file: str) -> dict[str, Any] | None:
    draft = find_draft(session, actor.name)
    if draft is None:
        return None
    state = request.app.state
    found = judge_texts(draft.main, draft.files, state.clock.now().date(), known_people(session))
    active = find_active(session)
    before = active.files if active else {}
    shown = file if file in draft.files or file == _TESTS else draft.main
    tasks = [
        one for one in Tasks(state.settings.tasks).list_all() if one.kind in {"test", "replay"}
    ]
    return {
        "draft": draft,
        "shown": shown,
        "text": draft.tests if shown == _TESTS else draft.files[shown],
        "names": [*draft.files],
        "found": found,
        "texts": {one.name: one for one in number_lines(draft.files)},
        "active": active,
        "versions": list_versions(session, _VERSIONS),
        "summary": describe_differences(compare_texts(before, draft.files))
        if found.edition
        else "",
        "changed": compare_lines(before, draft.files),
        "tasks": tasks[:_TASKS],
    }


def _tests_on_disk(request: Request) -> str:
    """Return the tests beside the rule book's file, where there are some."""
    book: Path = request.app.state.settings.book
    path = book.with_name(f"{book.stem}.test.yaml")
    try:
        return path.read_text("utf-8")[:_MOST_TESTS]
    except (OSError, UnicodeDecodeError):
        return ""
