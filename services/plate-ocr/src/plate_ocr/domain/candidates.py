"""What may be a plate, before it is decided which of them are."""

from dataclasses import dataclass

from plate_ocr.domain.values import Character, TextLine

_NAMED = 0.05
_JOINED = 0.03


@dataclass(frozen=True, slots=True)
class Candidate:
    """Lines that may be a plate together, in reading order. `likeness`: 0 to 1. `rows` joins into raw_text."""

    lines: tuple[TextLine, ...]
    characters: tuple[Character, ...]
    rows: tuple[str, ...]
    likeness: float
    region: str = ""
    code_length: int = 0

    @property
    def text(self) -> str:
        """Code and number together."""
        return "".join(c.text for c in self.characters)

    @property
    def confidence(self) -> float:
        """Mean over the characters, 0 to 1."""
        return sum(c.confidence for c in self.characters) / max(len(self.characters), 1)

    @property
    def rank(self) -> float:
        """What decides between candidates that share a line.

        Lines that fit together explain more than one of them alone, and a region's name that fits in more still.
        """
        explained = _NAMED * bool(self.region) + _JOINED * (len(self.lines) - 1)
        return self.likeness * self.confidence + explained
