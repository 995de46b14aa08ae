"""The predictions of docs/explore.ipynb: a version's own photos, whichever run is looked at with it."""

from __future__ import annotations

import ast
import io
import json
from types import SimpleNamespace
from typing import Any

import boto3
import matplotlib as mpl
import pytest
from PIL import Image

from pipeline import ROOT
from pipeline.operations.models import registry
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.evaluation import PREDICTIONS
from tests.unit.pipeline.operations.models import evaluated

RAW = "raw-photos-of-a-test"
OF_VERSION, OF_RUN = (250, 0, 0), (0, 0, 250)


@pytest.fixture(autouse=True)
def version(account: None, settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    for bucket in (settings.data.bucket, RAW):
        s3.create_bucket(Bucket=bucket)
    boto3.client("sagemaker", region_name="us-east-1").create_model_package_group(
        ModelPackageGroupName=settings.registry.group
    )
    metadata = {"parameter_ImageLocation": f"s3://{RAW}/of-version"}
    evaluated.register(settings, "a", [1, 2, 3], [3, 2, 4], ids=["1", "2", "3"], metadata=metadata)
    for folder, colour in (("of-version", OF_VERSION), ("of-run", OF_RUN)):
        content = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(content, "JPEG")
        s3.put_object(Bucket=RAW, Key=f"{folder}/bin-images/1.jpg", Body=content.getvalue())


@pytest.fixture
def names(settings: Settings) -> dict[str, Any]:
    """The names of the notebook before its predictions: imports, functions, settings, data of a run."""
    mpl.use("Agg")
    data = SimpleNamespace(query=SimpleNamespace(image_location=f"s3://{RAW}/of-run"))
    names: dict[str, Any] = {"settings": settings, "data": data, "VERSION": "1"}
    tree = ast.parse(source("def panels"))
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)]
    exec(compile(tree, "explore.ipynb", "exec"), names)  # the notebook's own code
    return names


def source(words: str) -> str:
    """The code of the cell with these words."""
    cells = json.loads((ROOT / "docs" / "explore.ipynb").read_text())["cells"]
    [code] = [text for cell in cells if cell["cell_type"] == "code" and words in (text := "".join(cell["source"]))]
    return code


def run(words: str, names: dict[str, Any]) -> None:
    exec(source(words), names)  # the notebook's own code


def test_the_largest_errors_are_photos_of_the_version_and_a_missing_one_is_named(names: dict[str, Any]) -> None:
    run("predicted.read", names)
    assert names["version"] == registry.resolve(names["settings"], "1")
    run("pictures.largest_errors", names)
    first, second = names["plt"].gcf().axes
    try:
        [image] = first.images
        red, _, blue = image.get_array()[4, 4]
        assert red > 200 > 50 > blue
        assert not second.images
        assert [text.get_text() for text in second.texts] == ["no original photo"]
    finally:
        names["plt"].close("all")


def test_predictions_that_no_longer_exist_are_an_error_with_a_remedy(names: dict[str, Any]) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.delete_object(Bucket=names["settings"].data.bucket, Key=f"runs/a/{PREDICTIONS}")
    with pytest.raises(PipelineError, match="the predictions of version 1 no longer exist; set VERSION to another"):
        run("predicted.read", names)
