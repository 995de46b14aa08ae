import io
import pickle

import pytest
import torch
from safetensors.torch import save

from steps.contracts.errors import StepError
from steps.model.network import build_network
from steps.train.initial_weights import load_initial_weights


def fresh(classes: int = 3, seed: int = 1):
    return build_network("resnet18", classes, 32, seed)


@pytest.fixture
def put(s3, bucket):
    def put(content: bytes, name: str) -> str:
        s3.put_object(Bucket=bucket, Key=name, Body=content)
        return f"s3://{bucket}/{name}"

    return put


def differing(one, other) -> set[str]:
    theirs = other.state_dict()
    return {name for name, value in one.state_dict().items() if not torch.equal(value, theirs[name])}


def pth(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_an_artifacts_weights_come_back_whole(put):
    first, second = fresh(seed=1), fresh(seed=2)
    load_initial_weights(second, put(save(first.state_dict()), "model.safetensors"))
    assert differing(first, second) == set()


def test_of_a_network_with_other_classes_all_but_the_last_layer_is_taken(put, caplog):
    caplog.set_level("INFO")
    many, mine, before = fresh(1000), fresh(seed=2), fresh(seed=2)
    load_initial_weights(mine, put(pth(many.network.state_dict()), "resnet18.pth"))
    assert "fc.bias, fc.weight start at random" in caplog.text
    assert torch.equal(mine.network.fc.weight, before.network.fc.weight)
    assert torch.equal(mine.network.layer4[1].conv2.weight, many.network.layer4[1].conv2.weight)


def test_weights_of_another_architecture_are_refused_with_the_first_that_does_not_fit(put):
    other = build_network("resnet34", 3, 32, 1)
    uri = put(save(other.state_dict()), "other.safetensors")
    smaller = {name: value for name, value in other.state_dict().items() if "layer2" not in name}
    with pytest.raises(StepError, match=rf"{uri} is of another architecture: layer2\.0\..* is missing"):
        load_initial_weights(fresh(), put(save(smaller), "other.safetensors"))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"not weights", "a.safetensors", "cannot be read"),
        (b"not weights", "a.pth", "cannot be read"),
        (b"", "a.onnx", r"give a \.safetensors file"),
        (pth({"epoch": 3}), "a.pth", "contains more than a state dict"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_in_one_line(put, content, name, message):
    uri = put(content, name)
    with pytest.raises(StepError, match=rf"--weights {uri}.*{message}|--weights {uri}: {message}") as caught:
        load_initial_weights(fresh(), uri)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there_are_named(bucket):
    with pytest.raises(StepError, match=rf"s3://{bucket}/absent\.pth cannot be read: .*NoSuchKey"):
        load_initial_weights(fresh(), f"s3://{bucket}/absent.pth")


def test_a_file_of_weights_cannot_bring_code(put, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(StepError, match="cannot be read"):
        load_initial_weights(fresh(), put(pickle.dumps({"fc.weight": Payload()}), "bad.pth"))
    assert not (tmp_path / "ran").exists()
