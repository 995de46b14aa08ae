"""What can be said without asking: the region, and SMDDP."""

from __future__ import annotations

import pytest

from pipeline.operations.preflight import offline
from pipeline.settings import Settings
from tests.unit.pipeline.operations.preflight.conftest import changed

PYTORCH = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:{}-gpu-py311-cu124-ubuntu22.04-sagemaker"


def said(settings: Settings, check: str) -> tuple[str, str]:
    [found] = [result for result in offline(settings) if result.check == check]
    return found.status, found.detail


@pytest.mark.parametrize(
    ("region", "status", "words"),
    [
        ("eu-central-1", "ok", "eu-central-1"),
        ("eu-centrall-1", "failed", "did you mean eu-central-1"),
        ("us-esat-1", "failed", "did you mean us-east-1"),
        ("eu-central-3", "failed", "did you mean eu-central-"),
        ("ap-southeats-2", "failed", "did you mean ap-southeast-2"),
        (
            "xx-east-1",
            "failed",
            "this version of boto3 lists no SageMaker there; did you mean",
        ),
        ("cn-north-1", "failed", "in the partition aws-cn"),
        ("us-gov-west-1", "failed", "in the partition aws-us-gov"),
    ],
)
def test_a_region_is_known_is_a_slip_or_is_of_another_partition(
    settings: Settings, region: str, status: str, words: str
) -> None:
    found = said(changed(settings, "account", region=region), "region")
    assert found[0] == status
    assert words in found[1]


def test_smddp_that_could_be_used_is_mentioned(settings: Settings) -> None:
    assert said(settings, "smddp") == ("ok", "not used, training.backend is auto")
    capable = changed(settings, "training", instance_type="ml.p4d.24xlarge")
    assert said(capable, "smddp")[1].endswith("ml.p4d.24xlarge supports it: training.backend smddp")


@pytest.mark.parametrize(
    ("base", "status"),
    [("", "ok"), (PYTORCH.format("2.5.1"), "ok"), (PYTORCH.format("2.10.0"), "failed"), ("own.example/x:1", "warning")],
)
def test_smddp_wants_an_image_that_carries_it(settings: Settings, base: str, status: str) -> None:
    asked = changed(settings, "training", instance_type="ml.p4d.24xlarge", instance_count=2, backend="smddp")
    assert said(changed(asked, "images", training_base=base), "smddp")[0] == status
