"""Access tokens signed with Ed25519 (EdDSA)."""

import base64
import hashlib
import json
from collections.abc import Mapping
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
from kit.auth import ALGORITHM


class Ed25519TokenSigner:
    """See `gateway.domain.keys.TokenSigner`."""

    def new_key(self, created_at: datetime, signs_from: datetime) -> SigningKey:
        """A random key. Its `kid` is the thumbprint of its public half (RFC 7638)."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
        members = {"crv": "Ed25519", "kty": "OKP", "x": _public_x(private)}
        digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode())
        return SigningKey(_base64url(digest.digest()), pem, created_at, signs_from)

    def public_jwk(self, key: SigningKey) -> dict[str, str]:
        """The public half for a JWKS page (RFC 8037)."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": key.kid,
            "x": _public_x(_load_private(key)),
        }

    def sign(self, claims: Mapping[str, Any], key: SigningKey) -> str:
        """A JSON Web Token with the key's `kid` in its header."""
        return jwt.encode(dict(claims), _load_private(key), algorithm=ALGORITHM, headers={"kid": key.kid})


def _load_private(key: SigningKey) -> Ed25519PrivateKey:
    private = load_pem_private_key(key.private_pem.encode(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return private


def _public_x(private: Ed25519PrivateKey) -> str:
    return _base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
