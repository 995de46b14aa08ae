"""What of the settings the stack is made from."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.account import deploy_function as serving
from pipeline.account.parameters import parameters
from steps.deploy import requests
from steps.deploy.events import Version
from steps.deploy.release import Release
from steps.deploy.settings import Settings as FunctionSettings
from tests.unit.pipeline.account.stacks import FULL, MLFLOW, PLAIN, SUBNETS, TRACKED, settings
from tests.unit.steps.arguments import DEPLOY


def test_values_are_what_cloudformation_takes_and_the_zip_s_key_is_handed_on() -> None:
    for chosen in (PLAIN, FULL, TRACKED):
        values = parameters(chosen, "bin-counting-code/deploy-1.zip")
        assert {type(value) for value in values.values()} == {str}
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
        assert len(values) <= 200
        assert max(map(len, values.values())) <= 4096
        assert values["DeployCode"] == "bin-counting-code/deploy-1.zip"


def test_the_function_s_whole_environment_is_handed_on_but_the_role_that_the_stack_makes() -> None:
    values = parameters(FULL, "")
    environment = serving.function_environment(FULL)
    handed = {name: values.get(name.title().replace("_", "")) for name in environment}
    assert handed == {**environment, "SERVING_ROLE_ARN": None}


@examples(max_examples=50)
@given(name=st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", fullmatch=True), version=st.integers(1, 9_999_999))
def test_the_pattern_of_what_is_deployed_takes_the_names_that_the_function_gives(name: str, version: int) -> None:
    named = PLAIN.model_copy(update={"endpoint": PLAIN.endpoint.model_copy(update={"name": name})})
    pattern = parameters(named, "")["Deployed"]
    function = FunctionSettings(**{**DEPLOY, "endpoint_name": name})
    registered = Version("arn", "bins", version)
    release = Release("image:1", "s3://bins/released/1-0/model.tar.gz", {}, "")
    config = requests.endpoint_config(function, registered, release)["EndpointConfigName"]
    model = requests.model(function, release, config)["ModelName"]
    assert fnmatchcase(config, pattern)
    assert fnmatchcase(model, pattern)


def test_the_pattern_of_what_is_deployed_is_no_wider_than_the_endpoint_s_name() -> None:
    assert parameters(settings(endpoint={"name": "bins"}), "")["Deployed"] == "bins-v*"
    long = parameters(settings(endpoint={"name": "a" * 20 + "b" * 43}), "")["Deployed"]
    assert re.fullmatch(r"\*a{14}b{25}\*", long)


@pytest.mark.parametrize(
    ("location", "bucket", "objects"),
    [
        ("s3://aft-vbi-pds", "aft-vbi-pds", "aft-vbi-pds/*"),
        ("s3://photos/", "photos", "photos/*"),
        ("s3://photos/bins/2026", "photos", "photos/bins/2026/*"),
        ("s3://photos/bins/2026/", "photos", "photos/bins/2026/*"),
    ],
)
def test_jobs_read_the_photos_below_their_prefix(location: str, bucket: str, objects: str) -> None:
    values = parameters(settings(data={"image_location": location}), "")
    assert (values["RawBucket"], values["RawObjects"]) == (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{objects}")


@pytest.mark.parametrize("folder", ["s3://lists/aft-vbi-pds/daily", "s3://lists/aft-vbi-pds/daily/"])
def test_jobs_read_the_lists_of_the_photos_bucket(folder: str) -> None:
    values = parameters(settings(data={"inventory": folder}), "")
    assert (values["InventoryBucket"], values["InventoryObjects"]) == (
        "arn:aws:s3:::lists",
        "arn:aws:s3:::lists/aft-vbi-pds/*",
    )
    assert [parameters(PLAIN, "")[name] for name in ("InventoryBucket", "InventoryObjects")] == ["", ""]


@pytest.mark.parametrize(
    ("secret", "arn"),
    [
        ("wandb/key", "arn:aws:secretsmanager:us-east-1:111122223333:secret:wandb/key-??????"),
        (
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb-aB3dE5",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb-aB3dE5",
        ),
    ],
)
def test_a_secret_is_named_as_secrets_manager_names_it(secret: str, arn: str) -> None:
    values = parameters(settings(tracking={"kind": "wandb", "wandb_secret": secret}), "")
    assert (values["WandbSecret"], values["MlflowServer"]) == (arn, "")


def test_a_tracker_that_is_not_used_or_not_aws_s_gets_no_permission() -> None:
    unused = parameters(settings(tracking={"kind": "none", "wandb_secret": "wandb/key", "mlflow_server": MLFLOW}), "")
    assert (unused["WandbSecret"], unused["MlflowServer"]) == ("", "")
    own = parameters(settings(tracking={"kind": "mlflow", "mlflow_server": "https://mlflow.example.com"}), "")
    assert own["MlflowServer"] == ""


@pytest.mark.parametrize(
    ("location", "prefix", "objects"),
    [
        ("s3://labels/bins/counts", "bins/counts/", "labels/bins/counts/*"),
        ("s3://labels/bins/counts/", "bins/counts/", "labels/bins/counts/*"),
        ("s3://labels/all.csv", "all.csv", "labels/all.csv"),
        ("s3://labels", "", "labels/*"),
    ],
)
def test_the_monitor_may_read_the_true_counts_alone(location: str, prefix: str, objects: str) -> None:
    values = parameters(settings(monitoring={"truth": location}), "")
    assert (values["TruthBucket"], values["TruthPrefix"]) == ("arn:aws:s3:::labels", prefix)
    assert values["TruthObjects"] == f"arn:aws:s3:::{objects}"
    assert parameters(PLAIN, "")["TruthBucket"] == ""


def test_images_are_built_on_aws_s_and_on_repositories_that_the_settings_name() -> None:
    aws = "arn:aws:ecr:us-east-1:*:repository/pytorch-*"
    assert parameters(PLAIN, "")["BaseRepositories"] == aws
    mirror = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mirror/python:3.11@sha256:" + "0" * 64
    own = parameters(settings(images={"python_base": mirror}), "")["BaseRepositories"]
    assert own == f"{aws},arn:aws:ecr:us-east-1:111122223333:repository/mirror/python"


def test_interfaces_may_be_in_the_subnets_also_of_a_shared_vpc() -> None:
    values = parameters(FULL, "")
    subnets = [f"arn:aws:ec2:us-east-1:*:subnet/{subnet}" for subnet in SUBNETS]
    group = "arn:aws:ec2:us-east-1:*:security-group/sg-0123456789abcdef0"
    interface = "arn:aws:ec2:us-east-1:111122223333:network-interface/*"
    assert values["InterfaceArns"].split(",") == [interface, *subnets, group]
    assert parameters(PLAIN, "")["Subnets"] == ""


@pytest.mark.parametrize(("budget", "text"), [(0.0, "0"), (250.5, "250.5"), (1200000.0, "1200000"), (99.999, "100")])
def test_a_budget_is_plain_decimals(budget: float, text: str) -> None:
    alerts = {"email": "bins@example.com", "monthly_budget": budget}
    assert parameters(settings(alerts=alerts), "")["MonthlyBudget"] == text
