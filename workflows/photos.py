"""What technicians photograph at a job: looked at by nothing but a decoder, made anew, small, and few.

Whatever is sent is decoded and written again as a JPEG: what is no picture is refused, and nothing else
that came with it is kept, neither a place nor a program hidden behind the picture.
"""

import io
import warnings
from dataclasses import dataclass
from datetime import datetime

from PIL import Image, ImageOps
from sqlmodel import Session, col, func, select

from prevenant.errors import ConfigurationError
from prevenant.tables import add_timeline
from workflows.tables import Photo, WorkOrder

LARGEST_BYTES = 12_000_000
"""What may be sent; a phone's photograph has 3 to 8 MB."""
MOST_OF_JOB = 8
_FORMATS = ("JPEG", "PNG", "WEBP")
_LARGEST_PIXELS = 64_000_000
_SIDE = 1_600
_QUALITY = 80
_GREY = frozenset({"L", "1"})


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG that we have written ourselves."""

    data: bytes
    width: int
    height: int


def read_picture(sent: bytes) -> Picture:
    """Return what was sent as a JPEG of a bounded size. Raises ConfigurationError with the reason."""
    if len(sent) > LARGEST_BYTES:
        message = f"the picture is too large: at most {LARGEST_BYTES // 1_000_000} MB"
        raise ConfigurationError(message)
    try:
        with warnings.catch_warnings():
            # A picture that is far larger than it looks is an error, and no warning.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(sent), formats=_FORMATS) as opened:
                return _write(opened)
    except ConfigurationError:
        raise
    except Exception:  # noqa: BLE001  decoders fail in many ways on what is no picture
        raise ConfigurationError(
            "this is no picture that we can read: send a JPEG or PNG"
        ) from None


def _write(opened: Image.Image) -> Picture:
    if opened.width * opened.height > _LARGEST_PIXELS:
        raise ConfigurationError("the picture has too many pixels: send a smaller one")
    opened.draft("RGB", (_SIDE, _SIDE))
    upright = ImageOps.exif_transpose(opened)
    upright.thumbnail((_SIDE, _SIDE))
    plain = upright.convert("L" if upright.mode in _GREY else "RGB")
    out = io.BytesIO()
    # A new picture of the pixels alone: what stood beside them stays behind.
    plain.info.clear()
    plain.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return Picture(out.getvalue(), plain.width, plain.height)


def keep_photo(session: Session, order: WorkOrder, picture: Picture, now: datetime) -> Photo:
    """Keep a picture of a job. Raises ConfigurationError where there are enough."""
    count = select(func.count()).select_from(Photo).where(Photo.work_order_id == order.id)
    if session.exec(count).one() >= MOST_OF_JOB:
        message = f"there are {MOST_OF_JOB} pictures of this job already"
        raise ConfigurationError(message)
    photo = Photo(
        case_id=order.case_id,
        work_order_id=order.id or 0,
        contact_id=order.contact_id,
        at=now,
        width=picture.width,
        height=picture.height,
        picture=picture.data,
    )
    session.add(photo)
    session.flush()
    add_timeline(
        session,
        now,
        "technician.photo",
        f"{order.technician_name} has taken a picture",
        case_id=order.case_id,
        detail={"photo": photo.id},
    )
    return photo


def list_photos(session: Session, case_id: int) -> list[int]:
    """Return the numbers of a case's pictures, the first before the later."""
    query = select(Photo.id).where(Photo.case_id == case_id).order_by(col(Photo.id))
    return [one for one in session.exec(query) if one is not None]


def find_photo(session: Session, case_id: int, photo_id: int) -> bytes | None:
    """Return a picture of a case, as JPEG."""
    query = select(Photo.picture).where(Photo.id == photo_id, Photo.case_id == case_id)
    return session.exec(query).first()
