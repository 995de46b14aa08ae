"""The labels of own photos: a CSV file, or a list of photos by their quantity such as a course's `file_list.json`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from steps.contracts.errors import PipelineError, StepError
from steps.contracts.text_tables import decoded, separator

# Names of columns; case, blanks and hyphens do not matter.
PHOTO = ("photo", "image", "image_id", "file", "filename", "file_name", "name", "path", "id")
QUANTITY = ("quantity", "count", "label", "objects", "expected_quantity", "number")
NEEDS = f"one of {', '.join(PHOTO)} and one of {', '.join(QUANTITY)}"
# Spreadsheets write whole numbers as 3.0 too. 1,000 and 1.000 are a thousand in some countries, and one in others.
_WHOLE = re.compile(r"\+?(\d{1,9})(?:[.,](?!000$)0*)?")


@dataclass(frozen=True)
class Label:
    """A photo's name as it was written, its quantity (None: not a whole number), its group, and the place of both."""

    photo: str
    quantity: int | None
    group: str
    place: str


def read_csv(path: Path, group: str = "") -> list[Label]:
    """The labels of a CSV file; `group` is the column with the photos' groups, or empty.

    Raises PipelineError for a file that cannot be read or has not exactly one column for photo and quantity each.
    """
    return parse_csv(_bytes(path), str(path), group)


def parse_csv(data: bytes, name: str, group: str = "", preferred: tuple[str, str] | None = None) -> list[Label]:
    """The labels of a CSV file's content; `name` is that of the file.

    Columns that are `preferred` for photo and quantity win where others could be them, too. Raises as `read_csv` does.
    """
    try:
        text = decoded(data, name)
        mark = separator(text, _fits, NEEDS, name)
    except StepError as error:
        raise PipelineError(str(error)) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    header = next(reader)
    photo, quantity = columns(name, header, preferred)
    header = [_normal(cell) for cell in header]
    if group and header.count(_normal(group)) != 1:
        raise PipelineError(f"{name}: no column {group!r} for --group; the columns are {', '.join(header)}")
    grouping = header.index(_normal(group)) if group else None
    file = name.replace("\\", "/").rpartition("/")[2]
    labels = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row] + [""] * len(header)
            if any(cells):
                group_name = "" if grouping is None else cells[grouping]
                place = f"{file} line {reader.line_num}"
                labels.append(Label(cells[photo], whole(cells[quantity]), group_name, place))
    except csv.Error as error:
        raise PipelineError(f"{name}: line {reader.line_num}: {error}") from error
    if not labels:
        raise PipelineError(f"{name}: no labels; a line per photo follows the line with the columns")
    return labels


def columns(name: str, header: Sequence[str], preferred: tuple[str, str] | None = None) -> tuple[int, int]:
    """The places of the columns for photo and quantity. Raises PipelineError unless there is exactly one for each."""
    cells = [_normal(cell) for cell in header]
    if not _fits(header):
        raise PipelineError(f"{name}: the columns are {', '.join(header) or 'missing'}; it needs {NEEDS}")
    photo, quantity = preferred or ("", "")
    return _column(name, cells, PHOTO, "photo", photo), _column(name, cells, QUANTITY, "quantity", quantity)


def read_list(path: Path) -> list[Label]:
    """The labels of a JSON file that maps each quantity to a list of ids, or of file names or paths with them.

    Raises PipelineError for a file of another form.
    """
    try:
        content = json.loads(decoded(_bytes(path), str(path)))
    except (ValueError, RecursionError, StepError) as error:
        raise PipelineError(f"{path}: not JSON: {error}") from error
    form = 'a list maps quantities to ids: {"1": ["00048", "00102"], "2": ["00105"]}'
    if not isinstance(content, dict) or not content:
        raise PipelineError(f"{path}: {form}")
    labels = []
    for key, ids in content.items():
        quantity = whole(key)
        if quantity is None or not isinstance(ids, list):
            raise PipelineError(f"{path}: {key!r}: {form}")
        for entry in ids:
            if isinstance(entry, bool) or not isinstance(entry, str | int):
                raise PipelineError(f"{path}: {key!r}: {entry!r} is no id; {form}")
            image_id = PurePosixPath(str(entry).replace("\\", "/")).name.partition(".")[0]
            labels.append(Label(image_id, quantity, "", f"{path.name} {key!r}"))
    return labels


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from error


def _normal(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip().lower())


def _fits(header: Sequence[str]) -> bool:
    cells = {_normal(cell) for cell in header}
    return not cells.isdisjoint(PHOTO) and not cells.isdisjoint(QUANTITY)


def _column(name: str, header: list[str], names: Sequence[str], title: str, preferred: str) -> int:
    if header.count(preferred) == 1:
        return header.index(preferred)
    places = [place for place, cell in enumerate(header) if cell in names]
    if len(places) != 1:
        several = ", ".join(header[place] for place in places)
        raise PipelineError(f"{name}: the columns {several} can all be the {title}; rename all but one of them")
    return places[0]


def whole(text: str) -> int | None:
    """The whole number that a cell is; None for any other text."""
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1]) if match else None
