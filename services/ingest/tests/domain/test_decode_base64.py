"""The fast base64 decoder accepts exactly what the standard library's strict one accepts."""

import base64
import binascii

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.domain.snapshot import decode_strict
from ingest.handlers.parse_parking_push import decode_base64

NEARLY_BASE64 = st.one_of(
    st.binary(max_size=200).map(base64.b64encode),
    st.text("AZaz09+/=-_ \n!", max_size=24).map(str.encode),
    st.tuples(st.binary(max_size=30).map(base64.b64encode), st.binary(max_size=3)).map(b"".join),
    st.tuples(st.binary(max_size=30).map(base64.b64encode), st.just(b"=")).map(b"".join),
)


def result(decode: object, coded: bytes) -> bytes | None:
    assert callable(decode)
    try:
        decoded: bytes = decode(coded)
    except binascii.Error:
        return None
    return decoded


@settings(max_examples=500)
@given(NEARLY_BASE64)
def test_it_decodes_and_rejects_as_the_standard_library_does(coded: bytes) -> None:
    assert result(decode_base64, coded) == result(decode_strict, coded)
