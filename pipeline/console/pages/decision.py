"""Approve and Reject: what a decision on a version leads to, and the decision by the person's own credentials."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.console.console import Console
from pipeline.console.pages import model_reads, permissions
from pipeline.console.parts import parts
from pipeline.console.routes import Routes, Values
from pipeline.operations.cost import before
from pipeline.operations.cost.words import hourly_text
from pipeline.operations.models import registry
from pipeline.operations.models.registry import Decision, Version
from pipeline.operations.serving.endpoint import Endpoint
from steps.contracts.errors import PipelineError

# Characters of ApprovalDescription:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
COMMENT_LENGTH = 1_024
# The page that follows a deployment.
ENDPOINT = "/endpoint"


@dataclass(frozen=True)
class Choice:
    """The decisions that a person can take on a version, and what each leads to.

    `no_approval` and `no_rejection` are why one of them is not offered, empty where it is.
    """

    no_approval: str
    no_rejection: str
    effects: tuple[str, ...]
    serves: bool
    serving: Endpoint | None

    @property
    def approval_question(self) -> str:
        """The question before an approval."""
        return " ".join(("Approve this version?", *self.effects))

    @property
    def rejection_question(self) -> str:
        """The question before a rejection."""
        stays = " The endpoint goes on serving it until another version is deployed." if self.serves else ""
        return f"Reject this version, so that it is not deployed?{stays}"


def choice_of(console: Console, version: Version) -> Choice:
    """What a person can decide about a version, and what that leads to."""
    settings = console.settings
    read = parts(
        console,
        {
            "serving": lambda: model_reads.serving(console),
            "approved": lambda: model_reads.summaries(console, 1, "Approved"),
        },
    )
    serving: Endpoint | None = read["serving"].value
    hourly = hourly_text(before.of_endpoint(settings, model_reads.prices(console)), local=console.is_local)
    later = next((each.version for each in read["approved"].value or () if each.version > version.version), None)
    effects = [
        _deployment(console, version, serving, later),
        f"The endpoint {settings.endpoint.name} costs {hourly}, until it is deleted.",
    ]
    effects += [f"Not looked up: {each.problem}" for each in read.values() if each.problem]
    return Choice(
        no_approval=registry.refusal(version, "Approved") or missing_evaluation(version),
        no_rejection=registry.refusal(version, "Rejected"),
        effects=tuple(effects),
        serves=serving is not None and serving.version == version.version,
        serving=serving,
    )


def _deployment(console: Console, version: Version, serving: Endpoint | None, later: int | None) -> str:
    """What the deploy function does about an approval (`steps.deploy.deployment`)."""
    name = console.settings.endpoint.name
    if later is not None:
        return (
            f"Version {later} is approved too, and newer, so an approval deploys nothing; to go back to an approved"
            f" version: {console.command} rollback --to {version.version}."
        )
    if serving is None:
        return f"An approval creates the endpoint {name} with this version."
    if serving.version == version.version:
        return f"The endpoint {name} serves this version already."
    change = "a canary, then all of the traffic" if console.settings.endpoint.mode == "real-time" else "all at once"
    return f"An approval replaces version {serving.version or serving.config} on the endpoint {name}: {change}."


def missing_evaluation(version: Version) -> str:
    """Why nothing shows what the version counts right; empty where its evaluation can be read or has a problem."""
    if version.evaluation.problem or version.evaluation.accuracy is not None:
        return ""
    if not version.evaluation_uri:
        return f"{version.name} was registered without an evaluation"
    return f"the evaluation of {version.name} is no longer at {version.evaluation_uri}, or has no figures"


def comment_of(values: Values) -> str:
    """The comment of a form, as one line. Raises PipelineError for one that the registry would not keep."""
    comment = " ".join(values.get("comment", "").split())
    if len(comment) > COMMENT_LENGTH:
        raise PipelineError(
            f"the comment has {len(comment):,} characters; the registry keeps {COMMENT_LENGTH:,}: shorten it"
        )
    return comment


def _decide(console: Console, values: Values, decision: Decision) -> Version:
    """Raises PipelineError where the version cannot be decided on, or these credentials may not."""
    settings, number, comment = console.settings, values["version"], comment_of(values)
    if not number.isdecimal():
        raise PipelineError(f"{number!r} is no version; see the versions: python -m pipeline models")
    if decision == "Approved" and (reason := missing_evaluation(registry.resolve(settings, number))):
        raise PipelineError(
            f"{reason}, so the console does not approve it; to approve it all the same: python -m pipeline approve"
            f" {number}"
        )
    act = "approve" if decision == "Approved" else "reject"
    with permissions.needed(settings, permissions.APPROVER, f"{act} version {number}"):
        return registry.decide(settings, number, decision, comment)


def approve(console: Console, values: Values) -> str:
    """Approve a version, which deploys it."""
    _decide(console, values, "Approved")
    return ENDPOINT


def reject(console: Console, values: Values) -> str:
    """Reject a version."""
    return f"/models/{_decide(console, values, 'Rejected').version}"


ROUTES = Routes({}, actions={"/models/{version}/approve": approve, "/models/{version}/reject": reject})
