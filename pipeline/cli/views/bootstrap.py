"""How the account's stack looks in a terminal: what would be done to it, what happens, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from pipeline.account.events import Change, Event
from pipeline.account.failures import said
from pipeline.cli.tables import simple_table
from pipeline.operations.account.bootstrap import Bootstrapped, Plan
from pipeline.operations.account.teardown import Data, Held, Teardown, erased
from pipeline.settings import Settings

_ACTIONS = {"Add": ("add", "green"), "Import": ("take over", "cyan"), "Remove": ("remove", "red")}
# What would be gone for ever, as nothing else holds it.
_HOLDS = {
    "AWS::S3::Bucket": "its objects",
    "AWS::ECR::Repository": "its images",
    "AWS::Glue::Database": "its tables",
    "AWS::Athena::WorkGroup": "the history of its queries",
    "AWS::Logs::LogGroup": "its logs",
    "AWS::SQS::Queue": "its messages",
}
_STACK = "AWS::CloudFormation::Stack"


def show_plan(settings: Settings, plan: Plan) -> None:
    """A table of the changes, and below it what cannot be undone."""
    console = Console()
    where = f"account {settings.account.id}, {settings.account.region}"
    if plan.empty:
        console.print(f"the stack {plan.stack} in {where} is as the settings want it", highlight=False)
        return
    verb = "changes of" if plan.exists else "a new stack,"
    if not plan.changes:
        console.print(f"{verb} {plan.stack} in {where}: what it tells of itself, and no resource", highlight=False)
        return
    console.print(f"{verb} {plan.stack} in {where}:", highlight=False)
    table = simple_table("", "resource", "type", "")
    table.columns[2].no_wrap = True
    for change in plan.changes:
        word, style = _action(change)
        table.add_row(Text(word, style=style), change.resource, change.kind, _note(change))
    console.print(table, highlight=False)
    if any(change.action == "Import" for change in plan.changes):
        words = "what is taken over is there already, and keeps what it holds; the properties beside it are set anew"
        console.print(words, highlight=False)
    for line in warnings(plan):
        console.print(line, style="bold red", highlight=False, markup=False, soft_wrap=True)


def warnings(plan: Plan) -> list[str]:
    """What is removed or replaced, and what goes with it."""
    lines = []
    for change in plan.changes:
        gone = change.action == "Remove" or change.replacement in ("True", "Conditional")
        if not gone:
            continue
        named = f"{change.resource} ({change.physical})" if change.physical else change.resource
        verb = "is removed" if change.action == "Remove" else "is made anew"
        if change.replacement == "Conditional":
            verb = "may be made anew"
        if change.kept:
            lines.append(f"{named} {verb}: the old one stays in the account, outside the stack")
        elif change.kind in _HOLDS:
            lines.append(f"cannot be undone: {named} {verb}, {_HOLDS[change.kind]} are lost with the old one")
    return lines


def _action(change: Change) -> tuple[str, str]:
    if change.action != "Modify":
        return _ACTIONS.get(change.action, (change.action.lower(), ""))
    return ("replace", "red") if change.replacement == "True" else ("change", "yellow")


def _note(change: Change) -> str:
    notes = [change.physical] if change.action == "Import" else []
    notes += [", ".join(change.properties)] if change.properties else []
    if change.replacement == "Conditional":
        notes.append("perhaps made anew")
    if change.kept:
        notes.append("the old one stays")
    return "; ".join(notes)


def follow(events: Iterator[Event], *, quiet: bool) -> None:
    """Show what happens: a line for each resource that is done, and what is under way beside a spinner."""
    if quiet:
        for _ in events:
            pass
        return
    console = Console()
    with Console(stderr=True).status("[dim]waiting for CloudFormation[/dim]") as spinner:
        for event in events:
            spinner.update(Text(f"{event.resource} {event.status}", style="dim"))
            if event.status.endswith(("_COMPLETE", "_FAILED", "_SKIPPED")) and event.kind != _STACK:
                console.print(_line(event), highlight=False, soft_wrap=True)


def _line(event: Event) -> Text:
    failed = event.status.endswith("_FAILED")
    words = event.status.lower().replace("_complete", "d").replace("_", " ")
    words = {"created": "made", "delete skipped": "kept", "importd": "taken over"}.get(words, words)
    reason = f": {said(event.reason)}" if failed and event.reason else ""
    text = f"{event.time.astimezone():%H:%M:%S} {words} {event.resource} ({event.kind}){reason}"
    return Text(text, style="red" if failed else "")


def show_result(done: Bootstrapped) -> None:
    """What came of a bootstrap, with the stack's outputs."""
    console = Console()
    console.print(f"{done.change}: {done.stack}", highlight=False)
    table = simple_table("", "")
    table.show_header = False
    for name, value in done.outputs.items():
        table.add_row(Text(name, style="dim"), value)
    console.print(table, highlight=False)


