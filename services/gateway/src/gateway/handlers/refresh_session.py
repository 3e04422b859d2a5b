"""A refresh token is exchanged for new tokens, once."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.sessions import RefreshOutcome, judge_refresh
from gateway.handlers.issue_tokens import TokenIssuer, TokenPair, refresh_hash
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import Unauthenticated
from kit.logging import Logger


@dataclass(frozen=True, slots=True)
class RefreshSession:
    """`forget` is called after tokens were revoked."""

    db: Database
    issuer: TokenIssuer
    clock: Clock
    logger: Logger
    forget: Callable[[], None]

    async def __call__(self, refresh_token: str) -> TokenPair:
        """New tokens in the same session; the old refresh token is used up.

        Raises:
            Unauthenticated: not a token of ours, expired, or used before, which ends the session.
        """
        now, signer = self.clock.now(), await self.issuer.signer()
        token_hash = refresh_hash(refresh_token)
        outcome, tokens, session_id = RefreshOutcome.ENDED, None, None
        async with self.db.transaction() as session:
            known = await sessions.find_refresh(session, token_hash)
            if known is not None:
                outcome, session_id = judge_refresh(known.state, now), known.session_id
                user = await users.find_user(session, known.user_id)
                if outcome is RefreshOutcome.REUSED:
                    await sessions.end_session(session, known.session_id, now)
                elif outcome is RefreshOutcome.ROTATE and user is not None:
                    await sessions.use_refresh(session, token_hash, now)
                    await sessions.prolong_session(session, known.session_id, self.issuer.session_end(now))
                    tokens = await self.issuer.issue(session, user, known.session_id, now, signer)
        if outcome is RefreshOutcome.REUSED:
            self.forget()
            self.logger.warning("refresh_reused", session_id=str(session_id))
            raise Unauthenticated(
                "This refresh token was used before: the session has ended, sign in again.",
                code="refresh_reused",
            )
        if tokens is None:
            raise Unauthenticated("The refresh token is not valid: sign in again.", code="refresh_invalid")
        return tokens
