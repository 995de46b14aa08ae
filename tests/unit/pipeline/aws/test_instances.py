"""What is known of instance types."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import moto
import pytest

from pipeline.aws import instances
from pipeline.aws.validation.shapes import service_model

RECORDED = "ec2/resources/instance_types.json.gz"


def known_types() -> set[str]:
    """All that SageMaker's jobs and endpoints take."""
    model = service_model("sagemaker")
    shapes = (
        "TrainingInstanceType",
        "ProcessingInstanceType",
        "TransformInstanceType",
        "ProductionVariantInstanceType",
    )
    return {instance_type for shape in shapes for instance_type in model.shape_for(shape).enum}


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


def test_families_with_disks_of_their_own() -> None:
    own = {name.split(".")[1] for name in known_types() if instances.has_own_disks(name)}
    assert {"g5", "p4d", "c5d"} <= own
    assert not {"m5", "c5", "p3", "t2"} & own


def test_every_type_with_gpus_is_one_that_training_takes() -> None:
    assert set(instances.GPUS) <= set(service_model("sagemaker").shape_for("TrainingInstanceType").enum)
    assert set(instances.SMDDP) <= set(instances.GPUS)


def test_types_that_may_replace_one_another_agree_on_their_disks_when_asked() -> None:
    everything = instances.alternatives("ml.g5.xlarge", "torchrun", cuda_13=False)
    alike = instances.alternatives("ml.g5.xlarge", "torchrun", cuda_13=False, same_disks=True)
    assert set(everything) - set(alike) == {"ml.p3.2xlarge", "ml.p3.8xlarge", "ml.p3.16xlarge"}
    volta = instances.alternatives("ml.p3.2xlarge", "torchrun", cuda_13=False, same_disks=True)
    assert volta == ["ml.p3.16xlarge", "ml.p3.2xlarge", "ml.p3.8xlarge"]
    assert instances.alternatives("ml.m5.large", "torchrun", same_disks=True) == sorted(instances.CPU)


def test_gpus_before_turing_have_no_kernels_in_pytorch_for_cuda_13() -> None:
    accelerated = {name for name in known_types() if instances.has_gpus(name)}
    without = {name.split(".")[1] for name in accelerated if not instances.runs_cuda_13(name)}
    assert without == {"p2", "p3", "p3dn"}
    assert not without & {name.split(".")[1] for name in instances.alternatives("ml.g5.xlarge", "torchrun")}
    assert "ml.p3dn.24xlarge" in instances.alternatives("ml.p4d.24xlarge", "smddp")


@pytest.mark.parametrize("instance_type", ["ml.g6e.2xlarge", "ml.p5en.48xlarge", "ml.p6-b200.48xlarge"])
def test_a_type_with_gpus_is_replaced_by_types_with_gpus_though_it_be_newer_than_the_table(instance_type: str) -> None:
    assert instances.has_gpus(instance_type)
    assert all(map(instances.has_gpus, instances.alternatives(instance_type, "torchrun")))


@pytest.mark.parametrize(
    ("instance_type", "gpus"),
    [
        ("ml.g6e.16xlarge", 1),
        ("ml.g6e.24xlarge", 4),
        ("ml.g6e.48xlarge", 8),
        ("ml.p5e.48xlarge", 8),
        ("ml.m5.large", 0),
    ],
)
def test_the_number_of_gpus_is_not_what_the_size_says(instance_type: str, gpus: int) -> None:
    assert instances.gpus(instance_type) == gpus


@pytest.mark.parametrize(
    ("instance_type", "vcpus"),
    [
        ("ml.t3.medium", 2),
        ("ml.m5.large", 2),
        ("ml.m5.xlarge", 4),
        ("ml.c5.9xlarge", 36),
        ("ml.p4d.24xlarge", 96),
        ("ml.m5.metal", 1),
    ],
)
def test_the_size_says_how_many_virtual_cpus_there_are(instance_type: str, vcpus: int) -> None:
    assert instances.vcpus(instance_type) == vcpus


@pytest.mark.parametrize(
    ("instance_type", "gigabytes"),
    [
        *(("ml.g4dn.xlarge", 125), ("ml.g5.48xlarge", 7600), ("ml.g6.12xlarge", 3760), ("ml.p4d.24xlarge", 8000)),
        *(("ml.m5d.24xlarge", 3600), ("ml.c5d.9xlarge", 900), ("ml.m5.large", None), ("ml.g9.xlarge", None)),
    ],
)
def test_the_size_of_a_types_own_disks(instance_type: str, gigabytes: int | None) -> None:
    assert instances.own_disk_gigabytes(instance_type) == gigabytes


def test_types_with_a_size_have_disks_of_their_own() -> None:
    sized = {name for name in known_types() if instances.own_disk_gigabytes(name)}
    assert len(sized) > 40
    assert all(map(instances.has_own_disks, sized))


def test_types_whose_disks_are_smaller_than_the_volume_are_no_alternatives():
    names = instances.alternatives("ml.g5.2xlarge", "torchrun", gigabytes=300)
    assert "ml.g4dn.xlarge" not in names
    assert all((instances.own_disk_gigabytes(name) or 300) >= 300 for name in names)
    assert "ml.g5.4xlarge" in names


def test_own_disks_are_those_that_ec2_describes() -> None:
    """By the answer of DescribeInstanceTypes that moto has recorded; SageMaker has no metal types."""
    recorded = json.loads(gzip.decompress((Path(moto.__file__).parent / RECORDED).read_bytes()))
    described = {
        name: kind["InstanceStorageInfo"]["TotalSizeInGB"]
        for name, kind in recorded.items()
        if "InstanceStorageInfo" in kind and not name.endswith(".metal")
    }
    ours = {f"{family}.{size}": gb for family, sizes in instances._OWN_DISKS.items() for size, gb in sizes.items()}
    families = tuple(f"{family}." for family in instances._OWN_DISKS)
    assert ours == {name: gb for name, gb in described.items() if name.startswith(families)}
