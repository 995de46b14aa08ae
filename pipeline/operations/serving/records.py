"""The quantities that a warehouse's records expect in the bins of photos, from a table or the photos' metadata."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from pipeline.aws.objects import fetch
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.importing import labels
from pipeline.operations.importing.labels import Label
from pipeline.operations.serving.predictions import Answer
from pipeline.parallel import bounded_map
from pipeline.settings import Settings
from steps.contracts import bin_metadata, photo_files
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import CONVERTIBLE, SUFFIXES, LeftOut
from steps.contracts.s3_uri import S3Uri

# In place of a file: the records are the metadata next to the photos. A file of this name is ./metadata.
METADATA = "metadata"
# Reasons why a photo has no record; those of metadata are the reasons by which a run leaves out their photos.
NO_RECORD, NO_PHOTO, SHARED = "no-record", "no-photo", "shared-record"
NO_METADATA = "image-without-metadata"
# Columns of a table that win where other columns could be the photo or the quantity, too.
PREFERRED = ("image_id", "quantity")
# Names that are shown per reason.
EXAMPLES = 3
_READERS = 16
_READ_AHEAD = 256
_S3 = "s3://"
_PARQUET = b"PAR1"
_PICTURES = tuple({suffix.lower() for suffix in SUFFIXES} | set(CONVERTIBLE))
_ONLY_WHOLE = "the quantity is not a whole number from 0 on; correct the row or leave it out"


@dataclass(frozen=True)
class Recorded:
    """The quantity that the record of a photo expects; None with the `reason` where there is none to compare with."""

    quantity: int | None
    reason: str = ""


class Records(Protocol):
    """The records of bins, by photo.

    `without_photo` are the records that no photo has used, and `shared` those that several photos have; both are
    complete after the last photo.
    """

    shared: LeftOut

    def of(self, answers: Iterable[Answer], name_of: Callable[[Answer], str]) -> Iterator[tuple[Answer, Recorded]]:
        """Each answer with its record; `name_of` an answer is the path or URI of its photo."""

    def without_photo(self) -> LeftOut:
        """The records that no photo has used so far."""


def read(settings: Settings, source: str, photo: str) -> Records:
    """The records of `source`: a CSV or Parquet file, local or in S3, or METADATA.

    `photo` is the path or URI of a photo, by which missing metadata are noticed before anything is counted. Raises
    PipelineError for a file that does not exist or has a bad row, with its line, and where there are no metadata.
    """
    if source == METADATA:
        return _Metadata(settings, photo)
    return _Table(_rows(_content(settings, source), source))


# ------------------------------------------------------------------------------------------------ a table


class _Table:
    """The records of a table, in memory: about 300 bytes per row."""

    def __init__(self, rows: Iterable[Label]) -> None:
        self.shared = LeftOut(EXAMPLES)
        self._records: dict[str, Label] = {}
        self._used: set[str] = set()
        for row in rows:
            self._add(row)

    def _add(self, row: Label) -> None:
        if not row.photo:
            raise PipelineError(f"{row.place}: the photo is missing; add its name or leave the row out")
        if row.quantity is None:
            raise PipelineError(f"{row.place}: {row.photo}: {_ONLY_WHOLE}")
        first = self._records.setdefault(_key(row.photo), row)
        if first.quantity != row.quantity:
            raise PipelineError(
                f"{row.place}: {row.photo} has the quantity {row.quantity}, but {first.quantity} in {first.place};"
                " leave out the wrong row"
            )

    def of(self, answers: Iterable[Answer], name_of: Callable[[Answer], str]) -> Iterator[tuple[Answer, Recorded]]:
        for answer in answers:
            yield answer, self._recorded(name_of(answer))

    def _recorded(self, photo: str) -> Recorded:
        """The record with as many folders of the photo's path as there are: the longest one that its path ends in."""
        key = _key(photo if photo.startswith(_S3) else str(Path(photo).absolute()))
        while key not in self._records:
            _, slash, key = key.partition("/")
            if not slash:
                return Recorded(None, NO_RECORD)
        if key in self._used:
            self.shared.add(SHARED, photo)
        self._used.add(key)
        return Recorded(self._records[key].quantity)

    def without_photo(self) -> LeftOut:
        left = LeftOut(EXAMPLES)
        for key, row in self._records.items():
            if key not in self._used:
                left.add(NO_PHOTO, row.photo)
        return left


