"""The VPC and the KMS key of the settings; both are optional."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.aws import errors as aws_errors
from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.aws.responses import exists, says_missing
from pipeline.operations.preflight.findings import Account, Finding, explained, failed, ok, warning


def check_key(account: Account) -> Finding:
    """The KMS key exists, is enabled, and can encrypt volumes."""
    arn = account.settings.encryption.kms_key
    if not arn:
        return ok("AWS's own keys")
    answer = exists(account.client("kms").describe_key, KeyId=arn)
    if answer is None:
        return failed(f"there is no key {arn}; correct encryption.kms_key")
    key = answer["KeyMetadata"]
    if key["KeyState"] != "Enabled":
        return failed(f"the key {arn} is {key['KeyState']}; enable it in KMS, or set another encryption.kms_key")
    if key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        return failed(f"the key {arn} is {key['KeySpec']}; volumes and buckets need a symmetric one")
    return ok(name_of(arn))


def check_network(account: Account) -> Iterator[Finding]:
    """Subnets and security groups exist, in one VPC, with a route to an S3 gateway endpoint, which is free."""
    network = account.settings.network
    if not network.subnets:
        yield ok("AWS's own")
        return
    ec2 = account.client("ec2")
    findings = list(explained(_same_vpc, ec2, network.subnets, network.security_groups))
    yield from findings
    if all(finding.status == "ok" for finding in findings):
        yield from explained(_route_to_s3, ec2, network.subnets, account.settings.account.region)
        yield from explained(_names, ec2, network.subnets)


def _same_vpc(ec2: Any, subnets: list[str], groups: list[str]) -> Finding:
    try:
        vpcs = {subnet["SubnetId"]: subnet["VpcId"] for subnet in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
        answer = ec2.describe_security_groups(GroupIds=groups)
    except ClientError as error:
        if not says_missing(error):
            raise
        return failed(f"{aws_errors.message_of(error)}; correct network.subnets and network.security_groups")
    vpcs |= {group["GroupId"]: group["VpcId"] for group in answer["SecurityGroups"]}
    if len(set(vpcs.values())) > 1:
        named = ", ".join(f"{name} in {vpc}" for name, vpc in vpcs.items())
        return failed(f"network.subnets and network.security_groups are in several VPCs: {named}; use those of one VPC")
    return ok(", ".join(vpcs))


def _names(ec2: Any, subnets: list[str]) -> Iterator[Finding]:
    """A problem where the VPC's DHCP options lack what processing jobs need; nothing where they have it.

    "expected DHCP options to include keys domain-name-servers and domain-name, but missing one or more attributes":
    https://github.com/aws/sagemaker-python-sdk/issues/3955
    """
    vpc = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    options = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["DhcpOptionsId"]
    if options == "default":  # the VPC has no set of options
        present: set[str] = set()
    else:
        (chosen,) = ec2.describe_dhcp_options(DhcpOptionsIds=[options])["DhcpOptions"]
        present = {item["Key"] for item in chosen["DhcpConfigurations"] if item.get("Values")}
    if missing := [key for key in ("domain-name", "domain-name-servers") if key not in present]:
        yield failed(
            f"the DHCP options {options} of {vpc} lack {' and '.join(missing)}, without which processing jobs fail;"
            " associate a set that has both (the values of AWS's own: AmazonProvidedDNS, and ec2.internal in us-east-1"
            " or REGION.compute.internal)"
        )


def _route_to_s3(ec2: Any, subnets: list[str], region: str) -> Finding:
    """A gateway endpoint is a route: it serves the subnets whose route tables contain it.

    https://docs.aws.amazon.com/sagemaker/latest/dg/train-vpc.html#train-vpc-s3 and
    https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
    """
    vpc = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    service = f"com.amazonaws.{region}.s3"
    wanted = {"vpc-id": vpc, "service-name": service, "vpc-endpoint-state": "available"}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    endpoints = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    gateways = [endpoint for endpoint in endpoints if endpoint.get("VpcEndpointType", "Gateway") == "Gateway"]
    served = {table for gateway in gateways for table in gateway.get("RouteTableIds", [])}
    tables = _route_tables(ec2, vpc, subnets)
    without = [subnet for subnet in subnets if tables[subnet] not in served]
    if not without:
        return ok(f"an S3 gateway endpoint in {vpc}")
    named = " ".join(dict.fromkeys(tables[subnet] for subnet in without))
    if gateways:
        change = f"modify-vpc-endpoint --vpc-endpoint-id {gateways[0]['VpcEndpointId']} --add-route-table-ids {named}"
    else:
        change = f"create-vpc-endpoint --vpc-id {vpc} --service-name {service} --route-table-ids {named}"
    return warning(
        f"{', '.join(without)} have no route to a gateway endpoint for S3: photos and shards go through a NAT gateway,"
        f" billed per GB, or not at all; the endpoint is free: aws ec2 {change}"
    )


def _route_tables(ec2: Any, vpc: str, subnets: list[str]) -> dict[str, str]:
    """The route table of each subnet: its associated one, or else the VPC's main one.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html
    """
    main, own = "", {}
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    for table in items(ec2.get_paginator("describe_route_tables"), "RouteTables", Filters=filters):
        for association in table["Associations"]:
            if association.get("Main"):
                main = table["RouteTableId"]
            elif "SubnetId" in association:
                own[association["SubnetId"]] = table["RouteTableId"]
    return {subnet: own.get(subnet, main) for subnet in subnets}
