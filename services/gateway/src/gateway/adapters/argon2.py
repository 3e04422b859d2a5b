"""Password hashes with Argon2id (RFC 9106)."""

import asyncio
import secrets

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher


class Argon2PasswordHasher:
    """Hashes on threads, at most `max_concurrent` at a time, since each hash takes memory and time by design.

    `memory_kib`, `passes` and `lanes` are the parameters m, t and p of RFC 9106.
    """

    def __init__(self, *, memory_kib: int, passes: int, lanes: int, max_concurrent: int) -> None:
        hasher = Argon2Hasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._hash = PasswordHash((hasher,))
        self._slots = asyncio.Semaphore(max_concurrent)
        # Checked where there is no such user, so that the time of the answer does not reveal which names exist.
        self._unknown_user_hash = self._hash.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """See `PasswordHasher`."""
        async with self._slots:
            return await asyncio.to_thread(self._hash.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """See `PasswordHasher`."""
        async with self._slots:
            is_right, new_hash = await asyncio.to_thread(
                self._hash.verify_and_update, password, password_hash or self._unknown_user_hash
            )
        return (is_right, new_hash) if password_hash is not None else (False, None)
