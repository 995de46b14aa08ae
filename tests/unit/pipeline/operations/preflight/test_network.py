"""Subnets, security groups, the way to S3, and the key."""

from __future__ import annotations

import pytest
from moto.ec2.models import ec2_backends

from pipeline.settings import Settings
from tests.unit.pipeline.operations.preflight.conftest import Look, changed, client


@pytest.fixture
def vpc() -> str:
    vpc = str(client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    with_options(vpc, {"domain-name": "ec2.internal", "domain-name-servers": "AmazonProvidedDNS"})
    return vpc


def with_options(vpc: str, options: dict[str, str]) -> str:
    """Give the VPC another set of DHCP options; returns the set's id."""
    configurations = [{"Key": key, "Values": [value]} for key, value in options.items()]
    created = client("ec2").create_dhcp_options(DhcpConfigurations=configurations)["DhcpOptions"]
    client("ec2").associate_dhcp_options(DhcpOptionsId=created["DhcpOptionsId"], VpcId=vpc)
    return str(created["DhcpOptionsId"])


def subnet(vpc: str, block: str = "10.0.1.0/24") -> str:
    return str(client("ec2").create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"])


def main_table(vpc: str) -> str:
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    return str(client("ec2").describe_route_tables(Filters=filters)["RouteTables"][0]["RouteTableId"])


def gateway(vpc: str, table: str) -> str:
    """An endpoint for S3 in one of the route tables."""
    made = client("ec2").create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway", RouteTableIds=[table]
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def group(vpc: str) -> str:
    return str(client("ec2").create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"])


def inside(settings: Settings, subnets: list[str], groups: list[str]) -> Settings:
    return changed(settings, "network", subnets=subnets, security_groups=groups)


def test_without_a_network_of_ones_own_nothing_is_asked(look: Look) -> None:
    assert look("network") == [("ok", "AWS's own")]


def test_a_vpc_without_a_gateway_endpoint_for_s3_is_advised_to_have_one(
    look: Look, settings: Settings, vpc: str
) -> None:
    chosen = inside(settings, [subnet(vpc)], [group(vpc)])
    (status, _), (advice, detail) = look("network", chosen)
    assert (status, advice) == ("ok", "warning")
    create = f"aws ec2 create-vpc-endpoint --vpc-id {vpc} --service-name com.amazonaws.us-east-1.s3"
    assert detail.endswith(f"{create} --route-table-ids {main_table(vpc)}")
    gateway(vpc, main_table(vpc))
    assert look("network", chosen)[1] == ("ok", f"an S3 gateway endpoint in {vpc}")


def test_every_subnet_wants_the_endpoint_in_the_route_table_that_is_its_own(
    look: Look, settings: Settings, vpc: str
) -> None:
    first, second = subnet(vpc), subnet(vpc, "10.0.2.0/24")
    table = str(client("ec2").create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])
    client("ec2").associate_route_table(RouteTableId=table, SubnetId=second)
    endpoint = gateway(vpc, main_table(vpc))
    chosen = inside(settings, [first, second], [group(vpc)])
    status, detail = look("network", chosen)[1]
    assert status == "warning"
    assert detail.startswith(f"{second} have no route to a gateway endpoint for S3:")
    change = f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {endpoint} --add-route-table-ids {table}"
    assert detail.endswith(change)
    client("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[table])
    assert look("network", chosen)[1][0] == "ok"


def test_an_endpoint_that_is_not_available_is_no_way_to_s3(look: Look, settings: Settings, vpc: str) -> None:
    endpoint = gateway(vpc, main_table(vpc))
    # Moto's endpoints are available at once.
    ec2_backends[settings.account.id]["us-east-1"].vpc_end_points[endpoint].state = "deleting"
    assert look("network", inside(settings, [subnet(vpc)], [group(vpc)]))[1][0] == "warning"


def test_an_interface_endpoint_has_no_routes(look: Look, settings: Settings, vpc: str) -> None:
    client("ec2").create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Interface", SubnetIds=[subnet(vpc)]
    )
    chosen = inside(settings, [subnet(vpc, "10.0.3.0/24")], [group(vpc)])
    assert look("network", chosen)[1][0] == "warning"


def test_subnets_and_groups_of_two_vpcs_are_a_failure(look: Look, settings: Settings, vpc: str) -> None:
    other = client("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    [(status, detail)] = look("network", inside(settings, [subnet(vpc)], [group(other)]))
    assert status == "failed"
    assert vpc in detail
    assert other in detail


def test_a_subnet_that_is_not_there_is_a_failure(look: Look, settings: Settings, vpc: str) -> None:
    [(status, detail)] = look("network", inside(settings, ["subnet-12345678"], [group(vpc)]))
    assert status == "failed"
    assert "subnet-12345678" in detail
    assert "correct network.subnets" in detail


def test_a_key_is_enabled_disabled_or_not_there(look: Look, settings: Settings) -> None:
    assert look("key") == [("ok", "AWS's own keys")]
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]
    chosen = changed(settings, "encryption", kms_key=key["Arn"])
    assert look("key", chosen) == [("ok", key["KeyId"])]
    kms.disable_key(KeyId=key["KeyId"])
    [(status, detail)] = look("key", chosen)
    assert (status, "is Disabled; enable it in KMS" in detail) == ("failed", True)
    missing = key["Arn"].replace(key["KeyId"], "12345678-1234-1234-1234-123456789012")
    [(status, detail)] = look("key", changed(settings, "encryption", kms_key=missing))
    assert (status, "correct encryption.kms_key" in detail) == ("failed", True)


def test_an_asymmetric_key_encrypts_no_volume(look: Look, settings: Settings) -> None:
    key = client("kms").create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    [(status, detail)] = look("key", changed(settings, "encryption", kms_key=key["Arn"]))
    assert (status, "need a symmetric one" in detail) == ("failed", True)


def test_dhcp_options_without_a_domain_name_fail_processing_jobs(look: Look, settings: Settings, vpc: str) -> None:
    gateway(vpc, main_table(vpc))
    chosen = inside(settings, [subnet(vpc)], [group(vpc)])
    assert [status for status, _ in look("network", chosen)] == ["ok", "ok"]
    options = with_options(vpc, {"domain-name-servers": "10.0.0.2"})
    *_, (status, detail) = look("network", chosen)
    assert status == "failed"
    assert detail.startswith(
        f"the DHCP options {options} of {vpc} lack domain-name, without which processing jobs fail"
    )
