"""Region grammars: the formats of the plates of a region, as data.

A file has regions, a region has patterns:

    [regions.ae-fu]
    share = 0.03               # among the regions of the same country; 1 when left out
    letters = "A-HJ-NP-Z"      # what `l` means; A-Z when left out
    patterns = [
      { name = "car", weight = 0.9, code = "[A-G]", number = "d{1,5}" },
      { name = "old car", weight = 0.3, code = "[A-C]", number = "d{1,5}", order = "number/code" },
      { name = "export", weight = 0.05, text = "EXPd{3}" },
    ]

A pattern has either `text`, or `code` and `number`. `order` says how the two are arranged: "code number" (when left
out), "number code", or "number/code": the number in the row above the code; `code` comes first in the reported text
then. Between code and number there is a visible gap or a new row. `weight` is how common the pattern is in its
region, above 0, at most 1. `needs_digit = true` excludes texts of letters only.

In an expression

    d        a digit                          A 7 …    itself (capitals and digits)
    l        a letter of the region           [A-F2]   one of the set
    x        a digit or a letter of the region
    -        a visible gap between parts
    (…|…)    one or the other                 {2} {1,5} ?    how often the element before it
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from plate_ocr.domain.alphabet import ALPHABET, DIGITS, LETTERS, index_of

GENERIC = "generic"
"""The name for patterns that plates of any region may follow."""
MAX_LENGTH = 12
"""Characters of a plate. India's longest have 11; more is a line of text."""
_MAX_EXPANSIONS = 20_000  # an operator's pattern with too many is an error, and not expanded for minutes

_REGION = re.compile(r"^[a-z]{2}(-[a-z0-9]{1,3})?$")
_REPEAT = re.compile(r"\?|\{(\d{1,2})(?:,(\d{1,2}))?\}")
_GAP = 0

Expansion = tuple[int, ...]
"""One fixed sequence: a bit set over `ALPHABET` for each position, 0 for a gap."""


class GrammarError(ValueError):
    """A grammar file is wrong. `field`: where, as a path into the file."""

    def __init__(self, file: str, field: str, reason: str) -> None:
        super().__init__(f"{file}: {field}: {reason}" if field else f"{file}: {reason}")
        self.file, self.field, self.reason = file, field, reason


class CodePlace(Enum):
    """Where the code is; the values are those of `order` in the files. WHOLE: the pattern has no code."""

    WHOLE = ""
    FIRST = "code number"
    LAST = "number code"
    BELOW = "number/code"


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern at one length, in reading order.

    `classes`: a bit set over `ALPHABET` for each position. `gaps`: positions with a gap before them.
    """

    classes: tuple[int, ...]
    gaps: tuple[int, ...]
    place: CodePlace = CodePlace.WHOLE
    code_length: int = 0


@dataclass(frozen=True, slots=True)
class Pattern:
    """`weight`: above 0, at most 1, how common it is in its region."""

    name: str
    weight: float
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class RegionGrammar:
    """`region`: ISO 3166, lower case, or `GENERIC`. `share`: among the regions of its country, any unit."""

    region: str
    share: float
    patterns: tuple[Pattern, ...]

    @property
    def country(self) -> str:
        return self.region.partition("-")[0]


def bits(characters: str | frozenset[str]) -> int:
    """The characters as a bit set over `ALPHABET`. Raises: KeyError: not one of them."""
    return sum({1 << index_of(character) for character in characters})


_DIGIT_BITS, _LETTER_BITS = bits(DIGITS), bits(LETTERS)


def parse_grammars(text: str, file: str) -> tuple[RegionGrammar, ...]:
    """The regions of a grammar file. `file`: its name, for the errors.

    Raises: GrammarError: with the field that is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GrammarError(file, "", str(error)) from error
    reader = _Reader(file)
    reader.only_keys(document, "", {"regions"})
    regions = reader.table(document, "regions", "")
    return tuple(reader.region(name, reader.table(regions, name, "regions")) for name in regions)


def parse_expression(text: str, letters: int = _LETTER_BITS) -> tuple[Expansion, ...]:
    """All fixed sequences that an expression matches. `letters`: the bit set that `l` means.

    Raises: ValueError: with the place and the reason.
    """
    parser = _Expression(text, letters)
    found = parser.alternatives()
    if parser.place < len(text):
        raise ValueError(f"{text!r} at {parser.place + 1}: this closes nothing that was opened")
    return _merged(found)


