"""Tar members as bytes."""

import io
import tarfile

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
