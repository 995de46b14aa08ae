"""ECR's DescribeImages, over the images that are published here. All else of ECR is moto's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from pipeline.local.errors import ServiceError
from pipeline.local.images import ImageRegistry

Request = dict[str, Any]


class Repositories:
    """What is published, as the service shows it."""

    def __init__(self, registry: ImageRegistry, account_id: str) -> None:
        self._registry = registry
        self._account_id = account_id

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {"DescribeImages": self.describe}

    def describe(self, request: Request) -> Request:
        """The images of a repository, all or those asked for by tag; a repository is there once it has one."""
        name = request["repositoryName"]
        published = self._registry.tags(name)
        where = f"in the registry with id '{self._account_id}'"
        if not published:
            message = f"The repository with name '{name}' does not exist {where}"
            raise ServiceError("RepositoryNotFoundException", message)
        wanted = [one.get("imageTag", "") for one in request.get("imageIds", [])] or sorted(published)
        for tag in wanted:
            if tag not in published:
                message = f"The image with tag '{tag}' does not exist within the repository '{name}' {where}"
                raise ServiceError("ImageNotFoundException", message)
        return {"imageDetails": [self._detail(name, tag, published[tag]) for tag in wanted]}

    def _detail(self, repository: str, tag: str, pushed_at: float) -> Request:
        return {
            "registryId": self._account_id,
            "repositoryName": repository,
            # A tag is the hash of the content, so its own hash names the content as well.
            "imageDigest": f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}",
            "imageTags": [tag],
            "imagePushedAt": pushed_at,
        }
