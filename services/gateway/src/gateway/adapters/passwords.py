"""Password hashes: Argon2id."""

import asyncio
import secrets

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from gateway.settings import SignInSettings


class Passwords:
    """Hashes and checks, on threads and a few at a time, for each takes memory and time on purpose."""

    def __init__(self, settings: SignInSettings) -> None:
        hasher = Argon2Hasher(
            time_cost=settings.hash_passes,
            memory_cost=settings.hash_memory_kib,
            parallelism=settings.hash_lanes,
        )
        self._hash = PasswordHash((hasher,))
        self._turn = asyncio.Semaphore(settings.hashes_at_once)
        # Checked where there is no such user, so that the time taken does not tell which names exist.
        self._nobodys = self._hash.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The text to store."""
        async with self._turn:
            return await asyncio.to_thread(self._hash.hash, password)

    async def check(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """Whether the password is right, and a fresh hash where the stored one is of older parameters.

        None for the hash costs the same time and is never right.
        """
        async with self._turn:
            is_right, fresh = await asyncio.to_thread(
                self._hash.verify_and_update, password, password_hash or self._nobodys
            )
        return (is_right, fresh) if password_hash is not None else (False, None)
