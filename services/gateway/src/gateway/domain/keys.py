"""Which signing key signs, and which are still published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key. `private_pem` is PKCS#8; `signs_from` is in the future while the key is only published."""

    kid: str
    private_pem: str
    created_at: datetime
    signs_from: datetime


class TokenSigner(Protocol):
    """The signature algorithm of the access tokens."""

    def new_key(self, created_at: datetime, signs_from: datetime) -> SigningKey:
        """A random key."""
        ...

    def public_jwk(self, key: SigningKey) -> dict[str, str]:
        """The public half for a JWKS page."""
        ...

    def sign(self, claims: Mapping[str, Any], key: SigningKey) -> str:
        """A JSON Web Token."""
        ...


def current_key(keys: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    """The key that signs at `now`: the newest that may, or None where there is none.

    The oldest signs where none may yet: that happens when the clock was set back, and verifiers know that key.
    """
    ready = [key for key in keys if key.signs_from <= now]
    if not ready:
        return min(keys, key=lambda key: (key.signs_from, key.kid), default=None)
    return max(ready, key=lambda key: (key.signs_from, key.kid))


def published_keys(keys: Sequence[SigningKey], now: datetime, keep: timedelta) -> list[SigningKey]:
    """The keys that verifiers need, oldest first.

    A key stays published for `keep` (at least the lifetime of a token) after its successor began to sign.
    """
    ordered = sorted(keys, key=lambda key: (key.signs_from, key.kid))
    return [
        key
        for position, key in enumerate(ordered)
        if position + 1 == len(ordered) or ordered[position + 1].signs_from + keep > now
    ]
