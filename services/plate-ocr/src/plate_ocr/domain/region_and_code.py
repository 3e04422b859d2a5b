"""What the followed patterns say about a text: its region, and where code and number are split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.compiled_grammars import PLACES, CompiledGrammars, ShapeTable
from plate_ocr.domain.grammar import GENERIC, CodePlace

MIN_REGION_CONFIDENCE = 0.5
"""Below it, the named region is more often wrong than right."""
_RIVAL_SPLIT = 0.02  # share of the best from which another split of code and number is a rival
_MAX_NUMBER_LENGTH = 5  # digits of a number with a code, in the Emirates and the Gulf states
_SEEN_CUT = 0.5
_MIN_PRIOR = 0.05  # of a country by the region network: it gives less to every region
_COMMON_WEIGHT = 0.15  # weight from which a pattern is common in its region


@dataclass(frozen=True, slots=True)
class Split:
    """`code`: positions of the code in reading order, empty where it is not known. `likeliest_code`: those of
    the likeliest code, also where it is not known. `confidence`: 0 to 1, that code and number are split there.
    """

    code: tuple[int, ...]
    likeliest_code: tuple[int, ...]
    confidence: float


def region_of(
    posterior: NDArray[np.float64],
    table: ShapeTable,
    grammars: CompiledGrammars,
    region_prior: Mapping[str, float],
) -> tuple[str, float]:
    """The region with most of the posterior, else the country, else none; with its probability.

    `posterior`: (M,), the share of each owner of `table`, sum 1. The share of `GENERIC` is given to the regions that
    the region network names: a plate may follow no pattern of its own region. A country that the network does not
    name is returned only when no other country has such plates: that others have more formats is no evidence for it.
    """
    by_region = np.bincount(table.owner_regions, weights=posterior, minlength=len(grammars.regions))
    shares = {name: float(s) for name, s in zip(grammars.regions, by_region, strict=True) if s > 0}
    generic_share = shares.pop(GENERIC, 0.0)
    enabled = {*grammars.regions, *grammars.countries} - {GENERIC}
    for name, probability in region_prior.items():
        if name in enabled:
            shares[name] = shares.get(name, 0.0) + generic_share * probability
    by_country: dict[str, float] = {}
    for name, share in shares.items():
        by_country[_country(name)] = by_country.get(_country(name), 0.0) + share
    for candidates in (shares, by_country):
        best = max(candidates, key=lambda name: (candidates[name], name), default="")
        if best and candidates[best] >= MIN_REGION_CONFIDENCE:
            prior_share = sum(p for name, p in region_prior.items() if _country(name) == _country(best))
            if prior_share < _MIN_PRIOR and _has_rivals(_country(best), posterior, table, grammars):
                return "", 0.0
            return best, min(candidates[best], 1.0)
    return "", 0.0


def split_of(
    posterior: NDArray[np.float64],
    table: ShapeTable,
    grammars: CompiledGrammars,
    region: str,
    cuts: Sequence[float],
    text: Sequence[int],
) -> Split:
    """Where code and number are split in the patterns of the region, or of all where it is not known.

    Between digits the gap has to be visible, or only one split fits and there are too many digits for a number alone:
    otherwise the number's first digits would become a code that the recognizer missed. `posterior`: as in `region_of`.
    `cuts`: between neighbouring characters, the probability of a gap. `text`: indices of `ALPHABET`, in reading order.
    """
    by_code: dict[tuple[int, ...], float] = {}
    for owner in np.flatnonzero(posterior * grammars.is_within(region)[table.owner_regions]):
        code = _code_places(table, int(table.owner_shapes[owner]))
        by_code[code] = by_code.get(code, 0.0) + float(posterior[owner])
    total = sum(by_code.values())
    codes = {code: share / total for code, share in by_code.items() if code}
    if not codes:
        return Split((), (), 0.0)
    best = max(codes, key=lambda code: (codes[code], code))
    cut = cuts[(best[-1] + 1 if best[0] == 0 else best[0]) - 1]
    rivals = [code for code, share in codes.items() if code != best and share >= _RIVAL_SPLIT * codes[best]]
    may_be_a_number = len(text) <= _MAX_NUMBER_LENGTH
    is_uncertain = cut < _SEEN_CUT and (bool(rivals) or may_be_a_number) and all(i < 10 for i in text)
    is_known = codes[best] >= 0.5 and not is_uncertain
    return Split(best if is_known else (), best, codes[best] if is_known else min(codes[best], 0.5))


def _code_places(table: ShapeTable, shape: int) -> tuple[int, ...]:
    length, count = table.classes.shape[1], int(table.code_lengths[shape])
    place = PLACES[table.places[shape]]
    if place is CodePlace.WHOLE:
        return ()
    return tuple(range(count)) if place is CodePlace.FIRST else tuple(range(length - count, length))


def likeliest_pattern(
    posterior: NDArray[np.float64], table: ShapeTable, grammars: CompiledGrammars, region: str
) -> str:
    """The pattern of the region with the highest posterior, or of all where the region has none: "br: Mercosul"."""
    within = posterior * grammars.is_within(region)[table.owner_regions]
    owner = int((within if within.any() else posterior).argmax())
    name = grammars.pattern_names[table.owner_patterns[owner]]
    return f"{grammars.regions[table.owner_regions[owner]]}: {name}"


def _has_rivals(
    country: str, posterior: NDArray[np.float64], table: ShapeTable, grammars: CompiledGrammars
) -> bool:
    common = table.owner_regions[(posterior > 0) & (table.owner_weights >= _COMMON_WEIGHT)]
    return any(grammars.countries[region] != country for region in set(common.tolist()))


def _country(region: str) -> str:
    return region.partition("-")[0]
