"""Pictures of a job: decoded and written anew, bounded, and refused where they are none."""

import io

import pytest
from PIL import Image

from prevenant.errors import ConfigurationError
from workflows.photos import LARGEST_BYTES, read_picture


def drawn(
    form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_becomes_a_jpeg(form: str) -> None:
    picture = read_picture(drawn(form))
    with Image.open(io.BytesIO(picture.data)) as image:
        assert (image.format, image.size) == ("JPEG", (40, 30))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_a_picture_in_other_colours_becomes_one(mode: str) -> None:
    assert read_picture(drawn("PNG", mode=mode)).width == 40


def test_what_came_with_a_picture_stays_behind() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at somebody's home"
    exif[0x0112] = 6
    sent = drawn("JPEG", (60, 20), exif=exif, comment=b"<script>") + b"PK\x03\x04 a program"
    picture = read_picture(sent)
    assert b"somebody" not in picture.data
    assert b"script" not in picture.data
    assert b"program" not in picture.data
    # The way in which it was held is in its pixels now.
    assert (picture.width, picture.height) == (20, 60)


def test_a_large_picture_becomes_smaller() -> None:
    picture = read_picture(drawn("JPEG", (4000, 3000)))
    assert (picture.width, picture.height) == (1600, 1200)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"%PDF-1.7",
        b"\xff\xd8\xff\xe0" + b"\0" * 500,
        drawn("PNG")[:40],
        drawn("GIF"),
        drawn("BMP"),
    ],
)
def test_what_is_no_picture_is_refused(sent: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no picture that we can read"):
        read_picture(sent)


def test_a_picture_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        read_picture(drawn("PNG", (20_000, 20_000), "1"))
    with pytest.raises(ConfigurationError, match="12 MB"):
        read_picture(b"\0" * (LARGEST_BYTES + 1))
