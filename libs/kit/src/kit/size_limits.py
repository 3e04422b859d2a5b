"""How large what comes in may be: docs/limits.md has the table."""

import sys
from dataclasses import dataclass

MAX_PICTURE_BYTES = 12_582_912
"""The default of every setting that limits the size of a picture. What carries a picture derives its limit from it."""
ENVELOPE_BYTES = 65_536
"""What a request may have around its picture: the parts of a form, the other fields of a push or message."""


def form_bytes(picture_bytes: int) -> int:
    """The largest body that has such a picture as it is: a multipart form."""
    return picture_bytes + ENVELOPE_BYTES


def base64_body_bytes(picture_bytes: int) -> int:
    """The largest JSON body that has such a picture in base64: four thirds of it, and an eighth of that for line
    breaks and escaped slashes.
    """
    return picture_bytes * 3 // 2 + ENVELOPE_BYTES


def message_bytes(picture_bytes: int) -> int:
    """The largest gRPC message. Twice the picture: one that is too large is refused by the service, with the reason,
    and not by the gRPC library as RESOURCE_EXHAUSTED, which means that the same call may succeed later.
    """
    return 2 * picture_bytes + ENVELOPE_BYTES


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The largest body of a path. `setting`: the environment name that sets it, for whoever gets the 413."""

    max_bytes: int
    setting: str

    @property
    def refusal(self) -> str:
        """The detail of the 413."""
        return f"The body is over {self.max_bytes} bytes, the limit that {self.setting} sets."


NO_BODY_LIMIT = BodyLimit(sys.maxsize, "")
"""Where something inside limits the body of each path."""
