"""The images of the steps in ECR: which of those that the definition names are missing."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import images
from pipeline.session import client
from pipeline.settings import Settings


@dataclass(frozen=True)
class StepImage:
    """The image that runs a step."""

    step: str
    uri: str


def missing(settings: Settings) -> list[StepImage]:
    """The images of steps that are not in the repositories.

    Raises botocore's errors: no access, no repository (RepositoryNotFoundException).
    """
    ecr = client(settings, "ecr")
    found = []
    for repository in sorted({settings.repository(image) for image in images.STEPS.values()}):
        steps = [step for step, image in images.STEPS.items() if settings.repository(image) == repository]
        pages = ecr.get_paginator("describe_images").paginate(
            registryId=settings.account.id,
            repositoryName=repository.split("/", 1)[1],
            filter={"tagStatus": "TAGGED"},
        )
        present = {tag for page in pages for detail in page["imageDetails"] for tag in detail.get("imageTags", [])}
        absent = [(step, images.tag(step)) for step in steps if images.tag(step) not in present]
        found += [StepImage(step, f"{repository}:{tag}") for step, tag in absent]
    return found
