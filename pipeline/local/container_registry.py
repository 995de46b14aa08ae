"""ECR's DescribeImages for the images that are published here; moto has ECR's other operations.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from pipeline.local.context import Context, Request, ServiceError
from pipeline.local.machine.image_store import ImageRegistry

# Images per page, by default.
PAGE = 100


class ContainerRegistry:
    """The account's repositories: those with a published image."""

    def __init__(self, context: Context, images: ImageRegistry) -> None:
        self._context = context
        self._images = images

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {"DescribeImages": self._describe_images}

    def _describe_images(self, request: Request) -> Request:
        """All images, or those with the requested tags. An image has one tag: the hash of its content."""
        repository, account = request["repositoryName"], self._context.account_id
        published = self._images.published(repository) if request.get("registryId", account) == account else None
        if published is None:
            raise ServiceError(
                "RepositoryNotFoundException",
                f"The repository with name '{repository}' does not exist in the registry with id"
                f" '{request.get('registryId', account)}'",
            )
        tags = list(published)
        if identifiers := request.get("imageIds"):
            tags = [self._tag(identifier, repository, published) for identifier in identifiers]
        elif request.get("filter", {}).get("tagStatus") == "UNTAGGED":
            tags = []
        start = self._start(request.get("nextToken", "0"))
        page = tags[start : start + request.get("maxResults", PAGE)]
        details = [self._detail(repository, tag, published[tag]) for tag in page]
        following = start + len(page)
        return {"imageDetails": details, **({"nextToken": str(following)} if following < len(tags) else {})}

    @staticmethod
    def _start(token: str) -> int:
        if not token.isdecimal():
            raise ServiceError("InvalidParameterException", "Invalid parameter: nextToken")
        return int(token)

    def _tag(self, identifier: Request, repository: str, published: dict[str, Path]) -> str:
        tag, digest = identifier.get("imageTag"), identifier.get("imageDigest")
        if tag is None and digest is not None:
            tag = next((name for name, folder in published.items() if _digest(folder) == digest), None)
        if tag not in published or digest not in (None, _digest(published[str(tag)])):
            raise ServiceError(
                "ImageNotFoundException",
                f"The image with imageId {identifier} does not exist within the repository with name '{repository}'",
            )
        return str(tag)

    def _detail(self, repository: str, tag: str, folder: Path) -> Request:
        return {
            "registryId": self._context.account_id,
            "repositoryName": repository,
            "imageDigest": _digest(folder),
            "imageTags": [tag],
            "imageSizeInBytes": sum(path.stat().st_size for path in _files(folder)),
            "imagePushedAt": round(folder.stat().st_mtime, 3),
        }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(folder: Path) -> str:
    """The digest of a published image: that of its files and their names."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"
