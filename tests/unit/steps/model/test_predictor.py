"""The network in ONNX Runtime, and the rule that makes a count of its probabilities."""

import errno
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steps.contracts.artifact import DESCRIPTION, ONNX
from steps.contracts.errors import StepError
from steps.contracts.full_disk import is_disk_full
from steps.model.predictor import Predictor, decide, expectation, simplified, softmax
from tests.unit.steps.evaluate.networks import DARK, IMAGE_SIZE, SQUARE, brightness_network, write_artifact

CLASSES = (0, 1, 2)


def flat(*quantities):
    """Photos of one brightness each, that of so many squares."""
    values = [round(DARK + SQUARE * quantity) for quantity in quantities]
    return np.stack([np.full((3, IMAGE_SIZE, IMAGE_SIZE), value, np.uint8) for value in values])


def test_photos_become_the_probabilities_of_their_classes(tmp_path):
    predictor = Predictor.load(write_artifact(tmp_path, CLASSES))
    found = predictor.probabilities(flat(2, 0, 1, 1))
    assert found.dtype == np.float32
    assert found.shape == (4, 3)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert found.argmax(axis=1).tolist() == [2, 0, 1, 1]


def test_several_threads_may_predict_at_a_time(tmp_path):
    predictor = Predictor.load(write_artifact(tmp_path, CLASSES), threads=1)
    wanted = predictor.probabilities(flat(0, 1, 2))
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(predictor.probabilities, [flat(0, 1, 2)] * 40):
            assert np.array_equal(found, wanted)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_are_those_asked_for(tmp_path, threads):
    predictor = Predictor.load(write_artifact(tmp_path, CLASSES), threads=threads)
    assert predictor._session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize("scale", [float("nan"), 1e38])
def test_outputs_that_are_not_finite_are_refused(tmp_path, scale):
    network = brightness_network(CLASSES, scale=scale)
    predictor = Predictor.load(write_artifact(tmp_path, CLASSES, network=network))
    with pytest.raises(StepError, match="not finite"):
        predictor.probabilities(flat(2))


@pytest.mark.parametrize("file", [ONNX, DESCRIPTION])
def test_an_artifact_without_one_of_its_files_is_refused_by_name(tmp_path, file):
    (write_artifact(tmp_path, CLASSES) / file).unlink()
    with pytest.raises(StepError, match=re.escape(file)):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no network", brightness_network(CLASSES).SerializeToString()[:200]])
def test_a_file_that_is_no_network_is_refused_by_name(tmp_path, content):
    (write_artifact(tmp_path, CLASSES) / ONNX).write_bytes(content)
    with pytest.raises(StepError, match=re.escape(ONNX)):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("network", [brightness_network((0, 1)), brightness_network(CLASSES, image_size=8)])
def test_a_network_that_is_not_as_described_is_refused(tmp_path, network):
    with pytest.raises(StepError, match=re.escape("in model.json")):
        Predictor.load(write_artifact(tmp_path, CLASSES, network=network))


def test_a_network_that_takes_floats_is_refused(tmp_path):
    network = brightness_network(CLASSES)
    network.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(StepError, match="uint8"):
        Predictor.load(write_artifact(tmp_path, CLASSES, network=network))


def test_the_disk_has_space_for_each_weight_of_a_mirrored_network_twice(tmp_path, monkeypatch):
    from steps.model.network import build_network
    from steps.train import export

    # The older exporter's graph is folded in this pass already.
    monkeypatch.setattr(export, "_NEWER_EXPORTER_SINCE", (99, 0))
    network = build_network("resnet18", 3, 32, seed=1, mirrored=True).eval()
    exported = tmp_path / "exported.onnx"
    exported.write_bytes(export.OnnxGraph(network, 32).with_weights(network.state_dict()))
    reserved = []
    monkeypatch.setattr("steps.model.predictor._reserve", lambda _, size: reserved.append(size))
    written = simplified(exported, tmp_path, copies=2).stat().st_size
    assert 1.5 * exported.stat().st_size < written < 1.01 * reserved[0]


def test_a_network_as_it_is_exported_becomes_one_operation_a_layer(tmp_path):
    import onnxruntime
    import torch

    from steps.model.network import build_network
    from steps.train.export import OnnxGraph

    network = build_network("resnet18", 3, 32, seed=1).eval()
    exported = tmp_path / "exported.onnx"
    exported.write_bytes(OnnxGraph(network, 32).with_weights(network.state_dict()))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(simplified(exported, tmp_path), options, providers=["CPUExecutionProvider"])
    operations = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert not operations & {"BatchNormalization", "Relu", "Add"}
    photos = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(photos)).numpy()
    assert session.run(None, {"photos": photos})[0] == pytest.approx(wanted, abs=1e-3)


logits = arrays(np.float32, (3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32))


@given(logits)
def test_softmax_gives_probabilities_of_any_logits(values):
    found = softmax(values)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (found >= 0).all()
    assert (found.max(axis=1) == found[np.arange(3), values.argmax(axis=1)]).all()


def test_the_expectation_is_the_mean_of_the_quantities():
    assert expectation(np.array([[0.5, 0.0, 0.5]], np.float32), [1, 2, 5]).tolist() == [3]


@pytest.mark.parametrize(
    ("probabilities", "likeliest", "expected"),
    [
        ([0.5, 0.1, 0.4], 0, 1),
        ([0.0, 0.5, 0.5], 1, 2),  # a half goes up
        ([1.0, 0.0, 0.0], 0, 0),
    ],
)
def test_a_count_is_the_likeliest_or_the_rounded_expectation(probabilities, likeliest, expected):
    row = np.array([probabilities], np.float32)
    assert decide(row, CLASSES, "argmax").tolist() == [likeliest]
    assert decide(row, CLASSES, "expected").tolist() == [expected]


def test_a_count_is_always_one_of_the_classes():
    assert decide(np.array([[0.5, 0.5]], np.float32), (0, 5), "expected").tolist() == [5]
    assert decide(np.array([[0.7, 0.3]], np.float32), (0, 5), "expected").tolist() == [0]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="only Linux reserves space for a file")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_folder_for_temporary_files_is_not_the_networks_fault(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="a copy of the network needs") as raised:
        Predictor.load(write_artifact(tmp_path, CLASSES))
    assert is_disk_full(raised.value)
    assert raised.value.filename.startswith(tempfile.gettempdir())
