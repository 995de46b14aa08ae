"""Where a person looks further: Studio and AWS's console for an account, this machine's console for the local cloud."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.aws import links as addresses
from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.clients import probing_client
from pipeline.connection import local_directory
from pipeline.operations.account import consoles
from pipeline.operations.runs.progress import StepRun
from pipeline.settings import Settings

STUDIO, AWS_CONSOLE, CONSOLE = "in Studio", "in the AWS console", "in the console"
# An update that failed leaves a domain as it was.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DomainDetails.html
_OPEN = ("InService", "Updating", "Update_Failed")


@dataclass(frozen=True)
class Link:
    """The address of a page, and whose page it is: `in Studio`, `in the AWS console` or `in the console`."""

    place: str
    address: str

    @property
    def line(self) -> str:
        """The link as a line of output."""
        return f"{self.place}: {self.address}"


Links = tuple[Link, ...]


def domain(settings: Settings) -> str:
    """The id of the Studio domain of the account and region.

    Empty for the local cloud, without a domain, with several (which of them the person uses is not known), and where
    AWS does not answer or the permission sagemaker:ListDomains is missing: a link is not worth a failure.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if settings.account.target == "local":
        return ""
    try:
        listed = list(items(probing_client(settings, "sagemaker").get_paginator("list_domains"), "Domains"))
    except (BotoCoreError, ClientError):
        return ""
    open_domains = [each["DomainId"] for each in listed if each["Status"] in _OPEN]
    return open_domains[0] if len(open_domains) == 1 else ""


def of_run(settings: Settings, arn: str, domain: str) -> Links:
    """An execution of the pipeline in Studio; the AWS console has no page of it."""
    if not domain:
        return ()
    return (Link(STUDIO, addresses.studio_run(domain, settings.account.region, settings.name, name_of(arn))),)


def of_group(settings: Settings, domain: str) -> Links:
    """The model group in Studio; the AWS console has no page of it."""
    if not domain:
        return ()
    return (Link(STUDIO, addresses.studio_group(domain, settings.account.region, settings.registry.group)),)


def of_resource(settings: Settings, arn: str) -> Links:
    """A job or an endpoint in the AWS console; none for other resources, and for the local cloud."""
    page = "" if settings.account.target == "local" else addresses.console_page(arn)
    return (Link(AWS_CONSOLE, page),) if page else ()


def of_step(settings: Settings, step: StepRun, trial: str = "") -> Links:
    """The job of a step in the AWS console, or a trial of TuneModel by the name of its training job."""
    arns = (step.arn(kind) or "" for kind in ("ProcessingJob", "TrainingJob", "TuningJob"))
    arn = next(filter(None, arns), "")
    if trial and arn:
        arn = f"{arn.rsplit(':', 1)[0]}:training-job/{trial}"
    return of_resource(settings, arn)


def of_endpoint(settings: Settings) -> Links:
    """The endpoint in the AWS console."""
    account = settings.account
    return of_resource(settings, f"arn:aws:sagemaker:{account.region}:{account.id}:endpoint/{settings.endpoint.name}")


def for_run(settings: Settings, arn: str) -> Links:
    """Where to look at an execution."""
    return of_run(settings, arn, domain(settings)) or _page(settings, f"/runs/{name_of(arn)}")


def for_models(settings: Settings) -> Links:
    """Where to look at the versions of the model."""
    return of_group(settings, domain(settings)) or _page(settings, "/models")


def for_endpoint(settings: Settings) -> Links:
    """Where to look at the endpoint."""
    return of_endpoint(settings) or _page(settings, "/endpoint")


def _page(settings: Settings, path: str) -> Links:
    """A page of the local cloud's console, where it runs; the key lets the browser in."""
    if settings.account.target != "local":
        return ()
    running = consoles.find(local_directory(), settings.profile)
    return () if running is None else (Link(CONSOLE, running.page(path)),)
