"""Verify an access token: its signature, and that neither its session nor its user has been ended."""

import time
from collections.abc import Callable
from uuid import UUID

from gateway.store.sessions import is_access_token_valid
from kit.auth import JwksSource, Principal, TokenVerifier
from kit.clock import Clock
from kit.db import Database
from kit.settings import AuthSettings

MAX_CACHED_TOKENS = 10_000


class SessionTokenVerifier(TokenVerifier):
    """Caches each result for `cache_s`; `clear_cache` drops the results when something is revoked here.

    While the database cannot be reached, a token whose result is not cached is refused with `Unavailable`.
    """

    def __init__(
        self,
        settings: AuthSettings,
        keys: JwksSource,
        db: Database,
        *,
        clock: Clock,
        cache_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, keys, clock=clock, is_revoked=self._is_revoked_in_store)
        self._db = db
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._cached: dict[str, tuple[Principal, float]] = {}
        self._generation = 0

    async def verify(self, token: str | None) -> Principal:
        """As the base class; a token may be accepted up to `cache_s` after its expiry."""
        if token is None:
            return await super().verify(token)
        now_s = self._monotonic()
        found = self._cached.get(token)
        if found is not None and now_s < found[1]:
            return found[0]
        generation = self._generation
        principal = await super().verify(token)
        # A result from before a sign-out must not be cached after it.
        if generation == self._generation:
            if len(self._cached) >= MAX_CACHED_TOKENS:
                self._cached.clear()
            self._cached[token] = (principal, now_s + self._cache_s)
        return principal

    def clear_cache(self) -> None:
        """Verify every token again; call it after the transaction that revokes one was committed."""
        self._generation += 1
        self._cached.clear()

    async def _is_revoked_in_store(self, token_id: str) -> bool:
        try:
            token_uuid = UUID(token_id)
        except ValueError:
            return True
        async with self._db.reading() as session:
            return not await is_access_token_valid(session, token_uuid)
