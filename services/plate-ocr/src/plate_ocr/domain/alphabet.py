"""The characters of a plate, and what the recogniser says of them."""

import numpy as np
from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = 0
"""CTC's class for "no character here"; the characters follow it in the order of `ALPHABET`."""
SEPARATOR = len(ALPHABET) + 1
"""A visible gap between code and number; the recogniser has a class of its own for it."""
CLASS_COUNT = SEPARATOR + 1

DIGITS = frozenset("0123456789")
LETTERS = frozenset(ALPHABET) - DIGITS

_INDEX = {character: index for index, character in enumerate(ALPHABET)}

# Pairs that lettering, dirt and few pixels turn into one another across the border of letters and digits, where
# the position on the plate decides, and the round letters among themselves.
_PAIRS = ("O0", "Q0", "D0", "OQ", "OD", "I1", "L1", "B8", "S5", "Z2", "G6", "A4")


def index_of(character: str) -> int:
    """Place in `ALPHABET`. Raises: KeyError: not one of its characters."""
    return _INDEX[character]


def _alike() -> NDArray[np.bool_]:
    table = np.eye(len(ALPHABET), dtype=np.bool_)
    for pair in _PAIRS:
        first, second = (_INDEX[character] for character in pair)
        table[first, second] = table[second, first] = True
    table.flags.writeable = False
    return table


LOOK_ALIKES = _alike()
"""(36, 36), symmetric: whether two characters are taken for each other. Each is its own look-alike."""


RowPosterior = NDArray[np.float32]
"""What the recogniser makes of one row of a plate: (T, 38), a softmax over blank, `ALPHABET` and separator for each of
T frames from left to right."""
