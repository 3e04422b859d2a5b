"""Request paths are checked before they are matched against the route table."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_HEX = frozenset(b"0123456789abcdefABCDEF")
_DOTS = frozenset({b".", b".."})


class UnsafePathError(ValueError):
    """The gateway and the service could read the path differently; the text is the reason, for the caller."""


@dataclass(frozen=True, slots=True)
class CleanPath:
    """A path in segments: `decoded` is matched, `raw` is forwarded as the client wrote it."""

    decoded: tuple[bytes, ...]
    raw: tuple[bytes, ...]


def clean_path(raw_path: bytes) -> CleanPath:
    """Split a path at its slashes. One trailing slash is dropped: no service has a route that ends in one.

    Dot segments, empty segments and encoded slashes are refused and not resolved: no documented path needs
    them, and each is a way to reach a route that the table does not name.

    Raises:
        UnsafePathError: with the reason.
    """
    segments = raw_path.split(b"/")
    if segments[0] or len(segments) == 1:
        raise UnsafePathError("the path does not begin with a slash")
    if not segments[-1]:
        segments.pop()
    raw = tuple(segments[1:])
    return CleanPath(tuple(_decode(segment) for segment in raw), raw)


def _decode(segment: bytes) -> bytes:
    if not segment:
        raise UnsafePathError("the path has an empty segment")
    if not segment.isascii():
        raise UnsafePathError("the path holds characters that are not percent-encoded")
    decoded = segment
    if b"%" in segment:
        _refuse_broken_escapes(segment)
        decoded = unquote_to_bytes(segment)
        if b"/" in decoded:
            raise UnsafePathError("the path holds an encoded slash")
        try:
            decoded.decode("utf-8")
        except UnicodeDecodeError:
            raise UnsafePathError("the path is not UTF-8") from None
    if decoded in _DOTS:
        raise UnsafePathError("the path holds a dot segment")
    if b"\\" in decoded or min(decoded) < 0x20 or 0x7F in decoded:
        raise UnsafePathError("the path holds a backslash or a control character")
    return decoded


def _refuse_broken_escapes(segment: bytes) -> None:
    for escape in segment.split(b"%")[1:]:
        if len(escape) < 2 or escape[0] not in _HEX or escape[1] not in _HEX:
            raise UnsafePathError("the path holds a broken percent escape")
