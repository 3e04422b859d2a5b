"""The picture in a push: base64 in the variants that firmware writes."""

import binascii
import re
from collections.abc import Callable

from ingest.domain.errors import ErrorKind, FieldProblem, InputError, field_error

MAX_BYTES_SETTING = "LOOKOUT_INGEST__PUSH__MAX_PICTURE_BYTES"
"""The environment name of the limit, for whoever gets the error."""

_DATA_PREFIX = re.compile(r"\s*data:[\w.+/;=-]{0,100},", re.IGNORECASE | re.ASCII)
_BLANKS = b" \t\r\n"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decode_strict(coded: bytes) -> bytes:
    """The bytes of a base64 text, its padding included.

    Raises:
        binascii.Error: it contains another character, or its padding is wrong.
    """
    return binascii.a2b_base64(coded, strict_mode=True)


def decode_snapshot(text: str, *, max_bytes: int, decode: Callable[[bytes], bytes] = decode_strict) -> bytes:
    """The bytes in `text`: with or without a `data:` prefix, blanks, the URL-safe alphabet or padding.

    Raises:
        InputError: `snapshot_missing`, `bad_base64` or `picture_too_large_bytes`.
    """
    prefix = _DATA_PREFIX.match(text)
    if prefix is not None and "base64" not in prefix[0].lower():
        raise _bad("has a data: prefix without base64")
    coded = _ascii(text[prefix.end() :] if prefix is not None else text)
    if not coded:
        raise field_error("snapshot_missing", "snapshot", "is empty", kind=ErrorKind.MALFORMED)
    # Before anything is decoded; padding makes this at most two bytes too many.
    if len(coded) // 4 * 3 - 2 > max_bytes:
        raise _too_large(max_bytes)
    data = _decode(coded, decode)
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


def _ascii(text: str) -> bytes:
    try:
        coded = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise _bad("contains a character that is not base64") from error
    # A search is ten times cheaper than a translation, and most cameras send one line without blanks.
    if any(blank in coded for blank in (b"\n", b"\r", b" ", b"\t")):
        coded = coded.translate(None, _BLANKS)
    if b"-" in coded or b"_" in coded:
        coded = coded.translate(_URL_SAFE)
    return coded


def _decode(coded: bytes, decode: Callable[[bytes], bytes]) -> bytes:
    if not coded.endswith(b"="):
        coded += b"=" * (-len(coded) % 4)
    try:
        return decode(coded)
    except binascii.Error as error:
        raise _bad("is not base64") from error


def _bad(reason: str) -> InputError:
    return InputError(
        ErrorKind.MALFORMED, "bad_base64", f"snapshot {reason}", (FieldProblem("snapshot", reason),)
    )


def _too_large(max_bytes: int) -> InputError:
    reason = f"is larger than {max_bytes} bytes, the limit that {MAX_BYTES_SETTING} sets"
    return InputError(
        ErrorKind.TOO_LARGE,
        "picture_too_large_bytes",
        f"the picture {reason}",
        (FieldProblem("snapshot", reason),),
    )
