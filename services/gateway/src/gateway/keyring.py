"""The signing keys as the running gateway knows them, looked up again now and then for a rotation."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.signing import load_private, public_jwk
from gateway.domain.keys import SigningKey, current_key, published_keys
from gateway.store.keys import list_keys
from kit.auth import parse_jwks
from kit.clock import Clock
from kit.db import Database
from kit.errors import Unavailable
from kit.secrets import SecretBox

# A token with an unknown key id asks for a look; however many come, there is one look in this time.
MIN_RELOAD_S = 1.0


@dataclass(frozen=True, slots=True)
class _Loaded:
    stored: list[SigningKey]
    private: Mapping[str, Ed25519PrivateKey]
    public: Mapping[str, jwt.PyJWK]


@dataclass(slots=True)
class KeyRing:
    """A `kit.auth.JwksSource` of the gateway's own keys, and the key to sign with.

    `keep` is how long a key stays published after its successor began to sign: the life of a token.
    """

    db: Database
    secret_box: SecretBox
    clock: Clock
    keep: timedelta
    reload_s: float
    monotonic: Callable[[], float] = time.monotonic
    _loaded: _Loaded | None = None
    _loaded_at_s: float = 0.0
    _one_load: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keys(self, *, refresh: bool = False) -> Mapping[str, jwt.PyJWK]:
        """The published keys by `kid`.

        Raises:
            Unavailable: they were never read, and the database is away.
        """
        return (await self._load(MIN_RELOAD_S if refresh else self.reload_s)).public

    async def document(self) -> dict[str, list[dict[str, str]]]:
        """The JWKS page (RFC 7517). Raises as `keys`."""
        loaded = await self._load(self.reload_s)
        published = published_keys(loaded.stored, self.clock.now(), self.keep)
        return {"keys": [public_jwk(key.kid, loaded.private[key.kid]) for key in published]}

    async def signer(self) -> tuple[str, Ed25519PrivateKey]:
        """The key that signs now, with its `kid`. Raises as `keys`."""
        loaded = await self._load(self.reload_s)
        key = current_key(loaded.stored, self.clock.now())
        if key is None:
            raise Unavailable("there is no key to sign with yet", code="keys_unavailable", retry_after_s=5)
        return key.kid, loaded.private[key.kid]

    def forget(self) -> None:
        """Read the keys anew at the next use."""
        self._loaded = None

    async def _load(self, max_age_s: float) -> _Loaded:
        loaded = self._fresh(max_age_s)
        if loaded is not None:
            return loaded
        async with self._one_load:
            loaded = self._fresh(max_age_s)
            if loaded is not None:
                return loaded
            try:
                loaded = await self._read()
            except Unavailable:
                if self._loaded is None:
                    raise
                return self._loaded  # yesterday's keys are better than none
            # Nothing is kept that was read before there was any key.
            self._loaded, self._loaded_at_s = (loaded if loaded.stored else None), self.monotonic()
            return loaded

    def _fresh(self, max_age_s: float) -> _Loaded | None:
        is_fresh = self._loaded is not None and self.monotonic() - self._loaded_at_s < max_age_s
        return self._loaded if is_fresh else None

    async def _read(self) -> _Loaded:
        async with self.db.reading() as session:
            stored = await list_keys(session, self.secret_box)
        private = {key.kid: load_private(key) for key in stored}
        published = published_keys(stored, self.clock.now(), self.keep)
        document: dict[str, Any] = {"keys": [public_jwk(key.kid, private[key.kid]) for key in published]}
        return _Loaded(stored, private, parse_jwks(document))
