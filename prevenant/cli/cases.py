"""`prevenant cases`: what is being done, the whole of one case, and what people do at their desk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prevenant.api.case_links import revoke_links_of, view_links
from prevenant.api.cases import CaseState, Wanted, find_cases, view_case, view_row
from prevenant.cli.choices import LARGEST, By
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, printable, show_json, show_table, shown_time
from prevenant.clock import from_epoch
from prevenant.domain import Severity
from prevenant.labels import find_labels, write_failures
from prevenant.moments import read_moment
from prevenant.settings import load_settings
from prevenant.store import open_store
from workflows import deskwork
from workflows.audit import find_lost
from workflows.tables import Case

if TYPE_CHECKING:
    from prevenant.case_replay import Retold

app = typer.Typer(help="Cases: what is done about alarms.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[
    int, typer.Argument(help="The case's number.", min=1, max=LARGEST, metavar="CASE")
]
Note = Annotated[str, typer.Option("--note", help="What there is to say.")]


@app.command("list")
def list_cases(  # noqa: PLR0913  a command has as many options as it needs
    *,
    state: Annotated[CaseState | None, typer.Option(help="open, handed_over or closed.")] = None,
    site: Annotated[str | None, typer.Option(help="Only at this site.")] = None,
    severity: Annotated[str | None, typer.Option(help="At least this one.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this person.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only with an alarm of this rule.")] = None,
    since: Annotated[
        str, typer.Option(help="Opened since: a time in ISO 8601, or how long ago: 24h.")
    ] = "",
    storm: Annotated[
        int | None, typer.Option(help="Only the cases of this storm.", min=1, max=LARGEST)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show cases, the newest first."""
    current = load_settings()
    wanted = Wanted(
        state=state,
        site=site,
        severity=severity,
        owner=owner,
        rule=rule,
        since=from_epoch(read_moment(since, current.make_clock().now())) if since else None,
        parent=storm,
    )
    with open_store(current) as store, store.read() as session:
        found = find_cases(session, wanted, limit)
    if as_json:
        show_json([view_row(one) for one in found])
        return
    rows = [
        (
            str(one.id),
            one.rule,
            one.device_id,
            Severity(one.severity).word,
            _state(one),
            one.owner,
            shown_time(one.opened_at),
            shown_time(one.due_at),
        )
        for one in found
    ]
    show_table(["case", "rule", "device", "severity", "state", "owner", "opened", "next"], rows)


@app.command("show")
def show_case(case: Number, *, as_json: AsJson = False) -> None:
    """Show everything about a case: alarms, who was considered and why, messages, replies, its story."""
    with open_store(load_settings()) as store, store.read() as session:
        deskwork.find_case(session, case)
        found = view_case(session, case)
    if found is None or as_json:
        show_json(found)
        return
    head = found["case"]
    words = f"case {head['id']}: {head['rule']} on {head['device_id']}, "
    words += f"{Severity(head['severity']).word}, {head['state'].replace('_', ' ')}"
    words += f": {head['outcome']}" if head["outcome"] else ""
    _say(words)
    _say(f"  runs {head['workflow']}, version {head['workflow_version']}")
    if head["owner"]:
        _say(f"  taken by {head['owner']}")
    if head["parent_id"]:
        _say(f"  part of storm {head['parent_id']}")
    if head["due_at"]:
        _say(f"  waits until {shown_time(head['due_at'])} at most")
    for title, headings, rows in _sections(found):
        if rows:
            _say("")
            _say(title)
            show_table(headings, rows)
    _say("")
    for line in found["timeline"]:
        _say(f"{line['at'][:19].replace('T', ' ')}  {line['kind']}  {line['summary']}")


@app.command("ack")
def acknowledge(case: Number, by: By, *, note: Note = "") -> None:
    """Say that you have seen a case and look after it."""
    _post(deskwork.ACKNOWLEDGED, case, by, note)
    _say(f"case {case} hears that {by} has seen it")


@app.command("take")
def take(case: Number, by: By, *, note: Note = "") -> None:
    """Take a case over: its workflow ends, and open offers are taken back."""
    _post(deskwork.TAKEN, case, by, note)
    _say(f"case {case} hears that {by} takes it over")


@app.command("resolve")
def resolve(case: Number, by: By, *, note: Note = "") -> None:
    """Close a case: what is under way is called off, and technicians are told."""
    _post(deskwork.RESOLVED, case, by, note)
    _say(f"case {case} hears that {by} has resolved it")


@app.command("done")
def finish(
    case: Number,
    by: By,
    *,
    code: Annotated[
        str, typer.Option(help="What was found: confirmed, no_fault_found or other_cause.")
    ] = "",
    cause: Annotated[str, typer.Option(help="What the cause was.")] = "",
) -> None:
    """Say that the technician has done the job, and what was found: models learn from the code."""
    _post(deskwork.DONE, case, by, cause, code)
    _say(f"case {case} hears that the job is done")


