"""How an instance's memory and cores are divided among Spark's processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.errors import StepError
from steps.runtime.machine import Machine
from steps.spark.sizes import MEGABYTE, Sizes, sizes


def machine(cores: int, gigabytes: float) -> Machine:
    return Machine(cores, int(gigabytes * 1024) * MEGABYTE)


@given(st.integers(1, 192), st.integers(3072, 1 << 20), st.integers(2, 20))
def test_the_first_instance_holds_its_driver_and_as_many_executors_as_the_others(
    cores: int, megabytes: int, instances: int
) -> None:
    try:
        divided = sizes(Machine(cores, megabytes * MEGABYTE), instances)
    except StepError:
        # Many cores with little memory, as no instance type has them.
        assert megabytes / cores < 300
        return
    assert 1 <= divided.worker_cores <= cores
    assert divided.executor_cores < 16
    assert divided.driver_megabytes >= 512
    assert divided.executor_megabytes >= 512
    # A third and more is left to Python's processes, and to master and worker.
    assert divided.driver_megabytes + divided.worker_megabytes <= 0.6 * megabytes


@pytest.mark.parametrize(
    ("machine_", "instances", "expected"),
    [
        (machine(2, 8), 1, Sizes(4915, 0, 2, 0)),
        (machine(4, 16), 3, Sizes(2304, 1, 4, 6912)),
        (machine(16, 64), 2, Sizes(8192, 2, 8, 15257)),
    ],
)
def test_instances_of_three_types(machine_: Machine, instances: int, expected: Sizes) -> None:
    assert sizes(machine_, instances) == expected


@pytest.mark.parametrize(("gigabytes", "instances", "least"), [(2, 2, 2731), (0.5, 1, 854)])
def test_too_little_memory_is_refused_with_what_is_enough(gigabytes: float, instances: int, least: int) -> None:
    message = rf"^an instance has {int(gigabytes * 1024)} MB of memory for Spark, which needs {least} MB; choose"
    with pytest.raises(StepError, match=message):
        sizes(machine(2, gigabytes), instances)
    assert sizes(Machine(2, least * MEGABYTE), instances).driver_megabytes >= 512
