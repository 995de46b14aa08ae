"""The tags of pipeline.yaml: what every service accepts, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.aws.validation.shapes import check, service_model
from pipeline.settings.tags import LONGEST_KEY, LONGEST_VALUE, MOST_TAGS
from tests.unit.pipeline.settings.test_file import mistakes, settings_of, with_values


def test_a_profiles_tags_are_laid_over_those_of_the_base(tmp_path: Path) -> None:
    text = with_values(tags={"team": "vision", "stage": "dev"}, profiles={"dev": {"tags": {"stage": "test"}}})
    assert settings_of(tmp_path, text).tags == {"team": "vision", "stage": "test"}


def test_the_longest_tags_are_those_of_every_service(tmp_path: Path) -> None:
    tags = {f"{number:02}".ljust(LONGEST_KEY, "k"): "v" * LONGEST_VALUE for number in range(MOST_TAGS)}
    taken = settings_of(tmp_path, with_values(tags=tags)).tags
    listed = [{"Key": key, "Value": value} for key, value in taken.items()]
    assert list(check(listed, service_model("sagemaker").shape_for("TagList"), "")) == []
    assert list(check(listed, service_model("cloudformation").shape_for("Tags"), "")) == []
    lower = [{"key": key, "value": value} for key, value in taken.items()]
    assert list(check(lower, service_model("codebuild").shape_for("TagList"), "")) == []


def test_letters_of_every_script_are_taken(tmp_path: Path) -> None:
    assert settings_of(tmp_path, with_values(tags={"équipe 1": "視覚/+=@-_.:"})).tags == {"équipe 1": "視覚/+=@-_.:"}


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"aws:stack": "x"}, "a prefix that AWS reserves"),
        ({"AWS:stack": "x"}, "a prefix that AWS reserves"),
        ({"sagemaker:project": "x"}, "a prefix that AWS reserves"),
        ({"verdict": "x"}, "the deploy function keeps its state"),
        ({"Verdict": "x"}, "the deploy function keeps its state"),
        ({"team": ""}, "the value of team must have 1 to 255 characters (it has 0)"),
        ({"": "x"}, "the key '' must have 1 to 127 characters (it has 0)"),
        ({"k" * 128: "x"}, "must have 1 to 127 characters (it has 128)"),
        ({"team": "v" * 256}, "must have 1 to 255 characters (it has 256)"),
        ({"team": "vision "}, "begins or ends with a blank"),
        ({"team": "a&b"}, "contains '&'"),
        ({"te\tam": "a"}, "contains '\\t'"),
        ({"Team": "a", "team": "b"}, "differ in letter case alone"),
        ({f"tag-{number}": "x" for number in range(41)}, "has 41 tags"),
        ({"cost-center": 4711}, 'put it in quotes: "4711"'),
    ],
)
def test_a_tag_that_a_service_would_refuse_is_refused_with_its_line(
    tmp_path: Path, tags: dict[str, object], words: str
) -> None:
    (problem,) = mistakes(tmp_path, with_values(tags=tags))
    assert words in problem
    assert problem.partition(": ")[2].startswith("tags")