@app.command("links")
def show_links(
    case: Number,
    by: By,
    *,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Let them all lead nowhere from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show who was given a link to the page of a case, and until when."""
    current = load_settings()
    with open_store(current) as store:
        now = current.make_clock().now()
        with store.write() as session:
            deskwork.find_case(session, case)
            if revoke:
                revoke_links_of(session, case, by, now)
                note_command(session, "cases links --revoke", case, now, by)
            rows = view_links(session, case, now)
    if as_json:
        show_json(rows)
        return
    shown = (
        [
            row["purpose"],
            row["name"],
            shown_time(row["created_at"]),
            shown_time(row["expires_at"]) if row["is_open"] else "over",
            str(row["uses"]),
        ]
        for row in rows
    )
    show_table(["for", "given to", "at", "until", "used"], shown)


@app.command("labels")
def export_labels(
    device_type: Annotated[str, typer.Argument(metavar="TYPE", help="A device type.")],
    *,
    to: Annotated[Path, typer.Option("--out", help="The CSV file to write.")],
    model: Annotated[str, typer.Option(help="Only visits that this model led to.")] = "",
    since: Annotated[
        str, typer.Option(help="Only from then on: a time in ISO 8601, or how long ago: 90d.")
    ] = "",
) -> None:
    """Write what technicians have confirmed as failures that a model can be trained on."""
    current = load_settings()
    moment = read_moment(since, current.make_clock().now()) if since else 0.0
    with open_store(current) as store, store.read() as session:
        found = list(find_labels(session, device_type, model, from_epoch(moment)))
    count = write_failures(to, found)
    _say(f"{len(found)} visits with a closing code, {count} confirmed: {to}")


@app.command("audit")
def audit(*, as_json: AsJson = False) -> None:
    """Look for everything that would be lost; end with status 1 where there is something."""
    current = load_settings()
    with open_store(current) as store, store.read() as session:
        found = find_lost(session, current.make_clock().now())
    if as_json:
        show_json(found)
    elif found:
        rows = [
            (one.kind, str(one.case_id or ""), str(one.alarm_id or ""), one.reason) for one in found
        ]
        show_table(["kind", "case", "alarm", "why"], rows)
    else:
        _say("nothing is lost: every alarm has an end or a deadline")
    raise typer.Exit(1 if found else 0)


@app.command("replay")
def replay(case: Number, *, as_json: AsJson = False) -> None:
    """Let a case take its course again from what it heard, and compare; status 1 where it differs.

    It runs its own version of its workflow on a store of its own, and nothing is sent. Wordings may differ
    where texts were changed since; they are shown, and are no difference.
    """
    from prevenant.case_replay import retell  # noqa: PLC0415  the whole runtime comes with it

    current = load_settings()
    with open_store(current) as store:
        retold = retell(store, case, current.public_url)
    if as_json:
        show_json({"case": case, "same": not retold.differs, "lines": retold.lines})
    else:
        _show_retold(case, retold)
    raise typer.Exit(1 if retold.differs else 0)


def _show_retold(case: int, retold: "Retold") -> None:
    for line in retold.lines:
        _say(line)
    if retold.differs:
        _say(f"case {case} would take another course: - as it was, + as it would be")
    else:
        _say(f"case {case} takes the same course: {retold.steps} lines of its story")


_COMMANDS = {
    deskwork.ACKNOWLEDGED: "ack",
    deskwork.TAKEN: "take",
    deskwork.DONE: "done",
    deskwork.RESOLVED: "resolve",
}


def _post(kind: str, case: int, by: str, note: str, code: str = "") -> None:
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        deskwork.post(session, kind, case, now, by, note, code)
        note_command(session, f"cases {_COMMANDS[kind]}", case, now, by)


def _say(line: str) -> None:
    out.print(printable(line), markup=False)


def _state(case: Case) -> str:
    return f"{case.state.replace('_', ' ')}: {case.outcome}" if case.outcome else case.state


def _sections(found: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the tables of a case: title, headings, rows."""
    last = max((one["round"] for one in found["candidates"]), default=0)
    return [
        (
            "alarms",
            ["alarm", "rule", "device", "severity", "over", "why"],
            _rows(found["alarms"], "alarm_id", "rule", "label", "severity", "ended_at", "reason"),
        ),
        (
            "cases of this storm",
            ["case", "rule", "site", "state", "owner"],
            _rows(found["children"], "id", "rule", "site_id", "state", "owner"),
        ),
        (
            "who was considered last",
            ["rank", "technician", "reason"],
            _rows(
                [one for one in found["candidates"] if one["round"] == last],
                "rank",
                "technician_name",
                "reason",
            ),
        ),
        (
            "offers",
            ["technician", "state", "offered", "until"],
            _rows(found["offers"], "technician_name", "state", "offered_at", "expires_at"),
        ),
        (
            "work orders",
            ["technician", "state", "from", "to", "found", "cause"],
            _rows(
                found["work_orders"],
                "technician_name",
                "state",
                "visit_start",
                "visit_end",
                "code",
                "cause",
            ),
        ),
        (
            "messages",
            ["to", "as", "template", "state", "by"],
            [
                [
                    one["name"],
                    one["role"],
                    one["template"],
                    one["state"],
                    ", ".join(f"{d['channel']} {d['state']}" for d in one["deliveries"]),
                ]
                for one in found["messages"]
            ],
        ),
        (
            "replies",
            ["at", "by", "meaning", "text"],
            _rows(found["replies"], "received_at", "channel", "intent", "text"),
        ),
    ]


def _rows(items: list[dict[str, Any]], *names: str) -> list[list[str]]:
    return [[_shown(one[name]) for name in names] for one in items]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return shown_time(value) if hasattr(value, "tzinfo") else str(value)
