"""The check of a token at the door: its signature, and that neither it nor its user has been signed out."""

import time
from collections.abc import Callable
from uuid import UUID

from gateway.store.sessions import is_token_live
from kit.auth import JwksSource, Principal, TokenVerifier
from kit.clock import Clock
from kit.db import Database
from kit.settings import AuthSettings

MAX_REMEMBERED = 10_000


class DoorVerifier(TokenVerifier):
    """Remembers for `cache_s` what it found, and forgets it when something is signed out here.

    While the database is away, a token that is not remembered is not let in: `Unavailable`.
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
        super().__init__(settings, keys, clock=clock, is_revoked=self._look_up)
        self._db = db
        self._cache_s = cache_s
        self._monotonic = monotonic
        self._remembered: dict[str, tuple[Principal, float]] = {}
        self._generation = 0

    async def verify(self, token: str | None) -> Principal:
        """As the base class; a token may outlive its end by `cache_s`."""
        if token is None:
            return await super().verify(token)
        now_s = self._monotonic()
        found = self._remembered.get(token)
        if found is not None and now_s < found[1]:
            return found[0]
        generation = self._generation
        principal = await super().verify(token)
        # What was asked before a sign-out and answered after it is old news.
        if generation == self._generation:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[token] = (principal, now_s + self._cache_s)
        return principal

    def forget(self) -> None:
        """Ask anew about every token; call it after whatever revokes one is committed."""
        self._generation += 1
        self._remembered.clear()

    async def _look_up(self, token_id: str) -> bool:
        try:
            token_uuid = UUID(token_id)
        except ValueError:
            return True
        async with self._db.reading() as session:
            return not await is_token_live(session, token_uuid)
