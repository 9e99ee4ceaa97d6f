"""`prevenant replies`: what people answered, and how well that is understood."""

from typing import Annotated, Any

import typer
from sqlmodel import col, select

from notify.replies import Reply, intent_for, read_meaning
from notify.replies.accuracy import FOLDS, SAID_TO, try_out
from notify.replies.classifier import LANGUAGES, shipped_examples
from notify.replies.inbound import OUTCOMES
from notify.replies.intents import NUMBERS
from notify.replies.meaning import CONFIDENCE
from prevenant.cli.choices import LARGEST, AtMost, one_of
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.settings import load_settings
from prevenant.store import open_store

app = typer.Typer(
    help="What people answered, and how well that is understood.", no_args_is_help=True
)


@app.command("list")
def list_replies(
    *,
    outcome: Annotated[
        str | None,
        typer.Option(
            help="bound, unclear, ambiguous, unknown sender, thanks …", callback=one_of(OUTCOMES)
        ),
    ] = None,
    case: Annotated[int | None, typer.Option(help="Only of this case.", min=1, max=LARGEST)] = None,
    limit: AtMost = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show replies, the newest first, and why each was understood so; addresses stay hidden."""
    query = select(Reply).order_by(col(Reply.id).desc()).limit(limit)
    query = query.where(Reply.outcome == outcome) if outcome else query
    query = query.where(Reply.case_id == case) if case is not None else query
    with open_store(load_settings()) as store, store.read() as session:
        rows = [_row(one) for one in session.exec(query)]
    if as_json:
        show_json(rows)
        return
    shown = ([str(value) if value is not None else "" for value in row.values()] for row in rows)
    show_table(["id", "at", "channel", "case", "outcome", "intent", "reason", "text"], shown)


@app.command("read")
def read_reply(
    text: Annotated[str, typer.Argument(help="What somebody might answer.")],
) -> None:
    """Show what a text means in answer to each kind of question, and why."""
    meaning = read_meaning(text)
    rows = ([ask, intent_for(ask, meaning) or "asked back"] for ask in NUMBERS)
    show_table(["question", "understood as"], rows)
    out.print(f"because of {meaning.reason}", highlight=False)


@app.command("accuracy")
def show_accuracy() -> None:
    """Try out the reading of replies on the shipped examples, cross-validated."""
    examples = shipped_examples()
    accuracy = try_out(examples)
    parts = [(f"answers to {ask}", accuracy.of(ask=ask)) for ask in SAID_TO]
    parts += [(one, accuracy.of(intent=one)) for one in sorted({e.intent for e in examples})]
    rows = (
        [name, str(len(part.tried)), *(f"{s:.1%}" for s in (part.right, part.asked, part.wrong))]
        for name, part in parts
    )
    show_table(["of", "tried", "right", "asked back", "wrong"], rows)
    for meant, taken, count in accuracy.mistakes()[:10]:
        out.print(f"{count} x {meant} taken for {taken}", highlight=False)
    out.print(
        f"{len(examples)} shipped examples ({', '.join(LANGUAGES)}) in {FOLDS} parts, each read by a "
        f"classifier trained on the others. Of what is acted on, {accuracy.precision:.1%} is right; "
        f"below {CONFIDENCE:.0%} confidence it asks back.",
        highlight=False,
    )


def _row(reply: Reply) -> dict[str, Any]:
    return {
        "id": reply.id,
        "at": shown_time(reply.received_at),
        "channel": reply.channel,
        "case": reply.case_id,
        "outcome": reply.outcome,
        "intent": reply.intent,
        "reason": reply.reason,
        "text": reply.text,
    }
