"""Exchange a refresh token for new tokens, once."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.sessions import RefreshOutcome, decide_refresh
from gateway.handlers.issue_tokens import TokenIssuer, TokenPair, refresh_hash
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import Unauthenticated
from kit.logging import Logger


@dataclass(frozen=True, slots=True)
class RefreshSession:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    issuer: TokenIssuer
    clock: Clock
    logger: Logger
    clear_token_cache: Callable[[], None]

    async def __call__(self, refresh_token: str) -> TokenPair:
        """New tokens in the same session; the refresh token cannot be used again.

        Raises:
            Unauthenticated: the token was not issued here, has expired, or was used before, which ends the session.
        """
        now, key = self.clock.now(), await self.issuer.current_key()
        token_hash = refresh_hash(refresh_token)
        outcome, tokens, session_id = RefreshOutcome.ENDED, None, None
        async with self.db.transaction() as session:
            stored = await sessions.find_refresh_token(session, token_hash)
            if stored is not None:
                outcome, session_id = decide_refresh(stored.state, now), stored.session_id
                user = await users.find_user(session, stored.user_id)
                if outcome is RefreshOutcome.REUSED:
                    await sessions.end_session(session, stored.session_id, now)
                elif outcome is RefreshOutcome.ROTATE and user is not None:
                    await sessions.mark_refresh_token_used(session, token_hash, now)
                    await sessions.extend_session(session, stored.session_id, self.issuer.session_expiry(now))
                    tokens = await self.issuer.issue(session, user, stored.session_id, now, key)
        if outcome is RefreshOutcome.REUSED:
            self.clear_token_cache()
            self.logger.warning("refresh_reused", session_id=str(session_id))
            raise Unauthenticated(
                "This refresh token was used before: the session has ended, sign in again.",
                code="refresh_reused",
            )
        if tokens is None:
            raise Unauthenticated("The refresh token is not valid: sign in again.", code="refresh_invalid")
        return tokens
