"""The table of published weights is torchvision's, and each file has its digest in its name."""

import pytest

from pipeline.settings.classifiers import NAMES
from steps.contracts import imagenet_weights
from steps.contracts.errors import StepError
from steps.contracts.imagenet_files import FILES
from steps.contracts.imagenet_weights import HOST, ORIGIN, architecture_of, digits_of, file_for, published
from steps.model.network import import_torchvision
from tests import imagenet

# Licensed for non-commercial use: CC-BY-NC 4.0, torchvision's README.
SWAG_ALONE = {"regnet_y_128gf", "vit_h_14"}


def test_the_table_is_that_of_the_installed_torchvision():
    assert imagenet.FILE.read_text() == imagenet.render(), "python -m tests.imagenet writes it again"


def test_each_architecture_has_the_weights_that_torchvision_itself_would_take():
    models = import_torchvision()
    assert NAMES - set(FILES) == SWAG_ALONE
    for architecture, file in FILES.items():
        weights = models.get_model_weights(architecture)
        assert weights[file.weights] == weights.DEFAULT
        assert weights.DEFAULT.url == f"{ORIGIN}/{file.name}"
        assert "SWAG" not in file.weights
    assert all("license" in models.get_model_weights(name).DEFAULT.meta for name in SWAG_ALONE)
    assert ORIGIN.startswith(f"https://{HOST}/")


def test_the_digits_of_a_name_are_those_that_torch_hub_checks():
    from torch.hub import HASH_REGEX

    for file in FILES.values():
        assert digits_of(file.name) == HASH_REGEX.search(file.name)[1]
        assert len(digits_of(file.name)) >= 8
    assert digits_of("mine.pth") == ""


def test_a_folder_stands_for_the_file_of_the_architecture():
    folder = "s3://bins/p/weights/"
    assert file_for(folder, "resnet34") == "s3://bins/p/weights/resnet34-b627a593.pth"
    assert file_for("s3://bins/w.pth", "resnet34") == "s3://bins/w.pth"
    assert file_for("", "resnet34") == ""
    with pytest.raises(StepError, match=r"no weights of vit_h_14 .* take vit_l_16, or set training\.weights: none"):
        file_for(folder, "vit_h_14")


def test_a_file_is_a_published_file_by_its_whole_name():
    assert architecture_of("s3://bins/p/weights/resnet34-b627a593.pth") == "resnet34"
    assert architecture_of("s3://bins/my-resnet34-b627a593.pth") == ""
    assert architecture_of("s3://bins/model-20240101.pth") == ""
    assert architecture_of("") == ""
    assert imagenet_weights.published_at("s3://bins/x/resnet34-b627a593.pth") == published("resnet34")
