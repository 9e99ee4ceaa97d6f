"""The forms by which models are trained, judged, asked and brought along: each starts a task."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from prevenant.api.access import Actor, AuthorOfAll
from prevenant.console.shell import go_on, show
from prevenant.errors import ConfigurationError
from prevenant.moments import read_moment
from prevenant.publishing import find_active
from prevenant.tasks.folder import GIVEN
from prevenant.tasks.starting import start_task
from prevenant.tasks.wanted import JOURNAL, Data, Judge, Predict, Take, Train, Wanted
from rules.models import BookModel

MOST_BYTES = 200_000_000
"""No file that comes with a form is larger; larger ones are for the command."""
_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq")


def check_length(request: Request) -> None:
    """Refuse a body that is too large, or of which nobody says how large it is, before it is read."""
    try:
        length = int(request.headers.get("content-length", ""))
    except ValueError:
        length = MOST_BYTES + 1
    if length > MOST_BYTES:
        most = f"{MOST_BYTES // 1_000_000} MB"
        message = f"at most {most} can be sent: use Parquet, or the command `prevenant models`"
        raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, message)


router = APIRouter(include_in_schema=False)


@router.get("/models/work/train")
def show_training(request: Request, actor: AuthorOfAll, model: str = "") -> Response:
    """Show what is asked before a model is trained."""
    return _form(request, "model_train.html", actor, model)


@router.get("/models/work/judge")
def show_judging(request: Request, actor: AuthorOfAll, model: str = "") -> Response:
    """Show what is asked before versions are judged on other data."""
    return _form(request, "model_judge.html", actor, model, needs_version=True)


@router.get("/models/work/predict")
def show_predicting(request: Request, actor: AuthorOfAll, model: str = "") -> Response:
    """Show what is asked before a version is asked about devices."""
    return _form(request, "model_predict.html", actor, model, needs_version=True)


@router.get("/models/work/take")
def show_taking(request: Request, actor: AuthorOfAll) -> Response:
    """Show what is asked before a model is brought along."""
    return _form(request, "model_take.html", actor, "")


@router.post("/models/work/train", dependencies=[Depends(check_length)])
async def train(request: Request, actor: AuthorOfAll) -> Response:
    """Train the next version of a model."""

    def want(form: FormData, files: Mapping[str, str]) -> Wanted:
        return Train(
            _word(form, "model"),
            _data(request, form, files),
            _word(form, "predicts"),
            tuple(one.strip() for one in _word(form, "features").split(",") if one.strip()),
            from_visits=bool(_word(form, "visits")),
            seed=int(_number(form, "seed", 0)),
            cost_visit=_number(form, "cost_visit", 1.0),
            cost_failure=_number(form, "cost_failure", 10.0),
        )

    return await _start(request, actor, "train", want)


@router.post("/models/work/judge", dependencies=[Depends(check_length)])
async def judge(request: Request, actor: AuthorOfAll) -> Response:
    """Judge versions of a model on the same data."""

    def want(form: FormData, files: Mapping[str, str]) -> Wanted:
        versions = tuple(int(str(one)) for one in form.getlist("version") if str(one).isdecimal())
        if not versions:
            message = "no version is chosen: choose one or more"
            raise ConfigurationError(message)
        return Judge(
            _word(form, "model"),
            versions,
            _data(request, form, files),
            cost_visit=_number(form, "cost_visit", 1.0),
            cost_failure=_number(form, "cost_failure", 10.0),
        )

    return await _start(request, actor, "judge", want)


@router.post("/models/work/predict", dependencies=[Depends(check_length)])
async def predict(request: Request, actor: AuthorOfAll) -> Response:
    """Write what a version says of devices."""

    def want(form: FormData, files: Mapping[str, str]) -> Wanted:
        return Predict(
            _word(form, "model"),
            int(_number(form, "version", 0)),
            _data(request, form, files),
            "all" if _word(form, "at") == "all" else "last",
            "parquet" if _word(form, "form") == "parquet" else "csv",
        )

    return await _start(request, actor, "predict", want)


@router.post("/models/work/take", dependencies=[Depends(check_length)])
async def take(request: Request, actor: AuthorOfAll) -> Response:
    """Take a model that was exported elsewhere."""

    def want(_form: FormData, files: Mapping[str, str]) -> Wanted:
        if "archive" not in files:
            message = "no file is chosen: choose one that `prevenant models export` wrote"
            raise ConfigurationError(message)
        return Take(files["archive"])

    return await _start(request, actor, "take", want)


async def _start(
    request: Request,
    actor: Actor,
    page: str,
    want: Callable[[FormData, Mapping[str, str]], Wanted],
) -> Response:
    """Start what a form asks for, with the files that came with it."""
    state = request.app.state
    async with request.form() as form:
        uploads = {
            name: one
            for name, one in form.items()
            if isinstance(one, UploadFile) and one.filename and one.size
        }
        try:
            files = {name: _name_file(name, one) for name, one in uploads.items()}
            wanted = want(form, files)

            def bring(folder: Path) -> None:
                for name, one in uploads.items():
                    with folder.joinpath(files[name]).open("wb") as file:
                        shutil.copyfileobj(one.file, file, 1 << 20)

            task = await run_in_threadpool(
                start_task, state.settings, state.clock, actor.name, wanted, bring
            )
        except ConfigurationError as error:
            model = _word(form, "model")
            return go_on(
                f"/models/work/{page}?model={model if model.isidentifier() else ''}", str(error)
            )
    return go_on(f"/tasks/{task.number}")


def _name_file(field: str, upload: UploadFile) -> str:
    """Return what a file is called in the task's folder. Raises ConfigurationError."""
    given = (upload.filename or "").lower()
    suffixes = (".zip",) if field == "archive" else _SUFFIXES
    suffix = next((one for one in suffixes if given.endswith(one)), None)
    if suffix is None:
        message = f"{field} cannot be such a file: choose one that ends in {', '.join(suffixes)}"
        raise ConfigurationError(message)
    return f"{GIVEN}{field}{suffix}"


