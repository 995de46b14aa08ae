"""Going back to an earlier version: what is replaced and rejected, and the rollback by the person's own credentials."""

from __future__ import annotations

from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import model_reads, permissions
from pipeline.console.pages.decision import COMMENT_LENGTH, ENDPOINT, comment_of
from pipeline.console.pages.endpoint import after
from pipeline.console.parts import parts
from pipeline.console.routes import Routes, Values
from pipeline.operations.models import registry
from pipeline.operations.models.registry import Summary
from pipeline.operations.serving import deployment
from pipeline.operations.serving.endpoint import Endpoint
from steps.contracts.errors import PipelineError

# Approved versions to choose from, the newest.
SHOWN = 10


def confirm(console: Console, values: Values) -> View:
    """The approved versions before the one that serves, and what going back to one of them does."""
    wanted = values.get("to", "")
    if wanted and not wanted.isdecimal():
        raise NotFoundError(f"{wanted!r} is no version: write its number, as in {ENDPOINT}/rollback?to=3")
    settings = console.settings
    read = parts(
        console,
        {
            "serving": lambda: model_reads.serving(console),
            "chosen": lambda: deployment.rollback_target(settings, wanted),
            "approved": lambda: registry.approved(settings),
            "newest": lambda: model_reads.summaries(console, 10 * SHOWN, "Approved"),
        },
    )
    serving: Endpoint | None = read["serving"].value
    chosen, newest = read["chosen"].value, read["newest"].value or ()
    earlier = [version for version in newest if _is_earlier(version, serving)]
    shown = {
        "problems": [each for each in dict.fromkeys(part.problem for part in read.values()) if each],
        "serving": serving,
        "chosen": chosen,
        "choices": model_reads.described(console, earlier[:SHOWN]),
        "rejected": [number for number in read["approved"].value or () if chosen and number > chosen.version],
        "comment_length": COMMENT_LENGTH,
    }
    return View("rollback.html", shown)


def _is_earlier(version: Summary, serving: Endpoint | None) -> bool:
    return serving is None or serving.version is None or version.version < serving.version


def roll_back(console: Console, values: Values) -> str:
    """Return to the version that was confirmed."""
    settings, wanted = console.settings, values.get("to", "")
    comment = comment_of(values)
    if not wanted.isdecimal():
        raise PipelineError(f"{wanted!r} is no version; see the versions: python -m pipeline models")
    chosen = deployment.rollback_target(settings, wanted)
    with permissions.needed(settings, permissions.APPROVER, f"go back to {chosen.name}"):
        return after(deployment.roll_back(settings, chosen, comment).decision)


ROUTES = Routes({f"{ENDPOINT}/rollback": confirm}, actions={f"{ENDPOINT}/rollback": roll_back})
