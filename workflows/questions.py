"""The step `ask`: a question with its answers."""

from typing import Any

from notify import Ask, list_choices
from prevenant.clock import from_epoch
from prevenant.crm.directory import find_present
from prevenant.tables import CaseEvent
from workflows.callbacks import turns_of
from workflows.definition import Question
from workflows.recipients import nearest_of, people_of
from workflows.running import Into, Left, Outcome, RunningCase, Track, patience_of


def begin(run: RunningCase, track: Track, step: Question, due_at: float) -> Left:
    """Ask everybody whom the step means."""
    run.progress.answers.pop(step.name, None)
    run.forget_facts(f"answer.{step.name}")
    people = nearest_of(run, step.whom, step.nearest) if step.nearest else people_of(run, step.whom)
    choices = [_spoken(choice.name, choice.words) for choice in step.choices]
    ask = Ask(f"question:{step.name}", from_epoch(due_at), choices)
    extra = {"choices": list_choices(choices)}
    patience = patience_of(step)
    keys = run.tell_all(people, step.whom, step.template, step.turns, ask, extra, patience)
    track.data = {"keys": keys}
    if not people:
        run.note("ask.nobody", f"nobody to ask as {step.whom}", {"question": step.name})
        return Outcome.OTHERWISE
    track.due_at = due_at
    return Outcome.WAITING


def hear(run: RunningCase, track: Track, step: Question, event: CaseEvent) -> Left:
    """Take the answer, which `take_answer` has kept, or that nobody could be reached."""
    if step.name in run.progress.answers:
        run.stop_asking(f"question:{step.name}")
        name = run.progress.answers[step.name]
        number = next(n for n, choice in enumerate(step.choices) if choice.name == name)
        return Into(f"answers.{number}")
    keys = track.data["keys"]
    if event.kind == "message.failed" and event.data["message"] in keys:
        keys.remove(event.data["message"])
        if not keys:
            run.note("ask.unreached", f"{step.name}: nobody could be reached")
            return Outcome.OTHERWISE
    return Outcome.WAITING


def expire(run: RunningCase, step: Question) -> Outcome:
    """Go on without an answer."""
    run.stop_asking(f"question:{step.name}")
    run.note("ask.expired", f"{step.name}: no answer in time")
    return Outcome.OTHERWISE


def take_answer(run: RunningCase, event: CaseEvent) -> None:
    """Keep the first answer to a question; a later one is noted."""
    name = event.data["ask"].partition(":")[2]
    answer = event.data["intent"].partition(":")[2]
    who = event.data["name"]
    if not answer:
        return
    if event.data.get("late") and name not in run.progress.answers:
        run.note("answer.late", f"{name}: {who} answers {answer}, too late")
        person = find_present(run.session, event.data["contact"])
        if person is not None:
            run.tell(person, str(event.data["role"]), "answer_late", turns_of(event))
        return
    if name in run.progress.answers:
        run.note("answer.late", f"{name}: {who} answers {answer}, after another answer")
        return
    run.progress.answers[name] = answer
    run.set_fact(f"answer.{name}")
    run.note("answered", f"{name}: {who} answers {answer}", {"question": name, "answer": answer})


def _spoken(name: str, words: list[str]) -> dict[str, Any]:
    plain = name.replace("_", " ")
    return {"name": name, "words": [*words, *([plain] if plain not in words else [])]}
