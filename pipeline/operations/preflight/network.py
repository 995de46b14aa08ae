"""The network and the key that the settings name; both are optional."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws.responses import says_missing
from pipeline.operations.preflight.account import Account, explaining
from pipeline.operations.preflight.results import Finding, failed, ok, warning


def check_key(account: Account) -> Iterator[Finding]:
    """The KMS key: enabled, and one that volumes can be encrypted with."""
    arn = account.settings.encryption.kms_key
    if not arn:
        yield ok("AWS's own keys")
        return
    try:
        key = account.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        if says_missing(error):
            yield failed(f"there is no key {arn}; correct encryption.kms_key")
            return
        raise
    if key["KeyState"] != "Enabled":
        yield failed(f"the key {arn} is {key['KeyState']}; enable it in KMS, or set another encryption.kms_key")
    elif key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        yield failed(f"the key {arn} is {key['KeySpec']}; volumes and buckets want a symmetric one")
    else:
        yield ok(arn.rsplit("/", 1)[-1])


def check_network(account: Account) -> Iterator[Finding]:
    """Subnets and security groups: there, and of one VPC; and a way from there to S3 that costs nothing."""
    network = account.settings.network
    if not network.subnets:
        yield ok("AWS's own")
        return
    ec2 = account.client("ec2")
    findings: list[Finding] = []
    with explaining(findings):
        findings += _of_one_vpc(ec2, network.subnets, network.security_groups)
    yield from findings
    if all(finding.status == "ok" for finding in findings):
        findings = []
        with explaining(findings):
            findings += _way_to_s3(ec2, network.subnets, account.settings.account.region)
        yield from findings


def _of_one_vpc(ec2: Any, subnets: list[str], groups: list[str]) -> Iterator[Finding]:
    try:
        vpcs = {one["SubnetId"]: one["VpcId"] for one in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
        found = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except ClientError as error:
        if says_missing(error):
            yield failed(f"{error.response['Error']['Message']}; correct network.subnets and network.security_groups")
            return
        raise
    vpcs |= {one["GroupId"]: one["VpcId"] for one in found}
    if len(set(vpcs.values())) > 1:
        named = ", ".join(f"{name} in {vpc}" for name, vpc in vpcs.items())
        yield failed(f"network.subnets and network.security_groups are not of one VPC: {named}")
    else:
        yield ok(", ".join(vpcs))


def _way_to_s3(ec2: Any, subnets: list[str], region: str) -> Iterator[Finding]:
    """A gateway endpoint is a route: it serves the subnets whose route tables it is in.

    https://docs.aws.amazon.com/sagemaker/latest/dg/train-vpc.html#train-vpc-s3 and
    https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
    """
    vpc = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    service = f"com.amazonaws.{region}.s3"
    filters = [
        {"Name": "vpc-id", "Values": [vpc]},
        {"Name": "service-name", "Values": [service]},
        {"Name": "vpc-endpoint-state", "Values": ["available"]},
    ]
    endpoints = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    gateways = [one for one in endpoints if one.get("VpcEndpointType", "Gateway") == "Gateway"]
    served = {table for one in gateways for table in one.get("RouteTableIds", [])}
    tables = _route_tables(ec2, vpc, subnets)
    without = [subnet for subnet in subnets if tables[subnet] not in served]
    if not without:
        yield ok(f"an S3 gateway endpoint in {vpc}")
        return
    named = " ".join(dict.fromkeys(tables[subnet] for subnet in without))
    if gateways:
        change = f"modify-vpc-endpoint --vpc-endpoint-id {gateways[0]['VpcEndpointId']} --add-route-table-ids {named}"
    else:
        change = f"create-vpc-endpoint --vpc-id {vpc} --service-name {service} --route-table-ids {named}"
    yield warning(
        f"no route leads from {', '.join(without)} to a gateway endpoint for S3: photos and shards go through a NAT"
        f" gateway, by the GB, or not at all; the endpoint is free: aws ec2 {change}"
    )


def _route_tables(ec2: Any, vpc: str, subnets: list[str]) -> dict[str, str]:
    """The route table of each subnet: the one that it is associated with, else the VPC's main one.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html
    """
    main, own = "", {}
    pages = ec2.get_paginator("describe_route_tables").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    for table in (table for page in pages for table in page["RouteTables"]):
        for association in table["Associations"]:
            if association.get("Main"):
                main = table["RouteTableId"]
            elif "SubnetId" in association:
                own[association["SubnetId"]] = table["RouteTableId"]
    return {subnet: own.get(subnet, main) for subnet in subnets}
