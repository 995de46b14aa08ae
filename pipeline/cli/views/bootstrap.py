"""The account's stack in a terminal: planned changes, progress and results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from pipeline.account.events import Change, Event, message_of
from pipeline.cli.output import show
from pipeline.cli.tables import Column, Facts, Table
from pipeline.operations.account.bootstrap import BootstrapPlan, BootstrapResult
from pipeline.operations.account.teardown import RetainedData, StackResource, Teardown, erased
from pipeline.settings import Settings
from steps.contracts.wording import count_of

_ACTIONS = {"Add": ("add", "green"), "Import": ("import", "cyan"), "Remove": ("remove", "red")}
# Content that is lost with a resource.
_CONTENT = {
    "AWS::S3::Bucket": "its objects",
    "AWS::ECR::Repository": "its images",
    "AWS::Glue::Database": "its tables",
    "AWS::Athena::WorkGroup": "the history of its queries",
    "AWS::Logs::LogGroup": "its logs",
    "AWS::SQS::Queue": "its messages",
}
_WORDS = {"delete skipped": "retained", "importd": "imported"}
_STACK = "AWS::CloudFormation::Stack"


def show_plan(settings: Settings, plan: BootstrapPlan) -> None:
    """A table of the changes, and warnings of what cannot be undone."""
    console = Console()
    where = f"account {settings.account.id}, {settings.account.region}"
    if plan.empty:
        console.print(f"the stack {plan.stack} in {where} is up to date", highlight=False)
        return
    title = f"{'changes of' if plan.exists else 'a new stack,'} {plan.stack} in {where}:"
    if not plan.changes:
        console.print(f"{title} outputs only, no resource", highlight=False)
        return
    console.print(title, highlight=False)
    table = Table("", "resource", "type", Column("", priority=0))
    for change in plan.changes:
        word, style = _action(change)
        table.add_row(Text(word, style=style), change.resource, change.kind, _note(change))
    show(table)
    if any(change.action == "Import" for change in plan.changes):
        line = "imported resources exist in the account and keep their content; the named properties are set"
        console.print(line, highlight=False)
    for line in warnings(plan):
        console.print(line, style="bold red", highlight=False, markup=False, soft_wrap=True)


def warnings(plan: BootstrapPlan) -> list[str]:
    """A line for each deleted or replaced resource that is retained, or whose content is lost."""
    lines = []
    for change in plan.changes:
        if change.action != "Remove" and change.replacement not in ("True", "Conditional"):
            continue
        name = f"{change.resource} ({change.physical})" if change.physical else change.resource
        verb = "may be replaced" if change.replacement == "Conditional" else "is replaced"
        if change.action == "Remove":
            verb = "is removed"
        if change.retained:
            lines.append(f"{name} {verb}: the old one is retained in the account, outside the stack")
        elif change.kind in _CONTENT:
            lines.append(f"cannot be undone: {name} {verb}, {_CONTENT[change.kind]} are lost")
    return lines


def _action(change: Change) -> tuple[str, str]:
    if change.action != "Modify":
        return _ACTIONS.get(change.action, (change.action.lower(), ""))
    return ("replace", "red") if change.replacement == "True" else ("modify", "yellow")


def _note(change: Change) -> str:
    notes = [change.physical] if change.action == "Import" else []
    notes += [", ".join(change.properties)] if change.properties else []
    if change.replacement == "Conditional":
        notes.append("may be replaced")
    if change.retained:
        notes.append("the old one is retained")
    return "; ".join(notes)


def follow(events: Iterator[Event], *, quiet: bool) -> None:
    """Print a line for each resource that is done; a spinner shows the latest event."""
    if quiet:
        deque(events, maxlen=0)
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
    reason = f": {message_of(event.reason)}" if failed and event.reason else ""
    text = f"{event.time.astimezone():%H:%M:%S} {_WORDS.get(words, words)} {event.resource} ({event.kind}){reason}"
    return Text(text, style="red" if failed else "")


def show_result(result: BootstrapResult) -> None:
    """The change that was made, with the stack's outputs."""
    console = Console()
    console.print(f"{result.change}: {result.stack}", highlight=False)
    show(Facts(result.outputs.items()))


def show_teardown(settings: Settings, plan: Teardown, *, data: bool) -> None:
    """The resources and data that would be deleted, and those that would be retained."""
    console = Console()
    if not plan.stack:
        console.print("there is no stack to delete", highlight=False)
    elif deleted := [resource for resource in plan.resources if not resource.retained]:
        console.print(f"deleted with the stack {plan.stack}:", highlight=False)
        show(_resource_table(deleted))
    else:
        console.print(f"the stack {plan.stack} ({plan.status}) has no resource to delete", highlight=False)
    if plan.unchecked:
        console.print(
            f"not checked: attachments of the stack's policies ({plan.unchecked}); the deletion fails while a policy is"
            " attached outside the stack",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )
    if data and plan.data.exists:
        line = f"also deleted, without undo: {erased_line(settings, plan.data)}"
        console.print(line, style="bold red", highlight=False, markup=False, soft_wrap=True)
    elif retained := [*([plan.data.bucket] if plan.data.bucket else []), *_counts(plan.data)]:
        console.print(f"retained: {', '.join(retained)}", highlight=False, soft_wrap=True)


def erased_line(settings: Settings, data: RetainedData) -> str:
    """What `--data` deletes, and what it leaves in the bucket, as one line."""
    parts = _counts(data)
    if data.bucket:
        own, code = (f"s3://{data.bucket}/{prefix}" for prefix in erased(settings))
        parts += [f"every version of all objects below {own} and {code}"]
        parts += [] if data.others else [f"the bucket {data.bucket}"]
    others = f"; {_others(data)}" if data.bucket and data.others else ""
    return f"{', '.join(parts)}{others}"


def _others(data: RetainedData) -> str:
    return f"{data.bucket} contains other objects, such as {data.others}: they and the bucket are retained"


def _resource_table(resources: list[StackResource]) -> Table:
    table = Table("resource", "type", Column("name", priority=0))
    for resource in resources:
        # The last part of an ARN or URL distinguishes it.
        table.add_row(resource.resource, resource.kind, resource.physical.rsplit("/", 1)[-1].rsplit(":", 1)[-1])
    return table


def _counts(data: RetainedData) -> list[str]:
    return [f"{name} ({count_of(count, 'image')})" for name, count in data.repositories.items()]


def count_versions(counts: Iterator[int], *, quiet: bool) -> None:
    """Show the number of deleted object versions while it grows."""
    if quiet:
        deque(counts, maxlen=0)
        return
    with Console(stderr=True).status("[dim]deleting images and objects[/dim]") as spinner:
        for count in counts:
            spinner.update(f"[dim]versions of objects deleted: {count}[/dim]")


def show_deleted(plan: Teardown, left: RetainedData, *, data: bool) -> None:
    """What was deleted and what was retained."""
    console = Console()
    if plan.stack:
        console.print(f"deleted: {plan.stack}", highlight=False)
    before, after = ([name for name in (each.bucket, *each.repositories) if name] for each in (plan.data, left))
    for verb, names in (("deleted", [name for name in before if name not in after]), ("retained", after)):
        if names:
            console.print(f"{verb}: {', '.join(names)}", highlight=False, soft_wrap=True)
    if data and left.bucket and left.others:
        console.print(_others(left), highlight=False, markup=False, soft_wrap=True)
