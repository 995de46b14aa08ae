"""The device of a process: GPUs that cannot be used end the trial at once, except in the local cloud."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch

from pipeline.aws import instances
from steps.contracts.errors import StepError
from steps.contracts.names import GPU_INSTANCES, LOCAL_CPU
from steps.train.device import choose_device

OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver.\n"
    "More lines follow."
)


@pytest.fixture(autouse=True)
def unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver is too old for PyTorch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def fail() -> None:
        raise RuntimeError(OLD_DRIVER)

    monkeypatch.setattr(torch.cuda, "init", fail)


def driver(monkeypatch: pytest.MonkeyPatch, version: Any) -> None:
    """NVIDIA's library, as the driver of that version answers."""

    class NVMLError(Exception):
        pass

    def system_driver_version() -> str:
        if version is None:
            raise NVMLError("Driver Not Loaded")
        return str(version)

    library = types.SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlSystemGetDriverVersion=system_driver_version
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)


@pytest.mark.parametrize(
    ("instance_type", "environ"),
    [
        ("ml.g5.xlarge", {"SM_NUM_GPUS": "1"}),
        # The toolkit's count is missing where `nvidia-smi` fails.
        ("ml.p4d.24xlarge", {"SM_NUM_GPUS": "0"}),
        ("ml.g9.xlarge", {}),
        ("", {"SM_NUM_GPUS": "4"}),
        ("ml.g5.xlarge", {LOCAL_CPU: "no"}),
    ],
)
def test_gpus_that_cannot_be_used_are_an_error_with_the_drivers_version(
    instance_type: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(monkeypatch, "535.183.01")
    with pytest.raises(StepError) as caught:
        choose_device(0, instance_type, environ)
    message = str(caught.value)
    assert instance_type in message
    assert "driver 535.183.01" in message
    assert "too old (found version 12020)" in message
    assert f"PyTorch {torch.__version__}" in message
    assert "images.training_base" in message
    assert "\n" not in message


def test_a_driver_that_does_not_answer_is_named_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, None)
    with pytest.raises(StepError, match=r"driver unknown \(Driver Not Loaded\)"):
        choose_device(0, "ml.g5.xlarge", {})


@pytest.mark.parametrize(("local_rank", "lines"), [(0, 1), (1, 0)])
def test_the_local_cloud_trains_on_the_cpu_and_says_so_once(
    local_rank: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_device(local_rank, "ml.g5.xlarge", {LOCAL_CPU: "1"}) == torch.device("cpu")
    assert caplog.text.count("training on the CPU: the local cloud does not have the GPUs of ml.g5.xlarge") == lines


@pytest.mark.parametrize("environ", [{}, {"SM_NUM_GPUS": "0"}, {"SM_NUM_GPUS": ""}])
def test_an_instance_without_gpus_trains_on_the_cpu_without_a_word(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_device(0, "ml.m5.xlarge", environ) == torch.device("cpu")
    assert choose_device(0, "", environ) == torch.device("cpu")
    assert caplog.text == ""


def test_a_gpu_that_can_be_used_is_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert choose_device(3, "ml.p4d.24xlarge", {}) == torch.device("cuda", 3)
    assert chosen == [3]


def test_the_pattern_has_every_gpu_type_and_no_cpu_type() -> None:
    assert all(GPU_INSTANCES.match(name) for name in instances.GPUS)
    assert not any(GPU_INSTANCES.match(name) for name in instances.CPU)
