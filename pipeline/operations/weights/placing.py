"""Puts torchvision's published weights into the project's bucket, where the trials read them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pipeline.aws.responses import CREATE_IT, error_if_missing
from pipeline.clients import client
from pipeline.operations.weights import download
from pipeline.operations.weights.presence import size_of
from pipeline.settings import Settings
from pipeline.settings.classifiers import classifier
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.imagenet_files import PublishedFile
from steps.contracts.imagenet_weights import digits_of, published, url_of
from steps.contracts.s3_uri import S3Uri

Change = Literal["uploaded", "replaced", "unchanged"]


@dataclass(frozen=True)
class Placed:
    """The weights of an architecture in the bucket; unchanged where the object existed before, with its size."""

    architecture: str
    weights: str
    source: str
    uri: str
    change: Change


# Called with the file that is downloaded, and its bytes so far.
Progress = Callable[[PublishedFile, int], None]
_PUBLISHED = download.Origin()


def architectures(settings: Settings, named: str | None) -> tuple[str, ...]:
    """The architecture that was named, else those of the settings. Raises PipelineError for a name without weights."""
    try:
        names = (classifier(named),) if named else settings.architectures
        for name in names:
            published(name)
    except (ValueError, StepError) as error:
        raise PipelineError(f"--architecture: {error}" if named else str(error)) from None
    return names


def place(
    settings: Settings,
    names: Sequence[str],
    file: Path | None = None,
    progress: Progress = lambda *_: None,
    origin: download.Origin = _PUBLISHED,
) -> Iterator[Placed]:
    """Bring the published weights of each architecture into the bucket; yields each result.

    An object of another size under a file's name is replaced: no other program writes there, and each trial refuses it.
    A `file` of this machine takes the place of the download, for the architecture whose digest it has. Raises
    PipelineError for a file with another digest, a download that fails, and a bucket that does not exist.
    """
    s3, chosen = client(settings, "s3"), names if file is None else (_of_file(file, names),)
    for name in chosen:
        wanted = published(name)
        uri = S3Uri.parse(f"{settings.published_weights_uri}/{wanted.name}")
        change = _change(wanted, size_of(s3, uri))
        if change != "unchanged":
            with tempfile.TemporaryDirectory(prefix="weights-") as folder:
                source = file
                if source is None:
                    source = Path(folder) / wanted.name
                    origin.fetch(wanted, source, partial(progress, wanted))
                _upload(s3, source, uri)
        yield Placed(name, wanted.weights, url_of(wanted.name), str(uri), change)


def _change(wanted: PublishedFile, size: int | None) -> Change:
    """What an object's present size, None without one, makes necessary."""
    if size is None:
        return "uploaded"
    return "unchanged" if download.has_size(wanted, size) else "replaced"


def _of_file(file: Path, names: Sequence[str]) -> str:
    """The architecture whose published file this is."""
    digest = download.sha256(file)
    for name in names:
        if digest.startswith(digits_of(published(name).name)):
            return name
    wanted = ", ".join(url_of(published(name).name) for name in names)
    raise PipelineError(
        f"{file}: its SHA-256 begins with {digest[:8]}, which is not that of {wanted}; download it again, or name its"
        " architecture with --architecture"
    )


def _upload(s3: Any, source: Path, uri: S3Uri) -> None:
    with (
        source.open("rb") as file,
        error_if_missing(f"there is no bucket {uri.bucket} for the weights; {CREATE_IT}"),
    ):
        s3.put_object(Bucket=uri.bucket, Key=uri.key, Body=file)
