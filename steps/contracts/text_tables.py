"""CSV files as spreadsheets and other programs write them: their encoding, and what separates their columns."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Sequence

from steps.contracts.errors import StepError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# Excel for the Mac ends lines in a carriage return alone.
_LINE_END = re.compile(r"\r\n|\n|\r")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def encoding_of(beginning: bytes) -> str:
    """The encoding of a file by its first four bytes: UTF-8 or UTF-16, with a byte order mark or without."""
    marked = next((encoding for mark, encoding in _MARKS.items() if beginning.startswith(mark)), "")
    # In UTF-16 every other byte of a header in Latin letters is zero.
    zeros = beginning[:2].find(b"\0")
    return marked or {0: "utf-16-be", 1: "utf-16-le"}.get(zeros, "utf-8")


def decoded(data: bytes, name: str) -> str:
    """The text of a file in UTF-8 or UTF-16, with a byte order mark or without. Raises StepError with `name`."""
    try:
        return data.decode(encoding_of(data[:4]))
    except UnicodeDecodeError as error:
        raise StepError(f"{name}: byte {error.start} is neither UTF-8 nor UTF-16; save it as CSV in UTF-8") from error


def separator(text: str, fits: Callable[[Sequence[str]], bool], needs: str, name: str) -> str:
    """The separator by which the first line of `text` has columns that fit.

    Raises StepError with `name`, the columns of the first line, and `needs`, the ones that are needed.
    """
    first = _LINE_END.split(text, maxsplit=1)[0]
    try:
        headers = {mark: [c.strip() for c in next(csv.reader([first], delimiter=mark), [])] for mark in SEPARATORS}
    except csv.Error as error:
        raise StepError(f"{name}: line 1: {error}; it needs {needs}") from error
    for mark, header in headers.items():
        if fits(header):
            return mark
    mark = max(SEPARATORS, key=lambda mark: len(headers[mark]))
    columns = ", ".join(headers[mark]) or "missing"
    raise StepError(f"{name}: the columns, separated by {SEPARATORS[mark]}, are {columns}; it needs {needs}")
