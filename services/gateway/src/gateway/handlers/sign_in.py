"""A user name and a password become tokens."""

from dataclasses import dataclass

from gateway.adapters.passwords import Passwords
from gateway.domain.names import name_key
from gateway.guesses import GuessCounter
from gateway.handlers.issue_tokens import TokenIssuer, TokenPair
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import Unauthenticated
from kit.ids import uuid7
from kit.logging import Logger


@dataclass(frozen=True, slots=True)
class SignIn:
    """`max_password_chars` bounds the work that a guess can cause."""

    db: Database
    passwords: Passwords
    guesses: GuessCounter
    issuer: TokenIssuer
    clock: Clock
    logger: Logger
    max_password_chars: int

    async def __call__(self, username: str, password: str, client: str) -> TokenPair:
        """Tokens for the user, in a new session. `client` is the address that guesses are counted for.

        Raises:
            Unauthenticated: no such user, wrong password, or disabled; all three are told alike.
            RateLimited: too many wrong passwords.
        """
        pair = (name_key(username)[:200], client)
        self.guesses.check(pair)
        async with self.db.reading() as session:
            found = await users.find_credentials(session, username)
        user, stored_hash = found or (None, None)
        is_right, fresh_hash = await self.passwords.check(password[: self.max_password_chars], stored_hash)
        if len(password) > self.max_password_chars:
            is_right = False
        if not is_right or user is None or not user.is_active:
            self.guesses.count_failure(pair)
            self.logger.warning("sign_in_refused", username=username[:64], client=client)
            raise Unauthenticated("The user name or the password is wrong.", code="credentials_invalid")
        self.guesses.clear(pair)
        tokens = await self._start_session(user.user_id, stored_hash, fresh_hash)
        if tokens is None:
            return await self(username, password, client)
        self.logger.info("signed_in", user_id=user.user_id, client=client)
        return tokens

    async def _start_session(
        self, user_id: int, checked_hash: str | None, fresh_hash: str | None
    ) -> TokenPair | None:
        """None when the password has been changed since it was checked: what was right then may be wrong now."""
        now, session_id, signer = self.clock.now(), uuid7(), await self.issuer.signer()
        async with self.db.transaction() as session:
            current = await users.find_user(session, user_id, for_update=True)
            if current is None or not current.is_active:
                raise Unauthenticated("The user name or the password is wrong.", code="credentials_invalid")
            if await users.find_password_hash(session, user_id) != checked_hash:
                return None
            if fresh_hash is not None:
                await users.change_user(session, user_id, now=now, password_hash=fresh_hash)
            await sessions.start_session(
                session,
                session_id=session_id,
                user_id=user_id,
                now=now,
                expires_at=self.issuer.session_end(now),
            )
            return await self.issuer.issue(session, current, session_id, now, signer)
