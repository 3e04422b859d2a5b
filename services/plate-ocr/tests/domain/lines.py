"""Lines of text as a recogniser would give them."""

from plate_ocr.domain.values import Character, Point, TextLine, TextReading


def reading(printed: str, confidence: float = 0.99) -> TextReading:
    text = "".join(c for c in printed.upper() if c.isascii() and c.isalnum())
    return TextReading(tuple(Character(c, confidence) for c in text), printed)


def line(
    printed: str, x: float, y: float, height: float = 40, width: float = 0, confidence: float = 0.99
) -> TextLine:
    wide = width or height * 0.6 * max(len(printed), 1)
    corners = (Point(x, y), Point(x + wide, y), Point(x + wide, y + height), Point(x, y + height))
    return TextLine(corners, reading(printed, confidence))
