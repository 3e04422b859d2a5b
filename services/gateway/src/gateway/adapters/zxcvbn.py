"""How easily a password is guessed, by zxcvbn: lists of common passwords, names and words, and patterns of keys.

D. Wheeler, "zxcvbn: low-budget password strength estimation", USENIX Security 2016.
"""

from collections.abc import Sequence

MAX_CHARS = 64
"""Of longer passwords only the beginning is rated: the time grows with the square of the length."""


def guesses_log10(password: str, known: Sequence[str]) -> float:
    """See `CountGuesses`."""
    # Imported here: its lists take 15 MB, and are needed only when a password is set.
    from zxcvbn import zxcvbn  # type: ignore[import-untyped] # noqa: PLC0415 - ships no types

    return float(zxcvbn(password[:MAX_CHARS], user_inputs=list(known))["guesses_log10"])
