"""What is known of instance types."""

from __future__ import annotations

import pytest

from pipeline import instances
from pipeline.validation.shapes import service_model
from steps.deploy import requests


def known_types() -> set[str]:
    """All that SageMaker's jobs and endpoints take."""
    model = service_model("sagemaker")
    shapes = (
        "TrainingInstanceType",
        "ProcessingInstanceType",
        "TransformInstanceType",
        "ProductionVariantInstanceType",
    )
    return {one for shape in shapes for one in model.shape_for(shape).enum}


@pytest.mark.parametrize(
    "instance_type",
    [
        *("ml.g4dn.xlarge", "ml.g5.12xlarge", "ml.g6.xlarge", "ml.g6e.2xlarge", "ml.p3dn.24xlarge", "ml.p4d.24xlarge"),
        *("ml.p4de.24xlarge", "ml.p5.48xlarge", "ml.p6-b200.48xlarge", "ml.trn1.2xlarge", "ml.m5d.large"),
        *("ml.c5d.9xlarge", "ml.m6gd.large", "ml.r5d.xlarge"),
    ],
)
def test_types_with_disks_of_their_own(instance_type: str) -> None:
    assert instance_type in known_types()
    assert instances.has_own_disks(instance_type)


@pytest.mark.parametrize(
    "instance_type",
    [
        "ml.m5.large",
        "ml.c5.4xlarge",
        "ml.c5n.xlarge",
        "ml.c6i.large",
        "ml.p2.xlarge",
        "ml.p3.2xlarge",
        "ml.inf2.xlarge",
    ],
)
def test_types_whose_volumes_are_encrypted_with_a_key_of_the_account(instance_type: str) -> None:
    assert instance_type in known_types()
    assert not instances.has_own_disks(instance_type)


def test_the_deploy_function_knows_the_same_types() -> None:
    assert requests.OWN_DISKS.pattern == instances.OWN_DISKS.pattern
    own = {one.split(".")[1] for one in known_types() if requests.OWN_DISKS.match(one)}
    assert {"g5", "p4d", "c5d"} <= own
    assert not {"m5", "c5", "p3", "t2"} & own


def test_every_type_with_gpus_is_one_that_training_takes() -> None:
    assert set(instances.GPUS) <= set(service_model("sagemaker").shape_for("TrainingInstanceType").enum)
    assert set(instances.SMDDP) <= set(instances.GPUS)


def test_types_that_may_replace_one_another_agree_on_their_disks_when_asked() -> None:
    everything = instances.alternatives("ml.g5.xlarge", "torchrun")
    alike = instances.alternatives("ml.g5.xlarge", "torchrun", same_disks=True)
    assert set(everything) - set(alike) == {"ml.p3.2xlarge", "ml.p3.8xlarge", "ml.p3.16xlarge"}
    volta = instances.alternatives("ml.p3.2xlarge", "torchrun", same_disks=True)
    assert volta == ["ml.p3.16xlarge", "ml.p3.2xlarge", "ml.p3.8xlarge"]
    assert instances.alternatives("ml.m5.large", "torchrun", same_disks=True) == sorted(instances.CPU)
