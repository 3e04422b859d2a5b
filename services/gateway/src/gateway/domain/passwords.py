"""What a password must be like, and what the handlers need of a password hash."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Lengths in characters; the upper one bounds the work that one sign-in can cause."""

    min_chars: int
    max_chars: int

    def check(self, password: str) -> None:
        """Check a password that is to be set.

        Raises:
            ValueError: with the reason.
        """
        if not self.min_chars <= len(password) <= self.max_chars:
            raise ValueError(f"must have {self.min_chars} to {self.max_chars} characters")


class PasswordHasher(Protocol):
    """A slow, salted hash. Both methods run on a thread of their own."""

    async def hash(self, password: str) -> str:
        """The text to store."""
        ...

    async def verify(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """Whether the password is right, and a new hash where the stored one has outdated parameters.

        None for the hash (no such user) takes the same time and is never right.
        """
        ...
