"""Where imported photos go: a folder of this machine, or a prefix in S3."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing
from pipeline.samples.layout import IMAGES, METADATA
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

_TYPES = {IMAGES: "image/jpeg", METADATA: "application/json"}


class Destination(ABC):
    """The files `bin-images/NAME` and `metadata/NAME` below one place."""

    @abstractmethod
    def names(self) -> set[str]:
        """The names of the files that exist, `FOLDER/NAME`. Raises PipelineError where they cannot be listed."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file; empty where it does not exist."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole, or not at all. Raises PipelineError where it cannot be written."""


class Folder(Destination):
    """A folder; a file appears when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> set[str]:
        """See Destination."""
        folders = [name for name in (IMAGES, METADATA) if (self.path / name).is_dir()]
        return {f"{name}/{entry.name}" for name in folders for entry in os.scandir(self.path / name)}

    def read(self, name: str) -> bytes:
        """See Destination."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return b""

    def write(self, name: str, content: bytes) -> None:
        """See Destination."""
        target = self.path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".importing-", delete=False) as file:
                part = Path(file.name)
                try:
                    file.write(content)
                    file.close()
                    part.chmod(0o644)
                    part.replace(target)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise PipelineError(f"{target}: cannot be written: {error.strerror}; run the command again") from error


class Prefix(Destination):
    """A prefix in S3."""

    def __init__(self, s3: Any, location: S3Uri) -> None:
        self._s3, self._location = s3, location

    def names(self) -> set[str]:
        """See Destination."""
        names = set()
        paginator = self._s3.get_paginator("list_objects_v2")
        with error_if_missing(f"s3://{self._location.bucket}: there is no such bucket; create it, or name another one"):
            for folder in (IMAGES, METADATA):
                prefix = f"{self._location.join(folder).key}/"
                listed = items(paginator, "Contents", Bucket=self._location.bucket, Prefix=prefix)
                names |= {f"{folder}/{entry['Key'].removeprefix(prefix)}" for entry in listed}
        return names

    def read(self, name: str) -> bytes:
        """See Destination."""
        return fetch(self._s3, str(self._location.join(name))) or b""

    def write(self, name: str, content: bytes) -> None:
        """See Destination."""
        kind = _TYPES[name.partition("/")[0]]
        key = self._location.join(name).key
        self._s3.put_object(Bucket=self._location.bucket, Key=key, Body=content, ContentType=kind)
