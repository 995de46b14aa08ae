"""Photos in and out: what is decoded, how it is turned, what is refused and why."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from steps.photos import jpeg as images
from steps.photos.jpeg import MAX_SCANS, ImageError, check_jpeg, decode_rgb, network_input, shrink_jpeg
from tests.unit.steps import bombs


def picture(width: int = 320, height: int = 240) -> Image.Image:
    """A smooth picture without symmetry, so that every turn and mirroring of it is another picture."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([x, y, (x + 2 * y) / 3]).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def difference(ours: np.ndarray, other: Image.Image) -> float:
    return float(np.abs(ours.astype(int) - np.asarray(other.convert("RGB")).astype(int)).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_orientation_says(orientation: int):
    data = jpeg(picture(), exif=exif(orientation))

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))

    assert decode_rgb(data).shape[:2] == (upright.height, upright.width)
    assert difference(decode_rgb(data), upright) < 1


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_an_exif_block_that_cannot_be_read_leaves_the_photo_as_it_is(broken: bytes):
    plain = jpeg(picture())
    block = b"\xff\xe1" + (len(broken) + 2).to_bytes(2, "big") + broken

    assert np.array_equal(decode_rgb(plain[:2] + block + plain[2:]), decode_rgb(plain))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grayscale_and_cmyk_photos_become_rgb(mode: str):
    converted = picture().convert(mode)

    pixels = decode_rgb(jpeg(converted))

    assert pixels.shape == (240, 320, 3)
    assert difference(pixels, converted) < 3


def test_shrinking_sets_the_shorter_side_and_keeps_the_proportions():
    shrunk = Image.open(io.BytesIO(shrink_jpeg(jpeg(picture(640, 480)), 96, 90)))

    assert shrunk.size == (128, 96)
    assert difference(np.asarray(shrunk), picture(640, 480).resize((128, 96), Image.Resampling.BOX)) < 3


def test_shrinking_a_turned_photo_gives_an_upright_one_without_exif():
    data = shrink_jpeg(jpeg(picture(), exif=exif(6)), 120, 90)

    assert Image.open(io.BytesIO(data)).size == (120, 160)
    assert b"Exif" not in data


@pytest.mark.parametrize("shorter_side", [240, 500])
def test_a_photo_that_is_small_enough_keeps_its_bytes(shorter_side: int):
    data = jpeg(picture())

    assert shrink_jpeg(data, shorter_side, 90) == data


def test_shrinking_is_deterministic():
    data = jpeg(picture())

    assert shrink_jpeg(data, 100, 80) == shrink_jpeg(data, 100, 80)


@pytest.mark.parametrize("shorter_side", [100, 1000])
def test_every_photo_is_decoded_before_it_is_accepted(shorter_side: int):
    data = jpeg(picture())
    middle = len(data) // 2

    with pytest.raises(ImageError) as caught:
        shrink_jpeg(data[:middle] + bytes(200) + data[middle + 200 :], shorter_side, 90)
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not-jpeg"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "undecodable"),
        (jpeg(picture())[:-500], "truncated"),
    ],
)
@pytest.mark.parametrize("read", [check_jpeg, decode_rgb])
def test_what_is_not_a_whole_jpeg_is_refused_with_its_reason(data: bytes, reason: str, read):
    with pytest.raises(ImageError) as caught:
        read(data)
    assert caught.value.reason == reason


def motion_photo() -> bytes:
    """A second, smaller picture and a video, as phones append them."""
    return jpeg(picture(64, 48)) + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40


@pytest.mark.parametrize(
    "tail", [bytes(1025), bytes(200_000), b"\xff" * 5000, b"SEFH" + bytes(3000) + b"SEFT", motion_photo()]
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_bytes_behind_the_end_of_a_photo_are_no_fault_and_change_no_pixel(tail: bytes, options: dict[str, object]):
    """The kind: a check of our own that refuses what every decoder reads. Only missing data are a fault."""
    plain = jpeg(picture(), **options)

    assert check_jpeg(plain + tail) == check_jpeg(plain)
    assert np.array_equal(decode_rgb(plain + tail), decode_rgb(plain))


@pytest.mark.parametrize("tail", [b"", bytes(5000), b"\xff\x00" * 3000])
@pytest.mark.parametrize("read", [check_jpeg, decode_rgb])
def test_a_photo_that_is_cut_off_is_so_with_bytes_behind_it_too(tail: bytes, read):
    data = jpeg(picture())
    for end in (len(data) // 2, len(data) - 2):
        with pytest.raises(ImageError) as caught:
            read(data[:end] + tail)
        assert caught.value.reason == "truncated"


def test_the_end_of_a_thumbnail_is_not_that_of_the_photo():
    small, data = jpeg(picture(64, 48)), jpeg(picture())
    exif = b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small
    with pytest.raises(ImageError, match="ends before its end marker"):
        check_jpeg((data[:2] + exif + data[2:])[:-500])


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch):
    bomb = jpeg(Image.new("RGB", (4000, 3000)))
    monkeypatch.setattr(images, "MAX_PIXELS", 4000 * 3000 - 1)

    with pytest.raises(ImageError, match="4000x3000") as caught:
        decode_rgb(bomb[:1000])
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize("read", [check_jpeg, decode_rgb, lambda data: shrink_jpeg(data, 96, 90)])
def test_a_photo_of_too_many_scans_is_refused_before_it_is_decoded(read):
    with pytest.raises(ImageError, match="more than 32 scans of 700x700 pixels") as caught:
        read(bombs.scans(MAX_SCANS + 1))
    assert caught.value.reason == "too-large"


def test_a_progressive_photo_is_decoded_up_to_the_limit_of_scans():
    assert decode_rgb(bombs.scans(MAX_SCANS)).shape == (700, 700, 3)


def test_scans_before_the_limit_are_found_behind_fill_bytes_and_restart_markers():
    bomb = bombs.scans(MAX_SCANS + 1)
    for between in (b"\xff\xff", b"\xff\xd3", b"\xff\x01", b"\xff\xfe\x00\x04\xff\xd9"):
        with pytest.raises(ImageError, match="more than 32 scans"):
            check_jpeg(bomb.replace(bombs.START_OF_SCAN, between + bombs.START_OF_SCAN))


def test_what_looks_like_scans_in_a_thumbnail_or_behind_the_picture_is_none_of_its_own():
    plain = jpeg(picture())
    many = bombs.START_OF_SCAN * (MAX_SCANS + 1)
    thumbnail = b"\xff\xe1" + (len(many) + 2).to_bytes(2, "big") + many

    assert np.array_equal(decode_rgb(plain[:2] + thumbnail + plain[2:] + many), decode_rgb(plain))


def test_the_network_sees_the_whole_photo_as_a_square():
    square = network_input(jpeg(picture(640, 480)), 64)

    assert square.shape == (3, 64, 64)
    assert difference(square.transpose(1, 2, 0), picture(640, 480).resize((64, 64), Image.Resampling.BOX)) < 3
