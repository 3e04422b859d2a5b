"""Access tokens that were issued while the database could take no writes, kept in memory."""

from datetime import datetime
from uuid import UUID

from kit.clock import Clock

MAX_TOKENS = 1_000
"""More sign-ins than that during one outage end the oldest."""


class UnstoredTokens:
    """Accepted by this process alone, until they expire, it restarts, or something is revoked here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[UUID, tuple[int, datetime]] = {}

    def add(self, token_id: UUID, user_id: int, expires_at: datetime) -> None:
        """Accept the token from now on."""
        self._tokens[token_id] = (user_id, expires_at)
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))

    def user_of(self, token_id: UUID) -> int | None:
        """The user that the token was issued to; None if it was not issued here or is no longer valid."""
        user_id, expires_at = self._tokens.get(token_id, (None, None))
        return user_id if expires_at is not None and expires_at > self._clock.now() else None

    def remove(self, token_id: UUID) -> bool:
        """Refuse the token from now on; False if it is none of these."""
        return self._tokens.pop(token_id, None) is not None

    def clear(self) -> None:
        """Refuse all of them: their users sign in again."""
        self._tokens.clear()
