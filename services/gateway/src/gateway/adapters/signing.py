"""Ed25519 keys as the tokens' library wants them, and as the JWKS page shows them."""

import base64
import hashlib
import json
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.domain.keys import SigningKey
from kit.auth import ALGORITHM, TokenClaims


def new_key(created_at: datetime, signs_from: datetime) -> SigningKey:
    """A random key. Its `kid` is the thumbprint of its public half (RFC 7638)."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    members = {"crv": "Ed25519", "kty": "OKP", "x": _public_x(private)}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode())
    return SigningKey(_base64url(digest.digest()), pem, created_at, signs_from)


def load_private(key: SigningKey) -> Ed25519PrivateKey:
    """The key, ready to sign."""
    private = load_pem_private_key(key.private_pem.encode(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return private


def public_jwk(kid: str, private: Ed25519PrivateKey) -> dict[str, str]:
    """The public half for a JWKS page (RFC 8037)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": ALGORITHM,
        "kid": kid,
        "x": _public_x(private),
    }


def sign(claims: TokenClaims, kid: str, private: Ed25519PrivateKey) -> str:
    """The token."""
    payload: dict[str, Any] = claims.model_dump()
    return jwt.encode(payload, private, algorithm=ALGORITHM, headers={"kid": kid})


def _public_x(private: Ed25519PrivateKey) -> str:
    return _base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
