import hashlib
import io
import pickle
import re

import pytest
import torch
from safetensors.torch import save

from steps.contracts import imagenet_weights
from steps.contracts.errors import StepError
from steps.contracts.imagenet_files import PublishedFile
from steps.model.network import CountClassifier, build_network, import_torchvision
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
    load_initial_weights(second, put(save(first.state_dict()), "model.safetensors"), 32)
    assert differing(first, second) == set()


def test_of_a_network_with_other_classes_all_but_the_last_layer_is_taken(put, caplog):
    caplog.set_level("INFO")
    many, mine, before = fresh(1000), fresh(seed=2), fresh(seed=2)
    load_initial_weights(mine, put(pth(many.network.state_dict()), "resnet18.pth"), 32)
    assert "fc.bias, fc.weight start at random" in caplog.text
    assert torch.equal(mine.network.fc.weight, before.network.fc.weight)
    assert torch.equal(mine.network.layer4[1].conv2.weight, many.network.layer4[1].conv2.weight)


def test_weights_of_another_architecture_are_refused_with_the_first_that_does_not_fit(put):
    other = build_network("resnet34", 3, 32, 1)
    uri = put(save(other.state_dict()), "other.safetensors")
    smaller = {name: value for name, value in other.state_dict().items() if "layer2" not in name}
    with pytest.raises(StepError, match=rf"{uri} is of another architecture: layer2\.0\..* is missing"):
        load_initial_weights(fresh(), put(save(smaller), "other.safetensors"), 32)


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
        load_initial_weights(fresh(), uri, 32)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there_are_named(bucket):
    with pytest.raises(StepError, match=rf"s3://{bucket}/absent\.pth cannot be read: .*NoSuchKey"):
        load_initial_weights(fresh(), f"s3://{bucket}/absent.pth", 32)


def test_a_file_of_weights_cannot_bring_code(put, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(StepError, match="cannot be read"):
        load_initial_weights(fresh(), put(pickle.dumps({"fc.weight": Payload()}), "bad.pth"), 32)
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------------------------------- torchvision's own files


@pytest.fixture
def publish(put, monkeypatch):
    """Put a file under the name that torchvision would publish it by, with these hex digits or its own."""

    def publish(content: bytes, digits: str = "") -> str:
        name = f"resnet18-{digits or hashlib.sha256(content).hexdigest()[:8]}.pth"
        monkeypatch.setitem(imagenet_weights.FILES, "resnet18", PublishedFile(name, "IMAGENET1K_V1", 44.661))
        monkeypatch.setitem(imagenet_weights._ARCHITECTURES, name, "resnet18")
        return put(content, f"weights/{name}")

    return publish


def test_a_published_file_is_loaded_and_its_terms_are_logged(publish, caplog):
    caplog.set_level("INFO")
    many, mine = fresh(1000), fresh(seed=2)
    load_initial_weights(mine, publish(pth(many.network.state_dict())), 32)
    assert torch.equal(mine.network.layer1[0].conv1.weight, many.network.layer1[0].conv1.weight)
    assert "torchvision's IMAGENET1K_V1 from https://download.pytorch.org/models/resnet18-" in caplog.text
    assert "non-commercial research" in caplog.text


def test_a_published_file_with_other_content_is_refused_with_the_remedy(publish):
    uri = publish(pth(fresh(1000).network.state_dict()), digits="f37072fd")
    with pytest.raises(StepError, match=rf"{uri} is not the file that torchvision publishes.*pipeline weights"):
        load_initial_weights(fresh(), uri, 32)


def test_digits_in_the_name_of_another_file_are_no_digest(put):
    first, second = fresh(seed=1), fresh(seed=2)
    load_initial_weights(second, put(pth(first.network.state_dict()), "mine-20240101.pth"), 32)
    assert differing(first, second) == set()


def without_counters(network):
    return {name: value for name, value in network.state_dict().items() if "num_batches" not in name}


def with_former_names(network):
    """DenseNet's files have `norm.1` for `norm1`: torchvision/models/densenet.py, `_load_state_dict`."""
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    return {pattern.sub(r"\1.\2", name): value for name, value in without_counters(network).items()}


def auxiliary(network):
    """GoogLeNet's and Inception's files have the weights of auxiliary classifiers."""
    return {"aux1.fc1.weight": torch.zeros(2, 2), **network.state_dict()}


@pytest.mark.parametrize(
    ("architecture", "size", "state_of"),
    [
        ("resnet18", 32, without_counters),
        ("densenet121", 32, with_former_names),
        ("googlenet", 64, auxiliary),
        # It refuses a state dict without the versions of its layers.
        ("mnasnet0_5", 32, lambda network: network.state_dict()),
        ("mnasnet0_5", 32, lambda network: dict(network.state_dict())),
    ],
)
def test_files_of_earlier_releases_of_torchvision_are_loaded(put, architecture, size, state_of):
    first, second = (build_network(architecture, 3, size, seed) for seed in (1, 2))
    with torch.no_grad():
        for tensor in first.network.buffers():
            if tensor.is_floating_point():
                tensor.add_(0.5)
    load_initial_weights(second, put(pth(state_of(first.network)), "published.pth"), size)
    assert differing(first, second) == set()


def transformer(image_size: int) -> CountClassifier:
    VisionTransformer = import_torchvision().VisionTransformer  # noqa: N806
    torch.manual_seed(image_size)
    network = CountClassifier(VisionTransformer(image_size, 16, 1, 2, 8, 16, num_classes=3))
    torch.nn.init.normal_(network.network.encoder.pos_embedding)
    return network


def test_positions_of_a_vision_transformer_fit_the_size_of_the_photos(put):
    large, small = transformer(64), transformer(32)
    load_initial_weights(small, put(pth(large.network.state_dict()), "vit.pth"), 32)
    theirs, ours = (network.network.encoder.pos_embedding for network in (large, small))
    assert (theirs.shape[1], ours.shape[1]) == (17, 5)
    assert torch.equal(ours[:, 0], theirs[:, 0])
    # torchvision's interpolation aligns the corners.
    assert torch.allclose(ours[0, 1], theirs[0, 1], atol=1e-5)
    assert torch.equal(small.network.conv_proj.weight, large.network.conv_proj.weight)


def test_positions_that_are_no_square_are_of_another_architecture(put):
    state = transformer(64).network.state_dict()
    state["encoder.pos_embedding"] = state["encoder.pos_embedding"][:, :7]
    with pytest.raises(StepError, match=r"another architecture: encoder\.pos_embedding is missing or has another"):
        load_initial_weights(transformer(32), put(pth(state), "vit.pth"), 32)
