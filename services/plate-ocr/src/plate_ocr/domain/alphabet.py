"""The characters of plates, and the recognizer's classes."""

import numpy as np
from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = 0
"""CTC's class for "no character"; the characters follow it in the order of `ALPHABET`."""
SEPARATOR = len(ALPHABET) + 1
"""The recognizer's class for a visible gap between code and number."""
CLASS_COUNT = SEPARATOR + 1

DIGITS = frozenset("0123456789")
LETTERS = frozenset(ALPHABET) - DIGITS

_INDEX = {character: index for index, character in enumerate(ALPHABET)}

# Pairs that typefaces, dirt and few pixels make indistinguishable: letters and digits, between which the position on
# the plate decides, and the round letters.
_PAIRS = ("O0", "Q0", "D0", "OQ", "OD", "I1", "L1", "B8", "S5", "Z2", "G6", "A4")


def index_of(character: str) -> int:
    """Index in `ALPHABET`. Raises: KeyError: not one of its characters."""
    return _INDEX[character]


def _look_alike_table() -> NDArray[np.bool_]:
    table = np.eye(len(ALPHABET), dtype=np.bool_)
    for pair in _PAIRS:
        first, second = (_INDEX[character] for character in pair)
        table[first, second] = table[second, first] = True
    table.flags.writeable = False
    return table


LOOK_ALIKES = _look_alike_table()
"""(36, 36), symmetric: whether two characters are confused with each other. Each is its own look-alike."""


RowPosterior = NDArray[np.float32]
"""The recognizer's output for one row of a plate: (T, 38), a softmax over blank, `ALPHABET` and separator for each of T
frames from left to right."""
