"""What QueryMetadata asks with: the Athena workgroup and the Glue database."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from pipeline.aws.responses import CREATE_IT, says_missing
from pipeline.operations.preflight.account import Account
from pipeline.operations.preflight.results import Finding, failed, ok


def check_workgroup(account: Account) -> Iterator[Finding]:
    """The workgroup: there, enabled, with a place for results, and leaving a CTAS its own."""
    name = account.settings.data.workgroup
    try:
        found = account.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no workgroup {name}; {CREATE_IT}")
            return
        raise
    configuration = found.get("Configuration", {})
    if found.get("State", "ENABLED") != "ENABLED":
        yield failed(f"the workgroup {name} is disabled; enable it in Athena, or set another data.workgroup")
    elif configuration.get("EnforceWorkGroupConfiguration"):
        yield failed(
            f"the workgroup {name} enforces its configuration, so a CTAS may not say where its table goes; turn off"
            " 'override client-side settings' in Athena, or set another data.workgroup"
        )
    elif not configuration.get("ResultConfiguration", {}).get("OutputLocation"):
        yield failed(f"the workgroup {name} has no location for results; set one in Athena")
    else:
        yield ok(name)


def check_database(account: Account) -> Iterator[Finding]:
    """The Glue database."""
    name = account.settings.data.database
    try:
        account.client("glue").get_database(Name=name)
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no Glue database {name}; {CREATE_IT}")
            return
        raise
    yield ok(name)
