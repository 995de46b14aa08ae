"""All checks in their order, and how they are run: beside each other, each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from pipeline.aws import errors as aws_errors
from pipeline.connection import connect
from pipeline.operations.preflight import deployment, network, queries, quotas, region, roles, storage
from pipeline.operations.preflight.account import Account, explaining
from pipeline.operations.preflight.results import Finding, Result, failed, not_checked, ok
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ACCOUNT = "account"
NO_CREDENTIALS = "no AWS credentials"
# Checks that run beside each other. Most wait for an answer.
THREADS = 8


@dataclass(frozen=True)
class Check:
    """A check of the account by its name."""

    name: str
    look: Callable[[Account], Iterator[Finding]]


OFFLINE: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "region": region.check,
    "smddp": region.check_smddp,
}
CHECKS = (
    Check("roles", roles.check),
    Check("permissions", roles.check_permissions),
    Check("quotas", quotas.check),
    Check("images", deployment.check_images),
    Check("bucket", storage.check_bucket),
    Check("raw photos", storage.check_raw),
    Check("workgroup", queries.check_workgroup),
    Check("database", queries.check_database),
    Check("deploy function", deployment.check_function),
    Check("rules", deployment.check_rules),
    Check("alarms", deployment.check_alarms),
    Check("dead letters", deployment.check_queue),
    Check("network", network.check_network),
    Check("key", network.check_key),
)


def offline(settings: Settings) -> list[Result]:
    """What can be known of the settings' account without asking it."""
    return [result for name, look in OFFLINE.items() for result in _named(name, look(settings))]


def online(settings: Settings) -> list[Result]:
    """What the account says.

    Where nobody can be asked (no credentials, no network, no local cloud) nothing was checked, which is no failure;
    credentials that the account refuses, or of another account, are one.
    """
    account, finding = _entered(settings)
    results = list(_named(ACCOUNT, [finding]))
    if account is None:
        reason = finding.detail if finding.status == "not checked" else "the account was not entered"
        return results + [result for check in CHECKS for result in _named(check.name, [not_checked(reason)])]
    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(lambda check: run(check, account), CHECKS):
            results += found
    return results


def run(check: Check, account: Account) -> list[Result]:
    """One check; what keeps it from looking is what it finds, beside what it has found before."""
    findings: list[Finding] = []
    with explaining(findings):
        for finding in check.look(account):
            findings.append(finding)
    return list(_named(check.name, findings))


def _entered(settings: Settings) -> tuple[Account | None, Finding]:
    """The account as the credentials see it; None where it cannot be asked, and why."""
    try:
        connect(settings)
    except PipelineError as error:
        # A local cloud that does not run is as nobody to ask; a shell that points at one is a mistake.
        return None, (not_checked if settings.account.target == "local" else failed)(str(error))
    try:
        return _identified(settings) if _has_credentials() else (None, not_checked(NO_CREDENTIALS))
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        unreachable, line = aws_errors.is_unreachable(error), aws_errors.explained(error)
        if unreachable and (unknown := region.unknown_region(settings)):
            return None, failed(f"{line}. {unknown}")
        return None, (not_checked if unreachable else failed)(line)


def _has_credentials() -> bool:
    import boto3

    return boto3.Session().get_credentials() is not None


def _identified(settings: Settings) -> tuple[Account | None, Finding]:
    """Who asks, by the regional STS: its answer is also that of the region."""
    identity = Account(settings).client("sts").get_caller_identity()
    if identity["Account"] != settings.account.id:
        return None, failed(
            f"the credentials are of account {identity['Account']}, the settings name {settings.account.id};"
            " take another AWS_PROFILE, or another --profile"
        )
    who = identity["Arn"].split(":", 5)[-1]
    return Account(settings, identity["Arn"]), ok(f"{settings.account.id}, as {who}, in {settings.account.region}")


def _named(name: str, findings: Iterable[Finding]) -> Iterator[Result]:
    return (Result(name, finding.status, finding.detail) for finding in findings)