def _data(request: Request, form: FormData, files: Mapping[str, str]) -> Data:
    since = _word(form, "since")
    readings = JOURNAL if _word(form, "source") == JOURNAL else files.get("readings", "")
    if not readings:
        message = "no readings are chosen: choose a file, or what your devices have sent"
        raise ConfigurationError(message)
    return Data(
        readings,
        files.get("failures", ""),
        _word(form, "on"),
        read_moment(since, request.app.state.clock.now()) if since else None,
    )


def _word(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _number(form: FormData, name: str, default: float) -> float:
    text = _word(form, name)
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e12:  # noqa: PLR2004  beyond any cost or seed
        message = f"{name.replace('_', ' ')}: {text!r} is no number from 0 on"
        raise ConfigurationError(message)
    return number


def _form(
    request: Request, template: str, actor: Actor, model: str, *, needs_version: bool = False
) -> Response:
    """Show a form; one about versions is of a model that has some."""

    def collect(session: Session) -> dict[str, Any] | None:
        active = find_active(session)
        book = active.load().rules if active else None
        asked: Mapping[str, BookModel] = book.models if book else {}
        folder = request.app.state.settings.models
        there = [one.name for one in folder.iterdir() if one.is_dir()] if folder.is_dir() else []
        known = sorted({*asked, *there})
        chosen = asked.get(model)
        versions = _versions(folder, model) if model in there else []
        if needs_version and not versions:
            return None
        return {
            "known": known,
            "name": model,
            "asked": chosen,
            "types": list(book.devices) if book else [],
            "versions": versions,
            "most_mb": MOST_BYTES // 1_000_000,
        }

    return show(request, template, collect, actor)


def _versions(folder: Path, name: str) -> list[int]:
    """Return the versions of a model, the newest first."""
    found = (one.name.removeprefix("v") for one in (folder / name).iterdir())
    return sorted((int(one) for one in found if one.isdecimal()), reverse=True)
