"""Names of users, roles and permissions."""

import re
import unicodedata

MAX_NAME_CHARS = 64
_PERMISSION = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z", re.ASCII)


def clean_name(text: str) -> str:
    """A user's or role's name in the normal form that is stored (NFC).

    Raises:
        ValueError: with the reason.
    """
    name = unicodedata.normalize("NFC", text)
    if name != name.strip() or not name:
        raise ValueError("must not be empty, or begin or end with a space")
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"must have at most {MAX_NAME_CHARS} characters")
    if any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for character in name
    ):
        raise ValueError("must not hold control or invisible characters")
    return name


def name_key(name: str) -> str:
    """The key that names differing only in case or form share: `Alice` and `alice` are the same user."""
    return unicodedata.normalize("NFKC", name).casefold()


def clean_permission_name(text: str) -> str:
    """A permission's name.

    Raises:
        ValueError: with the reason.
    """
    if not _PERMISSION.match(text):
        raise ValueError("must be 1 to 64 of a-z, 0-9, _ . : - and begin with a letter or digit")
    return text
