"""Counts, and the list of a recount, as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.operations.serving.predictions import Answer, NotCounted
from pipeline.operations.serving.recount import Compared, Disagreement

COLUMNS = ("photo", "count", "expected", "confidence", "model_version", "error", "sure", "prediction_set")
COMPARED = ("recorded", "recorded_probability", "comparison")
LIST = ("photo", "recorded", "counted", "confidence", "recorded_probability", "sure", "surely", "prediction_set")
# With these a spreadsheet's formula begins, and anyone who may upload a photo chooses its name:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_counts(answers: Iterable[Answer], file: Path) -> Iterator[Answer]:
    """The answers, each of which is written to the file when it is read."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for answer in answers:
            writer.writerow(_cells(answer))
            yield answer


def write_comparisons(comparisons: Iterable[Compared], file: Path) -> Iterator[Compared]:
    """The comparisons, each of which is written to the file, with the answer, when it is read."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as lines:
        writer = csv.writer(lines)
        writer.writerow((*COLUMNS, *COMPARED))
        for compared in comparisons:
            answer, recorded = compared.answer, compared.recorded.quantity
            quantity = "" if recorded is None else recorded
            writer.writerow([*_cells(answer), quantity, _probability(answer, recorded), compared.comparison])
            yield compared


def write_list(rows: Iterable[Disagreement], file: Path) -> None:
    """Write the list of a recount, in its order."""
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as lines:
        writer = csv.writer(lines)
        writer.writerow(LIST)
        for row in rows:
            numbers = [row.recorded, row.counted, f"{row.confidence:.6f}", f"{row.recorded_probability:.6f}"]
            surely = None if row.sure is None else row.is_sure
            writer.writerow([_text(row.photo), *numbers, _truth(row.sure), _truth(surely), _set(row.prediction_set)])


def _cells(answer: Answer) -> list[object]:
    if isinstance(answer, NotCounted):
        return [_text(answer.source), "", "", "", "", _text(answer.reason), "", ""]
    numbers = [answer.count, f"{answer.expected:.6f}", f"{answer.confidence:.6f}", _text(answer.model_version)]
    return [_text(answer.source), *numbers, "", _truth(answer.sure), _set(answer.prediction_set)]


def _text(value: str) -> str:
    """A text that is not ours as a cell that no spreadsheet runs."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _probability(answer: Answer, quantity: int | None) -> str:
    if isinstance(answer, NotCounted) or quantity is None or quantity not in answer.probabilities:
        return ""
    return f"{answer.probabilities[quantity]:.6f}"


def _truth(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _set(members: Iterable[int] | None) -> str:
    return " ".join(map(str, members or ()))
