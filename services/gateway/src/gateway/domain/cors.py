"""Which pages of other origins may call the API from a browser (the CORS protocol of the Fetch standard)."""

from dataclasses import dataclass

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED = (
    b"Content-Disposition, Link, Location, Lookout-Duplicate, Preference-Applied, RateLimit-Limit, "
    b"RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Trace-Id"
)
_MAX_AGE_S = b"600"


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """The listed origins, and whether every other one may call too (without credentials)."""

    listed: frozenset[str] = frozenset()
    is_open: bool = False

    @classmethod
    def parse(cls, origins: tuple[str, ...]) -> "CorsPolicy":
        """The policy of a list such as `https://portal.example, *`."""
        plain = {origin.strip().rstrip("/") for origin in origins} - {""}
        return cls(frozenset(plain - {"*"}), "*" in plain)

    def response_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The headers that let a page of that origin read a response."""
        if origin is None:
            # The response depends on the origin even when none is sent: a cache must keep both apart.
            return [(b"vary", b"Origin")] if self.listed else []
        allowed = self._allow(origin)
        return [*allowed, (b"access-control-expose-headers", _EXPOSED)] if allowed else allowed

    def preflight_headers(
        self, origin: bytes, requested_headers: bytes | None
    ) -> list[tuple[bytes, bytes]] | None:
        """The headers of the response to a preflight, or None where that origin may not call."""
        allowed = self._allow(origin)
        if not allowed:
            return None
        headers = [
            *allowed,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", _MAX_AGE_S),
        ]
        if requested_headers:
            headers.append((b"access-control-allow-headers", requested_headers))
        return headers

    def _allow(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if origin.decode("latin-1") in self.listed:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"Origin"),
            ]
        if self.is_open:
            # The wildcard without credentials, and not the request's origin: pages must send a token of their own.
            return [(b"access-control-allow-origin", b"*"), *([(b"vary", b"Origin")] if self.listed else [])]
        return []
