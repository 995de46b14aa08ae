"""Addresses of pages in AWS's console and in Studio."""

from __future__ import annotations

import pytest

from pipeline.aws import links

ARN = "arn:aws:sagemaker:eu-west-1:111122223333"
HOME = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#"
STUDIO = "https://studio-d-abc.studio.eu-west-1.sagemaker.aws"


@pytest.mark.parametrize(
    ("resource", "page"),
    [
        ("training-job/trial-1", "/jobs/trial-1"),
        ("processing-job/pipelines-a-b", "/processing-jobs/pipelines-a-b"),
        ("transform-job/batch-1", "/transform-jobs/batch-1"),
        ("hyper-parameter-tuning-job/t", "/hyper-tuning-jobs/t"),
        ("endpoint/bins", "/endpoints/bins"),
    ],
)
def test_a_resource_has_a_page_of_its_kind(resource: str, page: str) -> None:
    assert links.console_page(f"{ARN}:{resource}") == f"{HOME}{page}"


@pytest.mark.parametrize("arn", ["", "endpoint/bins", f"{ARN}:model-package/bins/1", f"{ARN}:endpoint/",
                                 "arn:aws:lambda:eu-west-1:111122223333:function:bins-deploy"])  # fmt: skip
def test_another_resource_has_none(arn: str) -> None:
    assert links.console_page(arn) == ""


def test_runs_and_groups_have_pages_in_studio() -> None:
    run = links.studio_run("d-abc", "eu-west-1", "bins", "ab12cd34ef56")
    assert run == f"{STUDIO}/pipelines/view/bins/executions/ab12cd34ef56/graph"
    assert links.studio_group("d-abc", "eu-west-1", "bins") == f"{STUDIO}/models/registered-models/bins/versions"


def test_no_name_leaves_its_place_in_an_address() -> None:
    assert links.console_page(f"{ARN}:endpoint/a/../b?c#d") == f"{HOME}/endpoints/a%2F..%2Fb%3Fc%23d"
    assert links.studio_group("d-abc", "eu-west-1", "a/b").endswith("/registered-models/a%2Fb/versions")
