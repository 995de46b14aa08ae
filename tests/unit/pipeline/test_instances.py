"""What is known of instance types."""

from __future__ import annotations

import pytest

from pipeline import instances


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


WITH_DISKS = ("g4dn.xlarge", "g5.2xlarge", "g6.xlarge", "p3dn.24xlarge", "p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge")


@pytest.mark.parametrize("instance_type", [*WITH_DISKS, "m5d.large"])
def test_some_types_bring_disks(instance_type: str) -> None:
    assert instances.has_local_storage(f"ml.{instance_type}")


@pytest.mark.parametrize("instance_type", ["ml.m5.large", "ml.c5.xlarge", "ml.p3.2xlarge", "ml.t3.medium"])
def test_others_get_a_volume(instance_type: str) -> None:
    assert not instances.has_local_storage(instance_type)
