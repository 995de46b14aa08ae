"""The documents that are written from the code are those of this code."""

from __future__ import annotations

import pytest

from tests.documents.__main__ import DOCUMENTS, FOLDER


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_code_writes(name: str) -> None:
    assert (FOLDER / name).read_text() == DOCUMENTS[name](), "make documents writes it again"
