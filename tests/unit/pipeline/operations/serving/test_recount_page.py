"""The page of a recount: self-contained, escaped, and with the photos that can be read."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from pipeline.operations.importing.pictures import PictureError, thumbnail
from pipeline.operations.serving import recount_page
from pipeline.operations.serving.recount import Recount, compare
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.serving.test_recount import Quantities, answer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def photo(width: int = 1200, height: int = 600) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (10, 120, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def recount_of(number: int) -> Recount:
    recount = Recount()
    answers = [answer(f"p{place:04}.jpg", sure=True, members=(2,)) for place in range(number)]
    assert list(compare(answers, Quantities(**{each.source: 1 for each in answers}), lambda a: a.source, recount))
    return recount


def text_of(page: str) -> str:
    body = page.partition("<main>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_a_card_has_the_photo_both_quantities_and_a_line_for_the_recount() -> None:
    page = recount_page.page(recount_of(1), "Bins", ["2 photos without a record"], lambda _: photo(), NOW)
    shown = text_of(page)
    assert "1 of 1 photo disagrees with its record; 1 of them surely." in shown
    assert "2 photos without a record." in shown
    assert "1. p0000.jpg record 1 (10.0%) model 2 (90.0%) set 2 surely recount" in shown
    [picture] = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="photo p0000.jpg">', page)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (480, 240)


def test_no_page_loads_another_file_or_runs_a_script() -> None:
    page = recount_page.page(recount_of(150), "Bins", [], lambda _: photo(), NOW)
    assert not re.search(r"<script|<link|https?://|url\(|src=\"(?!data:)", page)


def test_a_name_is_text() -> None:
    recount = Recount()
    records = Quantities(**{"<b>.jpg": 1})
    assert list(compare([answer("<b>.jpg")], records, lambda each: each.source, recount))
    page = recount_page.page(recount, "Bins", ["<i>"], lambda _: photo(), NOW)
    assert "&lt;b&gt;.jpg" in page
    assert "<b>.jpg" not in page
    assert "<i>" not in page


@pytest.mark.parametrize(
    "problem",
    [
        PipelineError("gone"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject"),
        b"no photo",
        photo()[:500],
    ],
)
def test_a_photo_that_cannot_be_shown_leaves_its_card(problem: Exception | bytes) -> None:
    def read(name: str) -> bytes:
        if name != "p0001.jpg":
            return photo()
        if isinstance(problem, Exception):
            raise problem
        return problem

    page = recount_page.page(recount_of(3), "Bins", [], read, NOW)
    assert page.count("data:image/jpeg") == 2
    assert "The photo cannot be shown. 2. p0001.jpg record 1" in text_of(page)


def test_only_the_first_bins_have_photos_and_the_rest_is_a_table_with_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recount_page, "PHOTOS", 3)
    monkeypatch.setattr(recount_page, "ROWS", 4)
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return photo()

    page = recount_page.page(recount_of(9), "Bins", [], read, NOW)
    assert sorted(asked) == ["p0000.jpg", "p0001.jpg", "p0002.jpg"]
    assert page.count('<li class="bin">') == 3
    assert page.count('<td class="name">') == 4
    assert "4 p0003.jpg 1 (10.0%) 2 (90.0%) 2 surely ____" in text_of(page)
    assert "2 more photos disagree and are not on this page" in text_of(page)


def test_names_are_those_below_the_folder_that_all_photos_share() -> None:
    recount = Recount()
    answers = [answer(f"s3://bucket/photos/{name}") for name in ("shelf-1/a.jpg", "shelf-2/b.jpg")]
    records = Quantities(**{each.source: 1 for each in answers})
    assert list(compare(answers, records, lambda each: each.source, recount))
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return photo()

    shown = text_of(recount_page.page(recount, "Bins", ["3 records without a photo: a, ..."], read, NOW))
    assert "a photo: a, ... The photos are in s3://bucket/photos/ 1. shelf-1/a.jpg record" in shown
    assert sorted(asked) == [each.source for each in answers]


def test_a_model_without_a_calibration_has_no_sets() -> None:
    recount = Recount()
    assert list(compare([answer("a.jpg")], Quantities(**{"a.jpg": 1}), lambda each: each.source, recount))
    shown = text_of(recount_page.page(recount, "Bins", [], lambda _: photo(), NOW))
    assert "set" not in shown
    assert "sure " not in shown


def test_a_list_without_bins_is_a_page() -> None:
    assert "no photo could be compared" in text_of(recount_page.page(Recount(), "Bins", [], lambda _: b"", NOW))


def test_a_thumbnail_is_upright_and_never_larger() -> None:
    image = Image.new("RGB", (100, 50))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert Image.open(io.BytesIO(thumbnail(buffer.getvalue(), 480))).size == (50, 100)
    with pytest.raises(PictureError, match="cannot be decoded"):
        thumbnail(b"no photo", 480)
