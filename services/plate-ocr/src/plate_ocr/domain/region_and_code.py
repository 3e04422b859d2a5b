"""What follows from the patterns that a text follows: the region, and where code and number part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.compiled_grammars import PLACES, CompiledGrammars, ShapeTable
from plate_ocr.domain.grammar import GENERIC, CodePlace

MIN_REGION_CONFIDENCE = 0.5
"""Below it, a region that is named is more often wrong than right."""
_RIVAL_SPLIT = 0.02  # share of the best from which another way to part code and number is a rival
_MAX_NUMBER = 5  # digits of a number that stands beside a code, in the Emirates and the Gulf states
_SEEN_CUT = 0.5
_TOLD = 0.05  # of a country by the region network: less is what it gives to everything
_USUAL = 0.15  # weight from which a pattern is no rarity in its region


@dataclass(frozen=True, slots=True)
class Split:
    """`code`: places of the code in reading order, empty when it is not known. `guess`: what it would be.

    `confidence`: 0 to 1, that code and number part there.
    """

    code: tuple[int, ...]
    guess: tuple[int, ...]
    confidence: float


def region_of(
    worth: NDArray[np.float64],
    table: ShapeTable,
    grammars: CompiledGrammars,
    region_prior: Mapping[str, float],
) -> tuple[str, float]:
    """The region that most of the text's worth comes from, else the country, else none; with its probability.

    `worth`: (M,), the share of each owner of `table`, sum 1. What `GENERIC` has of it belongs to the regions that
    the region network names: a plate may follow no pattern of the region it is from. A country that it does
    not name is told only when no other has such plates: that its rivals have more formats is no sign for it.
    """
    by_region = np.bincount(table.owner_regions, weights=worth, minlength=len(grammars.regions))
    shares = {name: float(s) for name, s in zip(grammars.regions, by_region, strict=True) if s > 0}
    unbound = shares.pop(GENERIC, 0.0)
    enabled = {*grammars.regions, *grammars.countries} - {GENERIC}
    for name, probability in region_prior.items():
        if name in enabled:
            shares[name] = shares.get(name, 0.0) + unbound * probability
    by_country: dict[str, float] = {}
    for name, share in shares.items():
        by_country[_country(name)] = by_country.get(_country(name), 0.0) + share
    for candidates in (shares, by_country):
        best = max(candidates, key=lambda name: (candidates[name], name), default="")
        if best and candidates[best] >= MIN_REGION_CONFIDENCE:
            told = sum(p for name, p in region_prior.items() if _country(name) == _country(best))
            if told < _TOLD and _has_rivals(_country(best), worth, table, grammars):
                return "", 0.0
            return best, min(candidates[best], 1.0)
    return "", 0.0


def split_of(
    worth: NDArray[np.float64],
    table: ShapeTable,
    grammars: CompiledGrammars,
    region: str,
    cuts: Sequence[float],
    text: Sequence[int],
) -> Split:
    """Where code and number part in the patterns of the region, or of all when it is not known.

    Between digits the parting is seen, or only one fits and the digits are too many for a number alone: otherwise a
    code that the reader missed would be made of the number's first digits. `worth`: as in `region_of`. `cuts`:
    between each two characters, how surely the plate parts there. `text`: indices of `ALPHABET`, in reading order.
    """
    by_code: dict[tuple[int, ...], float] = {}
    for owner in np.flatnonzero(worth * grammars.is_within(region)[table.owner_regions]):
        code = _code_places(table, int(table.owner_shapes[owner]))
        by_code[code] = by_code.get(code, 0.0) + float(worth[owner])
    total = sum(by_code.values())
    codes = {code: share / total for code, share in by_code.items() if code}
    if not codes:
        return Split((), (), 0.0)
    best = max(codes, key=lambda code: (codes[code], code))
    cut = cuts[(best[-1] + 1 if best[0] == 0 else best[0]) - 1]
    rivals = [code for code, share in codes.items() if code != best and share >= _RIVAL_SPLIT * codes[best]]
    may_be_a_number = len(text) <= _MAX_NUMBER
    is_guess = cut < _SEEN_CUT and (bool(rivals) or may_be_a_number) and all(i < 10 for i in text)
    is_known = codes[best] >= 0.5 and not is_guess
    return Split(best if is_known else (), best, codes[best] if is_known else min(codes[best], 0.5))


def _code_places(table: ShapeTable, shape: int) -> tuple[int, ...]:
    length, count = table.classes.shape[1], int(table.code_lengths[shape])
    place = PLACES[table.places[shape]]
    if place is CodePlace.WHOLE:
        return ()
    return tuple(range(count)) if place is CodePlace.FIRST else tuple(range(length - count, length))


def likeliest_pattern(
    worth: NDArray[np.float64], table: ShapeTable, grammars: CompiledGrammars, region: str
) -> str:
    """Of the region's patterns, or of all when it has none here, the one with most of the worth: "br: Mercosul"."""
    within = worth * grammars.is_within(region)[table.owner_regions]
    owner = int((within if within.any() else worth).argmax())
    name = grammars.pattern_names[table.owner_patterns[owner]]
    return f"{grammars.regions[table.owner_regions[owner]]}: {name}"


def _has_rivals(
    country: str, worth: NDArray[np.float64], table: ShapeTable, grammars: CompiledGrammars
) -> bool:
    usual = table.owner_regions[(worth > 0) & (table.owner_weights >= _USUAL)]
    return any(grammars.countries[region] != country for region in set(usual.tolist()))


def _country(region: str) -> str:
    return region.partition("-")[0]
