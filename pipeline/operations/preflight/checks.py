"""All checks in their order; they run in parallel, independently of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from pipeline.aws import errors as aws_errors
from pipeline.connection import connect
from pipeline.operations.preflight import data, deployment, inventory, network, quotas, region, roles
from pipeline.operations.preflight.findings import Account, Finding, Result, explained, failed, not_checked, ok
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ACCOUNT = "account"
NO_CREDENTIALS = "no AWS credentials"

OFFLINE: dict[str, Callable[[Settings], Finding]] = {"region": region.check, "smddp": region.check_smddp}
CHECKS: dict[str, Callable[[Account], Finding | Iterator[Finding]]] = {
    "roles": roles.check,
    "permissions": roles.check_permissions,
    "quotas": quotas.check,
    "images": deployment.check_images,
    "bucket": data.check_bucket,
    "raw photos": data.check_raw,
    "inventory": inventory.check,
    "weights": data.check_weights,
    "split file": data.check_split,
    "true counts": data.check_truth,
    "workgroup": data.check_workgroup,
    "database": data.check_database,
    "deploy function": deployment.check_function,
    "rules": deployment.check_rules,
    "alarms": deployment.check_alarms,
    "dead letters": deployment.check_queue,
    "network": network.check_network,
    "key": network.check_key,
}


def offline(settings: Settings) -> list[Result]:
    """The results of checks that need no account."""
    return [result for name, look in OFFLINE.items() for result in _named(name, [look(settings)])]


def online(settings: Settings) -> list[Result]:
    """The results of checks of the account.

    Without credentials, network or local cloud the results are "not checked", which is no failure; credentials that the
    account refuses, or of another account, are a failure.
    """
    account, finding = _enter(settings)
    results = list(_named(ACCOUNT, [finding]))
    if account is None:
        reason = finding.detail if finding.status == "not checked" else "the account was not entered"
        return results + [Result(name, "not checked", reason) for name in CHECKS]
    return results + [result for part in parallel_map(lambda name: run(name, account), CHECKS) for result in part]


def run(name: str, account: Account) -> list[Result]:
    """The results of one check, up to an error of AWS that ends it."""
    return list(_named(name, explained(CHECKS[name], account)))


def _enter(settings: Settings) -> tuple[Account | None, Finding]:
    """The account as seen by the credentials; None where it cannot be asked. The finding names the reason."""
    import boto3

    try:
        connect(settings)
    except PipelineError as error:
        # A stopped local cloud only leaves the account unchecked; a shell that points at another cloud is a mistake.
        return None, (not_checked if settings.account.target == "local" else failed)(str(error))
    try:
        # `connect` has loaded them.
        if boto3.DEFAULT_SESSION is None or boto3.DEFAULT_SESSION.get_credentials() is None:
            return None, not_checked(NO_CREDENTIALS)
        return _identify(settings)
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        unreachable, line = aws_errors.is_unreachable(error), aws_errors.explained(error)
        if unreachable and (unknown := region.unknown_region(settings)):
            return None, failed(f"{line}. {unknown}")
        return None, (not_checked if unreachable else failed)(line)


def _identify(settings: Settings) -> tuple[Account | None, Finding]:
    """The caller according to the regional STS, whose answer also shows that the region works."""
    identity = Account(settings).client("sts").get_caller_identity()
    if identity["Account"] != settings.account.id:
        return None, failed(
            f"the credentials are of account {identity['Account']}, the settings name {settings.account.id};"
            " use another AWS_PROFILE, or another --profile"
        )
    who = identity["Arn"].split(":", 5)[-1]
    return Account(settings, identity["Arn"]), ok(f"{settings.account.id}, as {who}, in {settings.account.region}")


def _named(name: str, findings: Iterable[Finding]) -> Iterator[Result]:
    return (Result(name, finding.status, finding.detail) for finding in findings)