def _key(photo: str) -> str:
    """The name of a photo without its suffix, as file systems compose it: macOS writes letters in parts."""
    name = unicodedata.normalize("NFC", photo.replace("\\", "/")).removeprefix("./")
    suffix = next((suffix for suffix in _PICTURES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _content(settings: Settings, source: str) -> bytes:
    if source.startswith(_S3):
        with error_if_missing(f"--expected {source}: there is no such bucket"):
            content = fetch(client(settings, "s3"), source)
        if content is None:
            raise PipelineError(f"--expected {source}: there is no such object")
        return content
    try:
        return Path(source).expanduser().read_bytes()
    except OSError as error:
        hint = f"; {METADATA!r} means the metadata next to the photos"
        raise PipelineError(f"--expected {source}: cannot be read: {error.strerror}{hint}") from error


def _rows(content: bytes, source: str) -> Iterable[Label]:
    if content.startswith(_PARQUET):
        return _parquet_rows(content, source)
    return labels.parse_csv(content, source, preferred=PREFERRED)


def _parquet_rows(content: bytes, source: str) -> Iterator[Label]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        names = file.schema_arrow.names
        photo, quantity = labels.columns(source, names, PREFERRED)
        file_name, number = source.rpartition("/")[2], 0
        for batch in file.iter_batches(columns=[names[photo], names[quantity]]):
            pairs = zip(batch.column(names[photo]).to_pylist(), batch.column(names[quantity]).to_pylist(), strict=True)
            for name, value in pairs:
                number += 1
                text = "" if name is None else str(name).strip()
                yield Label(text, _whole(value), "", f"{file_name} row {number}")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PipelineError(f"{source}: not a Parquet file ({str(error).splitlines()[0]}); write it again") from error


def _whole(value: object) -> int | None:
    """A whole number from 0 on, of any type that Parquet has for numbers, or as text; None for another value."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return int(value) if value >= 0 and value % 1 == 0 else None
    return labels.whole(value) if isinstance(value, str) else None


# ------------------------------------------------------------------------------------------------ metadata


class _Metadata:
    """`metadata/ID.json` next to the folder of each photo, as it is now.

    Only the metadata of the photos are read, so a record without a photo is not noticed.
    """

    def __init__(self, settings: Settings, photo: str) -> None:
        self.shared = LeftOut(EXAMPLES)
        self._s3 = client(settings, "s3")
        self._check(photo)

    def _check(self, photo: str) -> None:
        folder = _folder(photo)
        if isinstance(folder, S3Uri):
            with error_if_missing(f"{folder}: there is no such bucket"):
                listed = self._s3.list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}/", MaxKeys=1)
            exists = bool(listed.get("KeyCount"))
        else:
            exists = folder.is_dir()
        if not exists:
            raise PipelineError(
                f"--expected {METADATA}: there is no {folder}/ next to the folder of {photo};"
                " name a CSV or Parquet file with image_id and quantity"
            )

    def of(self, answers: Iterable[Answer], name_of: Callable[[Answer], str]) -> Iterator[tuple[Answer, Recorded]]:
        def read(answer: Answer) -> tuple[Answer, Recorded]:
            return answer, self._recorded(name_of(answer))

        return bounded_map(read, answers, workers=_READERS, window=_READ_AHEAD)

    def _recorded(self, photo: str) -> Recorded:
        image_id = photo_files.photo_id(photo.rpartition("/")[2])
        content = _metadata(self._s3, photo, image_id) if image_id else None
        if content is None:
            return Recorded(None, NO_METADATA)
        try:
            kind, quantity = bin_metadata.expected_quantity(bin_metadata.document(content))
        except bin_metadata.MalformedError:
            return Recorded(None, "malformed-metadata")
        if quantity is None:
            return Recorded(None, f"{kind}-quantity")
        if quantity < 0:
            return Recorded(None, "negative-quantity")
        return Recorded(int(quantity)) if quantity.is_integer() else Recorded(None, "fractional-quantity")

    def without_photo(self) -> LeftOut:
        return LeftOut(EXAMPLES)


def _folder(photo: str) -> S3Uri | Path:
    """The folder of metadata next to that of a photo."""
    if photo.startswith(_S3):
        location = S3Uri.parse(photo)
        above = location.key.rpartition("/")[0].rpartition("/")[0]
        return S3Uri(location.bucket, f"{above}/{bin_metadata.FOLDER}" if above else bin_metadata.FOLDER)
    return Path(photo).absolute().parent.parent / bin_metadata.FOLDER


def _metadata(s3: Any, photo: str, image_id: str) -> bytes | None:
    folder, name = _folder(photo), f"{image_id}{bin_metadata.SUFFIX}"
    if isinstance(folder, S3Uri):
        return fetch(s3, str(folder.join(name)))
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PipelineError(f"{folder / name}: cannot be read: {error.strerror}") from error
