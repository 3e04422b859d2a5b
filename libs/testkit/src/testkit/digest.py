"""The server's half of HTTP Digest access authentication (RFC 7616), with `qop=auth`."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

Algorithm = Literal["MD5", "SHA-256"]

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
# name=value or name="value", where a quoted value may contain escaped quotes.
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass
class DigestVerifier:
    """Verifies `Authorization` headers strictly as RFC 7616 requires."""

    user: str
    password: str
    algorithm: Algorithm = "MD5"
    realm: str = "camera"
    _counts: dict[str, int] = field(default_factory=dict)
    _opaque: str = field(default_factory=lambda: secrets.token_hex(8))

    def challenge(self, *, is_stale: bool = False) -> str:
        """A `WWW-Authenticate` header with a fresh nonce."""
        nonce = secrets.token_hex(16)
        self._counts[nonce] = 0
        stale = ", stale=true" if is_stale else ""
        return (
            f'Digest realm="{self.realm}", qop="auth", algorithm={self.algorithm}, '
            f'nonce="{nonce}", opaque="{self._opaque}"{stale}'
        )

    def clear_nonces(self) -> None:
        """Make every nonce stale, as a reboot of the camera does."""
        self._counts.clear()

    def rejection(self, method: str, target: str, header: str | None) -> str | None:
        """Why the request is rejected; None when it is accepted. `stale`: repeat the challenge with `is_stale`."""
        scheme, _, rest = (header or "").partition(" ")
        if scheme.lower() != "digest":
            return "no Digest credentials"
        sent = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        expected = {
            "username": self.user,
            "realm": self.realm,
            "uri": target,
            "qop": "auth",
            "opaque": self._opaque,
            "algorithm": self.algorithm,
        }
        for name, value in expected.items():
            if sent.get(name) != value:
                return f"{name} is {sent.get(name)!r}, expected {value!r}"
        return self._response_problem(method, sent)

    def _response_problem(self, method: str, sent: dict[str, str]) -> str | None:
        nonce, count, client_nonce = (sent.get(name, "") for name in ("nonce", "nc", "cnonce"))
        if nonce not in self._counts:
            return "stale"
        if not re.fullmatch(r"[0-9a-f]{8}", count) or int(count, 16) <= self._counts[nonce]:
            return f"nc {count!r} is not larger than the last one, or is not 8 hexadecimal digits"
        if not client_nonce:
            return "cnonce is missing"
        a1 = self._hash(f"{self.user}:{self.realm}:{self.password}")
        a2 = self._hash(f"{method}:{sent['uri']}")
        if sent.get("response") != self._hash(f"{a1}:{nonce}:{count}:{client_nonce}:auth:{a2}"):
            return "response does not match: wrong password"
        self._counts[nonce] = int(count, 16)
        return None

    def _hash(self, text: str) -> str:
        return _HASHES[self.algorithm](text.encode()).hexdigest()