class _Reader:
    """Reads a parsed document; errors name the field that is wrong."""

    def __init__(self, file: str) -> None:
        self.file = file

    def error(self, field: str, reason: str) -> GrammarError:
        return GrammarError(self.file, field, reason)

    def region(self, name: str, table: Mapping[str, Any]) -> RegionGrammar:
        field = f"regions.{name}"
        if name != GENERIC and not _REGION.match(name):
            raise self.error(field, 'a region is named like "de" or "us-tx"')
        self.only_keys(table, field, {"share", "letters", "patterns"})
        share = self.number(table, "share", field, default=1.0)
        letters = self.letters(table, field)
        patterns = table.get("patterns")
        if not isinstance(patterns, list) or not patterns:
            raise self.error(f"{field}.patterns", "a list of at least one pattern is needed")
        found = tuple(self.pattern(p, f"{field}.patterns[{i}]", letters) for i, p in enumerate(patterns))
        names = [pattern.name for pattern in found]
        for i, pattern_name in enumerate(names):
            if pattern_name in names[:i]:
                raise self.error(f"{field}.patterns[{i}].name", f"{pattern_name!r} occurs twice")
        return RegionGrammar(name, share, found)

    def pattern(self, table: object, field: str, letters: int) -> Pattern:
        if not isinstance(table, dict):
            raise self.error(field, "a table is needed")
        self.only_keys(table, field, {"name", "weight", "text", "code", "number", "order", "needs_digit"})
        name = self.text(table, "name", field)
        weight = self.number(table, "weight", field)
        if weight > 1:
            raise self.error(f"{field}.weight", "at most 1")
        if ("text" in table) == ("code" in table) or ("code" in table) != ("number" in table):
            raise self.error(field, "either text, or code and number")
        if "text" in table:
            if "order" in table:
                raise self.error(f"{field}.order", "only code and number have an order")
            shapes = tuple(_shape(e) for e in self.expression(table, "text", field, letters))
        else:
            shapes = self.parts(table, field, letters)
        if table.get("needs_digit", False) is True:
            shapes = tuple(with_digit for shape in shapes for with_digit in _with_digit(shape))
        elif "needs_digit" in table and table["needs_digit"] is not False:
            raise self.error(f"{field}.needs_digit", "true or false")
        if any(not 1 <= len(shape.classes) <= MAX_LENGTH for shape in shapes):
            raise self.error(field, f"a plate has 1 to {MAX_LENGTH} characters")
        return Pattern(name, weight, shapes)

    def parts(self, table: Mapping[str, Any], field: str, letters: int) -> tuple[Shape, ...]:
        order = table.get("order", CodePlace.FIRST.value)
        places = {place.value: place for place in CodePlace if place is not CodePlace.WHOLE}
        if order not in places:
            raise self.error(f"{field}.order", f"one of {', '.join(map(repr, places))}")
        codes = self.expression(table, "code", field, letters)
        numbers = self.expression(table, "number", field, letters)
        if len(codes) * len(numbers) > _MAX_EXPANSIONS:
            raise self.error(field, f"it matches more than {_MAX_EXPANSIONS} sequences")
        if not all(codes) or not all(numbers) or any(_GAP in part for part in (*codes, *numbers)):
            raise self.error(field, "code and number have characters and no gaps of their own")
        return tuple(_shape_of_parts(code, number, places[order]) for code in codes for number in numbers)

    def expression(
        self, table: Mapping[str, Any], key: str, field: str, letters: int
    ) -> tuple[Expansion, ...]:
        text = self.text(table, key, field)
        try:
            return parse_expression(text, letters)
        except ValueError as error:
            raise self.error(f"{field}.{key}", str(error)) from error

    def letters(self, table: Mapping[str, Any], field: str) -> int:
        if "letters" not in table:
            return _LETTER_BITS
        try:
            found = _set_bits(self.text(table, "letters", field))
        except ValueError as error:
            raise self.error(f"{field}.letters", str(error)) from error
        if found & ~_LETTER_BITS:
            raise self.error(f"{field}.letters", "capital letters only")
        return found

    def table(self, table: Mapping[str, Any], key: str, field: str) -> Mapping[str, Any]:
        found = table.get(key)
        if not isinstance(found, dict):
            raise self.error(f"{field}.{key}".lstrip("."), "a table is needed")
        return found

    def text(self, table: Mapping[str, Any], key: str, field: str) -> str:
        found = table.get(key)
        if not isinstance(found, str) or not found:
            raise self.error(f"{field}.{key}", "a text is needed")
        return found

    def number(
        self, table: Mapping[str, Any], key: str, field: str, *, default: float | None = None
    ) -> float:
        found = table.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < float("inf"):
            raise self.error(f"{field}.{key}", "a number above 0 is needed")
        return float(found)

    def only_keys(self, table: Mapping[str, Any], field: str, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self.error(
                    f"{field}.{key}".lstrip("."), f"unknown; known are {', '.join(sorted(known))}"
                )


class _Expression:
    """Recursive descent over one expression."""

    def __init__(self, text: str, letters: int) -> None:
        self.text, self.place = text, 0
        self.classes = {"d": _DIGIT_BITS, "l": letters, "x": _DIGIT_BITS | letters, "-": _GAP}

    def alternatives(self) -> list[Expansion]:
        found = self.sequence()
        while self.peek() == "|":
            self.place += 1
            found += self.sequence()
        return found

    def sequence(self) -> list[Expansion]:
        found: list[Expansion] = [()]
        while self.peek() not in {"", "|", ")"}:
            atom = self.atom()
            minimum, maximum = self.repeat()
            repeated = [
                run for count in range(minimum, maximum + 1) for run in self.product([()], *[atom] * count)
            ]
            found = self.product(found, repeated)
        return found

    def product(self, *parts: Sequence[Expansion]) -> list[Expansion]:
        found: list[Expansion] = [()]
        for part in parts:
            if len(found) * len(part) > _MAX_EXPANSIONS:
                raise ValueError(f"{self.text!r} matches more than {_MAX_EXPANSIONS} sequences")
            found = [head + tail for head in found for tail in part]
        return found

    def atom(self) -> Sequence[Expansion]:
        character = self.peek()
        start = self.place
        self.place += 1
        if character == "(":
            found = _merged(self.alternatives())
            if self.peek() != ")":
                raise ValueError(f"{self.text!r} at {start + 1}: this is never closed")
            self.place += 1
            return found
        if character == "[":
            end = self.text.find("]", self.place)
            if end < 0:
                raise ValueError(f"{self.text!r} at {start + 1}: this is never closed")
            self.place = end + 1
            return [(_set_bits(self.text[start + 1 : end]),)]
        if character in self.classes:
            return [(self.classes[character],)]
        if character in ALPHABET:
            return [(bits(character),)]
        raise ValueError(
            f"{self.text!r} at {start + 1}: {character!r} is unknown; see the syntax in domain/grammar.py"
        )

    def repeat(self) -> tuple[int, int]:
        found = _REPEAT.match(self.text, self.place)
        if found is None:
            return 1, 1
        self.place = found.end()
        if found[0] == "?":
            return 0, 1
        least = int(found[1])
        most = int(found[2] or least)
        if not least <= most <= MAX_LENGTH:
            raise ValueError(f"{self.text!r}: {found[0]} is no range up to {MAX_LENGTH}")
        return least, most

    def peek(self) -> str:
        return self.text[self.place : self.place + 1]


def _set_bits(text: str) -> int:
    """`A-F2` as a bit set. Raises: ValueError: empty, or not of the alphabet."""
    found = 0
    rest = text
    while rest:
        span = re.match(r"([A-Z0-9])-([A-Z0-9])|[A-Z0-9]", rest)
        if span is None:
            raise ValueError(f"[{text}]: {rest[0]!r} is neither a capital nor a digit")
        first, last = (span[1], span[2]) if span[1] else (span[0], span[0])
        if first > last:
            raise ValueError(f"[{text}]: {first}-{last} runs backwards")
        found |= bits(ALPHABET[index_of(first) : index_of(last) + 1])
        rest = rest[span.end() :]
    if not found:
        raise ValueError("[]: the set is empty")
    return found


def _merged(sequences: Sequence[Expansion]) -> tuple[Expansion, ...]:
    """Sequences that differ in one position only, merged: AG, AI and AR become A[GIR], which matches the same."""
    found = list(dict.fromkeys(sequences))
    for place in reversed(range(max(map(len, found), default=0))):
        together: dict[tuple[Expansion, Expansion | None], int] = {}
        for sequence in found:
            if place < len(sequence) and sequence[place] != _GAP:
                key = (sequence[:place], sequence[place + 1 :])
                together[key] = together.get(key, 0) | sequence[place]
            else:
                together[sequence, None] = 0
        found = [head if tail is None else (*head, union, *tail) for (head, tail), union in together.items()]
    return tuple(dict.fromkeys(found))


def _shape(expansion: Expansion) -> Shape:
    """Gaps at the ends and repeated ones are ignored."""
    classes: list[int] = []
    gaps: set[int] = set()
    for c in expansion:
        if c == _GAP:
            gaps.add(len(classes))
        else:
            classes.append(c)
    return Shape(tuple(classes), tuple(sorted(gaps - {0, len(classes)})))


def _shape_of_parts(code: Expansion, number: Expansion, place: CodePlace) -> Shape:
    first, second = (code, number) if place is CodePlace.FIRST else (number, code)
    return Shape(first + second, (len(first),), place, len(code))


def _with_digit(shape: Shape) -> Sequence[Shape]:
    """The shape as disjoint shapes by the position of their first digit."""
    found = []
    for place, c in enumerate(shape.classes):
        before = tuple(other & _LETTER_BITS for other in shape.classes[:place])
        if not all(before):
            break
        if c & _DIGIT_BITS:
            classes = (*before, c & _DIGIT_BITS, *shape.classes[place + 1 :])
            found.append(Shape(classes, shape.gaps, shape.place, shape.code_length))
    return found
