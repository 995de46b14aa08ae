"""Which image runs a step: what it is built on, what its tag depends on, and the local cloud's copies."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.aws import deep_learning_containers
from pipeline.compiling import step_images as images
from pipeline.local.machine.image_store import ImageNotFoundError, ImageRegistry
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ACCOUNT = {"id": "123456789012", "region": "us-east-1"}


def settings_of(**groups: dict[str, Any]) -> Settings:
    values = {"account": ACCOUNT, "data": {"bucket": "bins-bucket", "image_location": "s3://photos"}, **groups}
    return Settings.model_validate({"name": "bins", **values})


# Runs with every step that settings turn on.
EVERY: dict[str, dict[str, Any]] = {"shard": {"planner": "local"}, "explore": {"enabled": True}}
SPARK: dict[str, dict[str, Any]] = {"shard": {"planner": "spark"}, "explore": {"enabled": True, "engine": "spark"}}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for step, image in (*images.STEPS.items(), ("plan", "spark")):
        for folder in (f"steps/{step}", f"containers/{image}", "steps/contracts", "steps/reports"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / "file.py").write_text("from steps.contracts import file\n")
        (root / f"containers/{image}/Dockerfile").write_text('FROM x\nENTRYPOINT ["python3", "-m", "steps.serve"]\n')
    (root / "steps/__init__.py").write_text("")
    return root


def tags(root: Path, **groups: dict[str, Any]) -> dict[str, str]:
    return {image.step: image.tag for image in images.step_images(settings_of(**groups), root)}


def test_a_tag_does_not_depend_on_the_folder_or_on_compiled_files(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tree, copy)
    (copy / "steps/query/__pycache__").mkdir()
    (copy / "steps/query/__pycache__/file.pyc").write_bytes(b"x")
    assert tags(copy) == tags(tree)


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("steps/evaluate/file.py", {"evaluate"}),
        ("steps/contracts/file.py", set(images.STEPS)),
        ("steps/reports/file.py", set()),
        ("containers/processing/file.py", {"query", "explore", "plan", "shard", "monitor"}),
        ("containers/spark/file.py", set()),
        ("containers/training/file.py", {"train", "evaluate"}),
    ],
)
def test_a_change_gives_new_tags_to_the_steps_that_are_made_of_it_alone(tree: Path, file: str, steps: set[str]) -> None:
    before = tags(tree, **EVERY)
    (tree / file).write_text("from steps.contracts import changed")
    after = tags(tree, **EVERY)
    assert {step for step in before if before[step] != after[step]} == steps


@pytest.mark.parametrize(
    ("groups", "steps"),
    [
        ({}, []),
        ({"shard": {"planner": "local"}}, ["plan"]),
        ({"shard": {"plan_instance_count": 2}}, ["plan"]),
        ({"explore": {"enabled": True}}, ["explore"]),
        (SPARK, ["explore", "plan"]),
    ],
)
def test_a_step_that_no_run_has_needs_no_image(tree: Path, groups: dict[str, Any], steps: list[str]) -> None:
    always = ["query", "shard", "train", "evaluate", "serve", "monitor"]
    assert sorted(tags(tree, **groups)) == sorted([*always, *steps])


def test_a_step_that_may_start_spark_has_its_image_and_the_others_do_not(tree: Path) -> None:
    found = {image.step: image.image for image in images.step_images(settings_of(**SPARK), tree)}
    assert [step for step, image in found.items() if image == "spark"] == ["explore", "plan"]
    image = images.step_image("plan", settings_of(**SPARK), tree)
    assert image.repository_name == "bins-spark"
    before = tags(tree, **SPARK)
    (tree / "containers/spark/file.py").write_text("CHANGED = 1")
    after = tags(tree, **SPARK)
    assert {step for step in before if before[step] != after[step]} == {"explore", "plan"}
    assert tags(tree, **EVERY)["plan"] != after["plan"]
    held = {path.parts[1] for path in images.source_files("plan", tree, "spark") if path.parts[0] == "containers"}
    assert held == {"spark"}


@pytest.mark.parametrize(
    ("file", "statement", "folders"),
    [
        ("steps/query/file.py", "import steps.reports.file", {"contracts", "query", "reports"}),
        ("steps/query/file.py", "import steps.reports.file as page", {"query", "reports", "contracts"}),
        ("steps/query/file.py", "from steps import contracts, reports", {"contracts", "query", "reports"}),
        ("steps/query/file.py", "from .. import reports", {"contracts", "query", "reports"}),
        ("steps/query/file.py", "from ..reports.file import x", {"contracts", "query", "reports"}),
        ("steps/query/deep/er.py", "def f():\n    from ...reports import file", {"contracts", "query", "reports"}),
        (
            "steps/query/deep/er.py",
            "if TYPE_CHECKING:\n    from steps.reports import file",
            {"contracts", "query", "reports"},
        ),
        # Through another folder, in a circle, too.
        ("steps/contracts/file.py", "import steps.reports", {"contracts", "query", "reports"}),
        ("steps/query/file.py", "import os, json.decoder\nfrom . import deep\nimport stepsister.reports", {"query"}),
        ("steps/query/file.py", "# import steps.reports\n'import steps.reports'", {"query"}),
        ("steps/query/notes.txt", "import steps.reports", {"contracts", "query"}),
    ],
)
def test_a_step_is_made_of_the_folders_that_it_imports(
    tree: Path, file: str, statement: str, folders: set[str]
) -> None:
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(statement)
    assert set(images.step_folders("query", tree)) == folders
    held = {path.parts[1] for path in images.source_files("query", tree) if path.parts[0] == "steps"}
    assert held - {"__init__.py"} == folders


def test_a_file_that_is_not_python_is_named(tree: Path) -> None:
    (tree / "steps/query/file.py").write_text("def :")
    with pytest.raises(PipelineError, match=r"^steps/query/file\.py: not Python.*line 1"):
        images.tag("query", settings_of(), tree)


@pytest.mark.parametrize(
    ("folder", "steps"),
    [
        ("contracts", {"query", "explore", "plan", "shard", "train", "evaluate", "serve", "monitor"}),
        ("runtime", {"query", "explore", "plan", "shard", "train", "evaluate", "serve", "monitor"}),
        ("photos", {"shard", "train", "evaluate", "serve", "monitor"}),
        # The exploration runs on the same Spark as the plan.
        ("planning", {"explore", "plan", "shard"}),
        ("spark", {"explore", "plan"}),
        ("shards", {"train", "evaluate"}),
        ("aggregates", {"explore", "query"}),
        ("model", {"train", "evaluate", "serve"}),
        # A page or a chart: nothing is sharded or trained again for it.
        ("reports", {"query", "explore", "evaluate", "monitor"}),
    ],
)
@pytest.mark.parametrize("file", ["another.py", "page.css"])
def test_a_change_to_a_shared_folder_rebuilds_the_steps_that_use_it(
    tmp_path: Path, folder: str, file: str, steps: set[str]
) -> None:
    for name in ("steps", "containers"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = tags(tmp_path, **EVERY)
    (tmp_path / "steps" / folder / file).write_text("# changed\n")
    after = tags(tmp_path, **EVERY)
    assert {step for step in before if before[step] != after[step]} == steps


def test_the_table_above_has_every_shared_folder() -> None:
    folders = {path.name for path in (ROOT / "steps").iterdir() if (path / "__init__.py").exists()}
    tested = {"contracts", "runtime", "photos", "planning", "aggregates", "spark", "shards", "model", "reports"}
    assert folders - set(images.STEPS) - {"alert", "deploy"} == tested


PINNED = f"example.com/base@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("groups", "steps"),
    [
        ({"images": {"python_base": PINNED}}, {"query", "explore", "plan", "shard", "monitor", "serve"}),
        ({"images": {"training_base": PINNED}}, {"train", "evaluate"}),
        ({"images": {"evaluation_base": PINNED}}, {"evaluate"}),
        ({"training": {"instance_type": "ml.m5.large"}}, {"train"}),
        ({"evaluation": {"instance_type": "ml.g5.xlarge"}}, {"evaluate"}),
        ({"training": {"backend": "smddp", "instance_type": "ml.p4d.24xlarge"}}, {"train", "evaluate"}),
        ({"training": {"instance_type": "ml.g6.xlarge"}, "images": {"builder": "docker"}}, set()),
    ],
)
def test_another_base_is_another_image(tree: Path, groups: dict[str, Any], steps: set[str]) -> None:
    before, after = tags(tree, **EVERY), tags(tree, **EVERY, **groups)
    assert {step for step in before if before[step] != after[step]} == steps


REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training"


@pytest.mark.parametrize(
    ("step", "groups", "tag"),
    [
        ("train", {}, "2.10.0-gpu-py313-cu130-ubuntu22.04-sagemaker"),
        ("train", {"training": {"instance_type": "ml.m5.large"}}, "2.10.0-cpu-py313-ubuntu22.04-sagemaker"),
        # A type that is newer than the table of GPU types.
        ("train", {"training": {"instance_type": "ml.g7e.2xlarge"}}, "2.10.0-gpu-py313-cu130-ubuntu22.04-sagemaker"),
        ("evaluate", {}, "2.10.0-cpu-py313-ubuntu22.04-sagemaker"),
        (
            "train",
            {"training": {"backend": "smddp", "instance_type": "ml.p4d.24xlarge"}},
            "2.5.1-gpu-py311-cu124-ubuntu22.04-sagemaker",
        ),
        (
            "evaluate",
            {"training": {"backend": "smddp", "instance_type": "ml.p4d.24xlarge"}},
            "2.5.1-cpu-py311-ubuntu22.04-sagemaker",
        ),
    ],
)
def test_the_training_images_base_follows_the_launcher_and_the_steps_instances(
    step: str, groups: dict[str, Any], tag: str
) -> None:
    assert images.base(step, settings_of(**groups)) == f"{REGISTRY}:{tag}"


def test_a_base_that_is_given_is_taken_for_training_and_evaluation() -> None:
    given = settings_of(images={"training_base": PINNED})
    assert [images.base(step, given) for step in ("train", "evaluate")] == [PINNED, PINNED]


def test_awss_accounts_are_those_that_the_sdk_knows() -> None:
    # The file alone: to import the SDK takes seconds.
    sdk = importlib.util.find_spec("sagemaker.core")
    assert sdk is not None
    assert sdk.submodule_search_locations
    path = Path(sdk.submodule_search_locations[0]) / "image_uri_config" / "pytorch.json"
    version = json.loads(path.read_text())["training"]["versions"]["2.10.0"]
    regions = {
        region: account
        for region, account in version["registries"].items()
        # The other partitions have domains of their own, which settings do not reach.
        if not region.startswith(("cn-", "us-iso", "eu-iso", "eusc-"))
    }
    assert {region: deep_learning_containers.account(region) for region in regions} == regions
    assert version["py_versions"] == ["py313"]


def test_an_images_name_is_its_repository_and_tag(tree: Path) -> None:
    image = images.step_image("serve", settings_of(), tree)
    assert image.uri == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:{image.tag}"
    assert image.repository_name == "bins-inference"
    assert re.fullmatch(r"serve-[0-9a-f]{16}", image.tag)


def publish(registry: ImageRegistry, tree: Path) -> str:
    image = images.step_image("serve", settings_of(), tree)
    registry.publish(image.repository_name, image.tag, tree, images.source_files("serve", tree))
    return image.uri


def test_a_published_image_keeps_its_source_when_the_tree_changes(tree: Path, tmp_path: Path) -> None:
    registry = ImageRegistry(tmp_path / "images")
    uri = publish(registry, tree)
    (tree / "steps/serve/file.py").write_text("CHANGED = True\n")
    assert (registry.locate(uri) / "steps/serve/file.py").read_text() == "from steps.contracts import file\n"
    assert not (registry.locate(uri) / "steps/query").exists()
    assert publish(registry, tree) != uri


def test_the_entry_point_is_the_dockerfiles(tree: Path, tmp_path: Path) -> None:
    registry = ImageRegistry(tmp_path / "images")
    assert registry.entry_point(publish(registry, tree)) == ["python3", "-m", "steps.serve"]


@pytest.mark.parametrize(
    "uri",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:none",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/../../etc:passwd",
        "python:3.11",
    ],
)
def test_an_image_that_is_not_published_is_named(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ImageNotFoundError, match="is not published here"):
        ImageRegistry(tmp_path).locate(uri)
