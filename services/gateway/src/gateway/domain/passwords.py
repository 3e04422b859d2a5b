"""What a password must be like, and what the handlers need of a password hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class CountGuesses(Protocol):
    """Estimates how many guesses find a password, as a power of ten. `known`: words that a guesser tries first."""

    def __call__(self, password: str, known: Sequence[str]) -> float:
        """The power of ten."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Lengths in characters; the upper one bounds the work that one sign-in can cause. `min_guesses_log10`: the least
    number of guesses, as a power of ten.
    """

    min_chars: int
    max_chars: int
    min_guesses_log10: float
    count_guesses: CountGuesses

    def check(self, password: str, username: str) -> None:
        """Check a password that is to be set for that user.

        Raises:
            ValueError: with the reason.
        """
        if not self.min_chars <= len(password) <= self.max_chars:
            raise ValueError(f"must have {self.min_chars} to {self.max_chars} characters")
        if self.count_guesses(password, (username,)) < self.min_guesses_log10:
            raise ValueError("is too easy to guess: common, or made of the user name; use several words")


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
