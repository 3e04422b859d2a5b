import pytest

from gateway.domain.headers import content_length, preferred_wait_s, request_headers, response_headers


def sent(*headers, **more):
    return request_headers(headers, forwarded_for="192.0.2.7", proto="https", traceparent="00-a-b-01", **more)


def test_hop_by_hop_headers_are_not_forwarded():
    kept = sent(
        (b"host", b"site.example"),
        (b"connection", b"keep-alive, X-Secret-Hop"),
        (b"x-secret-hop", b"1"),
        (b"te", b"trailers"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"x"),
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer x"),
        (b"content-length", b"3"),
    )
    assert [name for name, _ in kept if not name.startswith(b"x-forwarded")] == [
        b"accept",
        b"authorization",
        b"content-length",
        b"host",
        b"traceparent",
    ]


def test_forwarding_headers_of_the_client_are_replaced():
    kept = dict(
        sent(
            (b"host", b"site.example"),
            (b"x-forwarded-for", b"10.0.0.1"),
            (b"x-forwarded-host", b"evil.example"),
            (b"x-forwarded-proto", b"gopher"),
            (b"forwarded", b"for=10.0.0.1"),
            (b"x-real-ip", b"10.0.0.1"),
            (b"traceparent", b"00-f-f-01"),
        )
    )
    assert kept == {
        b"host": b"site.example",
        b"x-forwarded-for": b"192.0.2.7",
        b"x-forwarded-host": b"site.example",
        b"x-forwarded-proto": b"https",
        b"traceparent": b"00-a-b-01",
    }


def test_handshake_headers_of_a_websocket_are_not_forwarded():
    kept = dict(
        sent(
            (b"sec-websocket-key", b"x"),
            (b"sec-websocket-version", b"13"),
            (b"cookie", b"a"),
            is_websocket=True,
        )
    )
    assert b"cookie" in kept
    assert not any(name.startswith(b"sec-websocket") for name in kept)


def test_a_response_loses_hop_by_hop_server_and_cors_headers():
    kept = response_headers(
        [
            (b"Content-Type", b"image/jpeg"),
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Date", b"Sat, 21 Nov 2026 22:10:27 GMT"),
            (b"Server", b"uvicorn"),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
        ]
    )
    assert kept == [(b"content-type", b"image/jpeg"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (b"wait=10", 10.0),
        (b"Wait=10", 10.0),
        (b"respond-async, wait=5", 5.0),
        (b'wait="7"; foo=bar', 7.0),
        (b"wait = 3", 3.0),
        (b"wait", 0.0),
        (b"wait=-1", 0.0),
        (b"wait=1e9", 0.0),
        (b"wait=99999999999999", 0.0),
        (b"waiting=4", 0.0),
        (b"return=minimal", 0.0),
    ],
)
def test_the_seconds_in_prefer_wait(value, wait_s):
    assert preferred_wait_s([(b"prefer", value)]) == wait_s


def test_a_second_prefer_header_is_read():
    assert preferred_wait_s([(b"prefer", b"return=minimal"), (b"prefer", b"wait=2")]) == 2.0


@pytest.mark.parametrize(
    ("value", "length"), [(b"0", 0), (b"12", 12), (b"-1", None), (b"x", None), (b"", None)]
)
def test_the_declared_length(value, length):
    assert content_length([(b"content-length", value)]) == length
