"""The signing keys of the running gateway, read again at intervals since another process may rotate them."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import jwt

from gateway.domain.keys import SigningKey, TokenSigner, current_key, published_keys
from gateway.store.keys import list_keys
from kit.auth import parse_jwks
from kit.clock import Clock
from kit.db import Database
from kit.errors import Unavailable
from kit.secrets import SecretBox

# A token with an unknown key id causes a reload; however many come, there is one reload in this time.
MIN_RELOAD_S = 1.0


@dataclass(frozen=True, slots=True)
class _Loaded:
    stored: list[SigningKey]
    public: Mapping[str, jwt.PyJWK]


@dataclass(slots=True)
class SigningKeys:
    """A `kit.auth.JwksSource` of the gateway's own keys, and the key to sign with.

    `keep` is how long a key stays published after its successor began to sign: the lifetime of a token.
    """

    db: Database
    secret_box: SecretBox
    signer: TokenSigner
    clock: Clock
    keep: timedelta
    reload_s: float
    monotonic: Callable[[], float] = time.monotonic
    _loaded: _Loaded | None = None
    _loaded_at_s: float = 0.0
    _load_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keys(self, *, refresh: bool = False) -> Mapping[str, jwt.PyJWK]:
        """The published keys by `kid`.

        Raises:
            Unavailable: they have not been read yet, and the database cannot be reached.
        """
        return (await self._load(MIN_RELOAD_S if refresh else self.reload_s)).public

    async def document(self) -> dict[str, list[dict[str, str]]]:
        """The JWKS page (RFC 7517). Raises as `keys`."""
        return self._document((await self._load(self.reload_s)).stored)

    async def current(self) -> SigningKey:
        """The key that signs now. Raises as `keys`."""
        loaded = await self._load(self.reload_s)
        key = current_key(loaded.stored, self.clock.now())
        if key is None:
            raise Unavailable("There is no signing key yet.", code="keys_unavailable", retry_after_s=5)
        return key

    async def _load(self, max_age_s: float) -> _Loaded:
        loaded = self._cached(max_age_s)
        if loaded is not None:
            return loaded
        async with self._load_lock:
            loaded = self._cached(max_age_s)
            if loaded is not None:
                return loaded
            try:
                loaded = await self._read()
            except Unavailable:
                if self._loaded is None:
                    raise
                return self._loaded  # outdated keys still verify almost every token
            # An empty list is not cached: the first key may be stored any moment.
            self._loaded, self._loaded_at_s = (loaded if loaded.stored else None), self.monotonic()
            return loaded

    def _cached(self, max_age_s: float) -> _Loaded | None:
        is_fresh = self._loaded is not None and self.monotonic() - self._loaded_at_s < max_age_s
        return self._loaded if is_fresh else None

    async def _read(self) -> _Loaded:
        async with self.db.reading() as session:
            stored = await list_keys(session, self.secret_box)
        return _Loaded(stored, parse_jwks(self._document(stored)))

    def _document(self, stored: list[SigningKey]) -> dict[str, list[dict[str, str]]]:
        published = published_keys(stored, self.clock.now(), self.keep)
        return {"keys": [self.signer.public_jwk(key) for key in published]}
