import pytest
import torch

from steps.contracts.errors import StepError
from steps.train.precision import Precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capability", "name"), [((6, 0), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16")]
)
def test_a_gpu_gets_what_its_tensor_cores_compute_in(monkeypatch, capability, name):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert Precision.choose("auto", GPU).name == name


def test_a_cpu_gets_fp32_unless_asked_for_bf16():
    assert Precision.choose("auto", CPU).name == "fp32"
    with Precision.choose("bf16", CPU).autocast():
        assert torch.nn.Linear(2, 2)(torch.randn(1, 2)).dtype is torch.bfloat16


def test_what_the_device_cannot_do_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(StepError, match="bf16 needs a GPU of the Ampere generation"):
        Precision.choose("bf16", GPU)
    with pytest.raises(StepError, match="fp16 needs a GPU"):
        Precision.choose("fp16", CPU)


def test_gradients_are_scaled_in_fp16_alone():
    assert not Precision(CPU, torch.bfloat16).gradient_scaler().is_enabled()
    assert Precision(CPU, torch.float16).gradient_scaler().is_enabled()