def show_teardown(settings: Settings, plan: Teardown, *, data: bool) -> None:
    """What would go, and what stays."""
    console = Console()
    if not plan.stack:
        console.print("there is no stack to delete", highlight=False)
    elif going := [one for one in plan.held if not one.kept]:
        console.print(f"deleted with the stack {plan.stack}:", highlight=False)
        console.print(_held_table(going), highlight=False)
    else:
        console.print(f"the stack {plan.stack} ({plan.status}) holds nothing that would go with it", highlight=False)
    if plan.unlooked:
        console.print(
            f"not looked at: who holds the stack's policies ({plan.unlooked}); deleting fails where somebody else does",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if data and plan.data.there:
        words = f"and deleted too, for ever: {erasing(settings, plan.data)}"
        console.print(words, style="bold red", highlight=False, markup=False, soft_wrap=True)
    elif stays := [*([plan.data.bucket] if plan.data.bucket else []), *_counted(plan.data)]:
        console.print(f"kept: {', '.join(stays)}", highlight=False, soft_wrap=True)


def erasing(settings: Settings, data: Data) -> str:
    """What `--data` deletes, and what it leaves in the bucket, as one line."""
    parts = _counted(data)
    if data.bucket:
        own, code = (f"s3://{data.bucket}/{prefix}" for prefix in erased(settings))
        parts += [f"every version of all objects below {own} and {code}"]
        parts += [] if data.others else [f"the bucket {data.bucket}"]
    stays = f"; {_others(data)}" if data.bucket and data.others else ""
    return f"{', '.join(parts)}{stays}"


def _others(data: Data) -> str:
    return f"{data.bucket} holds other objects, such as {data.others}: they and the bucket stay"


def _held_table(held: list[Held]) -> object:
    table = simple_table("resource", "type", "name")
    table.columns[1].no_wrap = True
    for one in held:
        # Of ARNs and URLs what tells one from another.
        table.add_row(one.resource, one.kind, one.physical.rsplit("/", 1)[-1].rsplit(":", 1)[-1])
    return table


def _counted(data: Data) -> list[str]:
    return [f"{name} ({count} images)" for name, count in data.repositories.items()]


def count_versions(counts: Iterator[int], *, quiet: bool) -> None:
    """Show how many versions of objects are deleted, while they are."""
    if quiet:
        for _ in counts:
            pass
        return
    with Console(stderr=True).status("[dim]deleting images and objects[/dim]") as spinner:
        for count in counts:
            spinner.update(f"[dim]versions of objects deleted: {count}[/dim]")


def show_deleted(plan: Teardown, left: Data, *, data: bool) -> None:
    """What came of a deletion, and what is left."""
    console = Console()
    if plan.stack:
        console.print(f"deleted: {plan.stack}", highlight=False)
    before, after = ([one for one in (found.bucket, *found.repositories) if one] for found in (plan.data, left))
    for verb, names in (("deleted", [one for one in before if one not in after]), ("kept", after)):
        if names:
            console.print(f"{verb}: {', '.join(names)}", highlight=False, soft_wrap=True)
    if data and left.bucket and left.others:
        console.print(_others(left), highlight=False, markup=False, soft_wrap=True)
