"""An address with a key is opened without showing the key to whoever lists the processes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pipeline.cli.browser import opened

ADDRESS = 'http://127.0.0.1:8780/?key=s3cret&next="'


def test_the_browser_is_started_with_a_file_that_its_owner_alone_reads() -> None:
    launched: list[str] = []

    def launch(place: str) -> int:
        launched.append(place)
        return 0

    with opened(ADDRESS, launch) as is_open:
        (place,) = launched
        assert "s3cret" not in place
        file = Path(urlsplit(place).path)
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert 'content="0; url=http://127.0.0.1:8780/?key=s3cret&amp;next=&quot;"' in file.read_text()
    assert is_open
    assert not file.parent.exists()


def test_a_machine_without_a_browser_is_told_apart() -> None:
    with opened(ADDRESS, lambda _: 1) as is_open:
        assert not is_open
