"""Names of users, roles and permissions."""

import re
import unicodedata

MAX_NAME_CHARS = 64
# Scripts with letters that look like those of another one of them (Unicode Technical Standard 39, section 5.1: a
# name of a single script is not mixed). Names in Arabic or Chinese with Latin letters are common and not confused.
_LOOK_ALIKE_SCRIPTS = frozenset({"Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Coptic"})

# Small letters of Cyrillic, Greek and Armenian that look like a Latin one (from the confusables of Unicode Technical
# Standard 39), for names that are wholly of another script.
_LATIN_OF = str.maketrans(
    "аеорсухікјѕһԁԛԝьгптиαοινυρκτχεγωօսոցհյ",
    "aeopcyxikjshdqwbrnmuaoivupktxeywounghj",
)

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
    scripts = {script for character in name if (script := _script(character)) in _LOOK_ALIKE_SCRIPTS}
    if len(scripts) > 1:
        raise ValueError(f"must not mix letters of {' and '.join(sorted(scripts))}, which look alike")
    return name


def name_skeleton(name: str) -> str:
    """The key of the Latin name that this one looks like; its own key where it looks like none."""
    return name_key(name).translate(_LATIN_OF)


def _script(character: str) -> str:
    """The script of a letter, by the first word of its Unicode name; empty for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    return unicodedata.name(character, "").partition(" ")[0].capitalize()


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
