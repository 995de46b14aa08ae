"""Sources of bins: the generator, a folder, a tar, or a public S3 bucket. All are read lazily."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pipeline.samples import files, layout, public_s3
from pipeline.samples.files import Files
from pipeline.samples.layout import EXAMPLES, IMAGES, METADATA, Bin, Kind, Listed, image_key, metadata_key, pairs
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import LeftOut
from steps.contracts.s3_uri import S3Uri


class Source:
    """Bins to iterate over once.

    `count` is their greatest possible number, None where it is unknown before reading. `skipped` counts the files that
    were left out so far, by reason.
    """

    def __init__(
        self, read: Callable[[LeftOut], Iterator[Bin]], count: int | None = None, limit: int | None = None
    ) -> None:
        self.skipped = LeftOut(EXAMPLES)
        self.count = min((number for number in (count, limit) if number is not None), default=None)
        self._bins: Iterator[Bin] = itertools.islice(read(self.skipped), limit)

    def __iter__(self) -> Iterator[Bin]:
        return self._bins

    def has_bins(self) -> bool:
        """Read the first bin, before the iteration that begins with it. Raises as the iteration does."""
        first = next(self._bins, None)
        if first is not None:
            self._bins = itertools.chain((first,), self._bins)
        return first is not None


def open_source(
    text: str | None,
    *,
    count: int = 0,
    seed: int = 0,
    limit: int | None = None,
    endpoint: str | None = None,
    ids: Collection[str] | None = None,
) -> Source:
    """The bins that `text` names, at most `limit` of them, or only those with these `ids`.

    None: `count` synthetic bins of `seed`. `s3://bucket/prefix`: a public bucket, read without credentials, of AWS or
    of another `endpoint`. Anything else: a folder or a tar with `bin-images/` and `metadata/`. Raises PipelineError or
    StepError, here or while the bins are read, for another source or one that cannot be read.
    """
    if text is None:
        from pipeline.samples import synthetic  # needs packages of the local cloud

        return Source(lambda _: synthetic.generate(count, seed), count, limit)
    if text.startswith("s3://"):
        root = S3Uri.parse(text)
        return Source(lambda skipped: public_s3.read(root, skipped, endpoint, ids), None, limit)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise PipelineError(f"{text}: bins are read from a folder, a tar or s3://bucket/prefix")
    path = Path(text).expanduser()
    if path.is_dir():
        return _from_files(path, files.in_folder(path), limit, ids)
    if path.is_file():
        return _from_files(path, files.in_tar(path), limit, ids)
    raise PipelineError(f"{text}: no such file or folder; pass a folder or a tar with {IMAGES}/ and {METADATA}/ in it")


def _from_files(path: Path, content: Files, limit: int | None, ids: Collection[str] | None) -> Source:
    listed: dict[Kind, list[Listed]] = {"image": [], "metadata": []}
    others = LeftOut(EXAMPLES)
    for name, size in sorted(content.sizes.items()):
        member = layout.parse(name)
        if member is None:
            others.add(layout.reason_of(name), name)
        elif ids is None or member[1] in ids:
            listed[member[0]].append(Listed(member[1], size, name))
    if ids is None and (not listed["image"] or not listed["metadata"]):
        missing = image_key("ID") if not listed["image"] else metadata_key("ID")
        left_out = f"; left out: {others.sentence()}" if others.totals else ""
        raise PipelineError(f"{path}: has no {missing}; photos belong in {IMAGES}/, metadata in {METADATA}/{left_out}")
    images, metadata = (sorted(side, key=lambda file: file.order) for side in listed.values())

    def read(skipped: LeftOut) -> Iterator[Bin]:
        skipped.add_all(others)
        for pair in pairs(images, metadata, skipped):
            yield Bin(pair.image_id, content.load(pair.image), content.load(pair.metadata))

    return Source(read, sum(1 for _ in pairs(images, metadata, LeftOut(0))), limit)
