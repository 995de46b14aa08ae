"""Where trials begin: the default of each kind of account, and the URI that the trainer gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from tests.unit.pipeline.settings.test_file import settings_of, with_values

FOLDER = "s3://bins-111122223333/bin-counting/weights/"
RESNET34 = f"{FOLDER}resnet34-b627a593.pth"
LOCAL = {"target": "local", "id": "123456789012", "region": "us-east-1"}
AWS = {**LOCAL, "target": "aws"}


@pytest.mark.parametrize(
    ("groups", "uri"),
    [
        ({"account": AWS}, RESNET34),
        ({"account": LOCAL}, ""),
        ({"account": AWS, "network": {"isolation": True}, "training": {"input": "file"}}, ""),
        ({"account": AWS, "training": {"weights": "none"}}, ""),
        ({"account": LOCAL, "training": {"weights": "imagenet"}}, RESNET34),
        ({"account": AWS, "training": {"weights": "s3://mine/w.pth"}}, "s3://mine/w.pth"),
        ({"account": LOCAL, "training": {"weights": "s3://mine/w.safetensors"}}, "s3://mine/w.safetensors"),
        # Weights of SWAG are never taken by default, and random ones are not refused.
        ({"account": AWS, "training": {"weights": "none", "architecture": "vit_h_14"}}, ""),
    ],
)
def test_an_account_trains_from_imagenet_and_the_local_cloud_does_not(
    tmp_path: Path, groups: dict[str, Any], uri: str
) -> None:
    assert settings_of(tmp_path, with_values(**groups)).weights_uri == uri


def test_a_default_does_not_become_a_value_of_the_settings(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, with_values(account=AWS))
    moved = Settings.model_validate({**settings.model_dump(), "account": LOCAL})
    assert (settings.training.weights, moved.weights_uri) == (None, "")


def test_a_search_over_architectures_gets_the_folder_of_all_of_their_files(tmp_path: Path) -> None:
    ranges = {"architecture": {"values": ["resnet18", "resnet34"]}}
    settings = settings_of(tmp_path, with_values(account=AWS, tuning={"ranges": ranges}))
    assert settings.weights_uri == FOLDER
    assert settings.imagenet_uris == {"resnet18": f"{FOLDER}resnet18-f37072fd.pth", "resnet34": RESNET34}
    assert settings.training.weights_file == ""
