"""Verify an access token: its signature, and that neither its session nor its user has been ended."""

import time
from collections.abc import Callable
from uuid import UUID

from gateway.handlers.unstored_tokens import UnstoredTokens
from gateway.store.sessions import is_access_token_valid
from gateway.store.users import find_user
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
        unstored: UnstoredTokens,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, keys, clock=clock, is_revoked=self._is_revoked_in_store)
        self._db = db
        self._cache_s = cache_s
        self._unstored = unstored
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
        """Verify every token again; call it after the transaction that revokes one was committed.

        Tokens that are not stored are refused from now on: what was revoked is not known of them.
        """
        self._generation += 1
        self._cached.clear()
        self._unstored.clear()

    async def _is_revoked_in_store(self, token_id: str) -> bool:
        try:
            token_uuid = UUID(token_id)
        except ValueError:
            return True
        user_id = self._unstored.user_of(token_uuid)
        async with self._db.reading() as session:
            if user_id is not None:
                user = await find_user(session, user_id)
                return user is None or not user.is_active
            return not await is_access_token_valid(session, token_uuid)
