"""Which headers are forwarded, in both directions."""

from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[bytes, bytes]]

# RFC 9110, section 7.6.1, with the older Keep-Alive and Proxy-Connection.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Set by the gateway itself; a client's own values are dropped.
_SET_BY_GATEWAY = frozenset(
    {
        b"forwarded",
        b"host",
        b"traceparent",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
_WEBSOCKET_HANDSHAKE = (b"sec-websocket-",)
# Dropped from the service's response, since the gateway's server adds its own.
_SET_BY_SERVER = frozenset({b"date", b"server"})
# Set by the gateway; a browser refuses a response with two Access-Control-Allow-Origin headers.
_CORS = b"access-control-"


def first(headers: Headers, name: bytes) -> bytes | None:
    """The value of the first header of that (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def joined(headers: Headers, name: bytes) -> bytes | None:
    """The values of all headers of that name as one list (RFC 9110, section 5.3); None where there is none."""
    values = [value for key, value in headers if key == name]
    return b", ".join(values) if values else None


def request_headers(
    headers: Headers, *, forwarded_for: str, proto: str, traceparent: str | None, is_websocket: bool = False
) -> list[tuple[bytes, bytes]]:
    """The headers that are sent to the service: without hop-by-hop headers, with the client's address."""
    named = _connection_options(headers)
    host = first(headers, b"host")
    kept = [
        (name, value)
        for name, value in headers
        if name not in _HOP_BY_HOP
        and name not in _SET_BY_GATEWAY
        and name not in named
        and not (is_websocket and name.startswith(_WEBSOCKET_HANDSHAKE))
    ]
    kept.append((b"x-forwarded-for", forwarded_for.encode("ascii", "replace")))
    kept.append((b"x-forwarded-proto", proto.encode("ascii", "replace")))
    if host is not None:
        kept.append((b"host", host))
        kept.append((b"x-forwarded-host", host))
    if traceparent is not None:
        kept.append((b"traceparent", traceparent.encode()))
    return kept


def response_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of the service's response that are sent to the client, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = _connection_options(lowered)
    return [
        (name, value)
        for name, value in lowered
        if name not in _HOP_BY_HOP
        and name not in _SET_BY_SERVER
        and name not in named
        and not name.startswith(_CORS)
    ]


def _connection_options(headers: Headers) -> frozenset[bytes]:
    value = joined(headers, b"connection")
    if value is None:
        return frozenset()
    return frozenset(option.strip().lower() for option in value.split(b","))


def content_length(headers: Headers) -> int | None:
    """The declared size of the body in bytes, or None where none is declared."""
    value = first(headers, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def preferred_wait_s(headers: Headers) -> float:
    """The N of `Prefer: wait=N` (RFC 7240, section 4.3), or 0 where the client has no such preference."""
    for name, value in headers:
        if name != b"prefer":
            continue
        for preference in value.split(b","):
            key, _, amount = preference.split(b";")[0].partition(b"=")
            number = amount.strip().strip(b'"')
            if key.strip().lower() == b"wait" and number.isdigit() and len(number) <= 6:
                return float(number)
    return 0.0
