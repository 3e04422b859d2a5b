import pytest

from gateway.domain.cors import CorsPolicy

LISTED = CorsPolicy.parse(("https://portal.example", "http://localhost:3000/"))
OPEN = CorsPolicy.parse(("*",))
CLOSED = CorsPolicy.parse(())


@pytest.mark.parametrize(
    ("policy", "origin", "allowed", "with_credentials"),
    [
        (LISTED, b"https://portal.example", b"https://portal.example", True),
        (LISTED, b"http://localhost:3000", b"http://localhost:3000", True),
        (LISTED, b"https://portal.example.evil.example", None, False),
        (LISTED, b"http://portal.example", None, False),
        (LISTED, b"null", None, False),
        (OPEN, b"https://anyone.example", b"*", False),
        (OPEN, b"null", b"*", False),
        (CLOSED, b"https://portal.example", None, False),
    ],
)
def test_which_origins_may_read_a_response(policy, origin, allowed, with_credentials):
    for headers in (
        dict(policy.response_headers(origin)),
        dict(policy.preflight_headers(origin, b"x-a") or []),
    ):
        assert headers.get(b"access-control-allow-origin") == allowed
        assert (b"access-control-allow-credentials" in headers) is with_credentials


def test_a_preflight_lists_methods_and_headers():
    headers = dict(LISTED.preflight_headers(b"https://portal.example", b"authorization, content-type") or [])
    assert headers[b"access-control-allow-headers"] == b"authorization, content-type"
    assert b"DELETE" in headers[b"access-control-allow-methods"]
    assert LISTED.preflight_headers(b"https://evil.example", b"authorization") is None


def test_vary_names_the_origin():
    assert (b"vary", b"Origin") in LISTED.response_headers(b"https://portal.example")
    assert LISTED.response_headers(None) == [(b"vary", b"Origin")]
    assert OPEN.response_headers(None) == CLOSED.response_headers(None) == []
