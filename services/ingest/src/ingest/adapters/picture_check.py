"""Does a picture decode, or does it only look like one."""

import io

from PIL import Image, UnidentifiedImageError

from ingest.domain.pictures import picture_truncated
from ingest.domain.refusal import FieldProblem, Kind, Refused


def decode_check(data: bytes) -> None:
    """Decode a JPEG at an eighth of its size, a PNG whole: every coded byte is read, few pixels are made.

    Its header must have been judged before (`domain.pictures.read_header`): this trusts its size.

    Raises:
        Refused: `picture_truncated` or `not_a_picture`.
    """
    # Pillow's guard against bombs warns and raises by a process-wide number; ours has judged the header.
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            picture.draft("L", (picture.width // 8, picture.height // 8))
            picture.load()
    except (UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _not_a_picture() from error
    except OSError as error:
        if "truncated" in str(error):
            raise picture_truncated() from error
        raise _not_a_picture() from error


def _not_a_picture() -> Refused:
    reason = "does not decode"
    return Refused(
        Kind.INVALID, "not_a_picture", f"the picture {reason}", (FieldProblem("snapshot", reason),)
    )
