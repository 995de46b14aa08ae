import shutil

import pytest

from pipeline import images
from pipeline.local.images import ImageNotFoundError, ImageRegistry


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "project"
    for step, image in images.STEPS.items():
        for folder in (f"steps/{step}", f"containers/{image}", "steps/common"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / "file.py").write_text(folder)
        (root / f"containers/{image}/Dockerfile").write_text('FROM x\nENTRYPOINT ["python3", "-m", "steps.serve"]\n')
    (root / "steps/__init__.py").write_text("")
    return root


def tags(root):
    return {step: images.tag(step, root) for step in images.STEPS}


def test_a_tag_does_not_depend_on_the_folder_or_on_compiled_files(tree, tmp_path):
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tree, copy)
    (copy / "steps/query/__pycache__").mkdir()
    (copy / "steps/query/__pycache__/file.pyc").write_bytes(b"x")
    assert tags(copy) == tags(tree)


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("steps/evaluate/file.py", {"evaluate"}),
        ("steps/common/file.py", set(images.STEPS)),
        ("containers/processing/file.py", {"query", "shard", "monitor"}),
        ("containers/training/file.py", {"train", "evaluate"}),
    ],
)
def test_a_change_gives_new_tags_to_the_steps_that_are_made_of_it_alone(tree, file, steps):
    before = tags(tree)
    (tree / file).write_text("changed")
    after = tags(tree)
    assert {step for step in before if before[step] != after[step]} == steps


def test_a_published_image_keeps_its_source_when_the_tree_changes(tree, tmp_path):
    registry = ImageRegistry(tmp_path / "images")
    tag = registry.publish("bins-inference", "serve", tree)
    (tree / "steps/serve/file.py").write_text("changed")
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:{tag}"
    assert (registry.locate(uri) / "steps/serve/file.py").read_text() == "steps/serve"
    assert not (registry.locate(uri) / "steps/query").exists()
    assert registry.publish("bins-inference", "serve", tree) != tag


def test_the_entry_point_is_the_dockerfiles(tree, tmp_path):
    registry = ImageRegistry(tmp_path / "images")
    tag = registry.publish("bins-inference", "serve", tree)
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:{tag}"
    assert registry.entry_point(uri) == ["python3", "-m", "steps.serve"]


@pytest.mark.parametrize(
    "uri",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:none",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/../../etc:passwd",
        "python:3.11",
    ],
)
def test_an_image_that_is_not_published_is_named(tmp_path, uri):
    with pytest.raises(ImageNotFoundError, match="is not published here"):
        ImageRegistry(tmp_path).locate(uri)
