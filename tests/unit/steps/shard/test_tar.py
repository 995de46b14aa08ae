"""Tar members as bytes."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.shard import tar


@given(st.binary(max_size=3000), st.integers(0, 1000))
def test_tar_readers_find_the_photo_and_its_count(jpeg: bytes, quantity: int):
    archive = tar.sample_bytes("00001", jpeg, quantity) + tar.END

    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as read:
        contents = {member.name: read.extractfile(member).read() for member in read}

    assert contents == {"00001.jpg": jpeg, "00001.cls": str(quantity).encode()}
    assert len(archive) % tarfile.BLOCKSIZE == 0


@given(st.text("abcXYZ019_-", min_size=1, max_size=100), st.integers(0, 8**11 - 1))
def test_a_header_is_that_of_the_tarfile_module(name: str, size: int):
    info = tarfile.TarInfo(name)
    info.size = size

    assert tar._header(name, size) == info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


@pytest.mark.parametrize(("name", "size"), [("", 1), ("x" * 101, 1), ("a", 8**11)])
def test_what_does_not_fit_a_header_is_refused(name: str, size: int):
    with pytest.raises(ValueError, match="does not fit a ustar header"):
        tar._header(name, size)


def test_members_carry_no_time_and_no_owner():
    with tarfile.open(fileobj=io.BytesIO(tar.sample_bytes("1", b"jpeg", 2) + tar.END)) as read:
        for member in read:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode) == (
                *(0, 0, 0, "", ""),
                0o644,
            )


def test_the_longest_id_still_has_a_plain_header():
    name = "x" * 96

    assert len(tar.sample_bytes(name, b"", 1)) == 3 * tarfile.BLOCKSIZE
