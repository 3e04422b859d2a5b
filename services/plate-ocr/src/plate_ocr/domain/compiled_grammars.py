"""Grammars compiled to arrays: all shapes of one length together, so that they are scored at once.

Regions share shapes (three letters and four digits are the plates of a dozen states) and shapes share character sets: a
shape is kept once with all its owners, and a character set is scored once a slot, not once a shape.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import ALPHABET, index_of
from plate_ocr.domain.grammar import GENERIC, CodePlace, Pattern, RegionGrammar, Shape

MARKS = 4
"""Kinds of place between two positions: a gap, no gap in a plate that has one, no gap in a plate without any, and the
end of a row."""

_UNIFORM_SHARE = 0.02  # of the prior, spread evenly: a confident region network is sometimes wrong


@dataclass(frozen=True, slots=True, eq=False)
class ShapeTable:
    """The N shapes of length L, in reading order, and their M owners.

    `classes`: (N, L), indices into the character sets. `marks`: (N, MARKS x (L - 1)), the kinds of the places
    between positions as 0 and 1, kind by kind. `code_lengths`, `places`: (N,), the latter indices into `PLACES`.
    `owner_shapes`, `owner_patterns`, `owner_regions`, `owner_weights`: (M,), sorted by shape.
    """

    classes: NDArray[np.intp]
    marks: NDArray[np.float64]
    code_lengths: NDArray[np.intp]
    places: NDArray[np.intp]
    owner_shapes: NDArray[np.intp]
    owner_patterns: NDArray[np.intp]
    owner_regions: NDArray[np.intp]
    owner_weights: NDArray[np.float64]

    def shape_priors(self, region_priors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,). The sum of what the owners of each shape give it."""
        weights = self.owner_weights * region_priors[self.owner_regions]
        found = np.bincount(self.owner_shapes, weights=weights, minlength=len(self.classes))
        return found.astype(np.float64)


PLACES = tuple(CodePlace)
"""`CodePlace` by the numbers used in a table."""
BELOW = PLACES.index(CodePlace.BELOW)


class RegionPriors(NamedTuple):
    """(regions,) each; `GENERIC` has 1: it applies whatever the region, and its pattern weights say how much it counts.

    `by_share`: large parts of a country are likelier, to choose a text. `even`: all parts are alike, to choose a
    region: that most cars are from Dubai is no evidence that this one is.
    """

    by_share: NDArray[np.float64]
    even: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGrammars:
    """`regions`: sorted, `GENERIC` among them where it is enabled. `shares`: of each within its country, sum 1;
    `even_shares`: the same with all parts of a country alike.

    `pattern_names`, `pattern_regions`: of each pattern, the latter indices into `regions`. `sets`: (C, 36), the
    character sets; `members`: (36, C), the same as 0 and 1. `tables`: by length.
    """

    regions: tuple[str, ...]
    countries: tuple[str, ...]
    shares: NDArray[np.float64]
    even_shares: NDArray[np.float64]
    is_generic: NDArray[np.bool_]
    pattern_names: tuple[str, ...]
    pattern_regions: NDArray[np.intp]
    sets: NDArray[np.bool_]
    members: NDArray[np.float64]
    tables: Mapping[int, ShapeTable]

    def patterns_of(self, text: str) -> tuple[tuple[str, str], ...]:
        """Region and pattern name of all patterns that a text, in reading order, follows."""
        table = self.tables.get(len(text))
        if table is None or any(c not in ALPHABET for c in text):
            return ()
        indices = np.array([index_of(c) for c in text])
        fits = self.sets[table.classes, indices].all(axis=1)
        owners = table.owner_patterns[fits[table.owner_shapes]]
        return tuple(
            (self.regions[self.pattern_regions[pattern]], self.pattern_names[pattern])
            for pattern in sorted(set(owners.tolist()))
        )

    def is_within(self, region: str) -> NDArray[np.bool_]:
        """(regions,). Whether each is the region or a part of it; all are when it is empty."""
        if not region:
            return np.ones(len(self.regions), dtype=np.bool_)
        pairs = zip(self.regions, self.countries, strict=True)
        return np.array([region in pair for pair in pairs], dtype=np.bool_)

    def region_priors(self, region_prior: Mapping[str, float]) -> RegionPriors:
        """The prior of every enabled region.

        A region that `region_prior` does not name has its share of its country's probability, where the country is
        named or nothing of it is; where other parts of the country are named instead, the network does not know the
        region and it has next to nothing. Countries of which nothing is named share the probability under "" evenly.
        Empty: all countries are alike.
        """
        countries = dict.fromkeys(c for c in self.countries if c != GENERIC)
        of_parts: dict[str, float] = {}
        for region, probability in region_prior.items():
            country = region.partition("-")[0]
            if region != country:
                of_parts[country] = of_parts.get(country, 0.0) + probability
        unnamed = sum(c not in region_prior and c not in of_parts for c in countries)
        rest = region_prior.get("", 0.0) / max(unnamed, 1)
        uniform = 1 / max(len(countries), 1)
        own_prior = np.zeros(len(self.regions))  # of the region itself
        shared = np.zeros(len(self.regions))  # of the country, to be shared
        for index, (region, country) in enumerate(zip(self.regions, self.countries, strict=True)):
            if not region_prior or region == GENERIC:
                shared[index] = 1.0 if region == GENERIC else uniform
            elif region != country and region in region_prior:
                own_prior[index] = region_prior[region]
            elif country in region_prior or country not in of_parts:
                shared[index] = region_prior.get(country, rest)
            elif region == country:
                shared[index] = of_parts[country]
        if region_prior:
            own_prior *= 1 - _UNIFORM_SHARE
            shared = np.where(self.is_generic, 1.0, (1 - _UNIFORM_SHARE) * shared + _UNIFORM_SHARE * uniform)
        return RegionPriors(own_prior + shared * self.shares, own_prior + shared * self.even_shares)


def compile_grammars(
    grammars: Sequence[RegionGrammar], allowed: Collection[str] | None = None
) -> CompiledGrammars:
    """The grammars of the allowed regions; of all when `allowed` is None.

    A country includes all its regions ("us" for "us-tx"), and what concerns a country as a whole is allowed with any
    of its regions. `GENERIC` is always allowed: a plate from elsewhere must not be forced into a grammar.

    Raises: ValueError: an allowed region has no grammar.
    """
    chosen = sorted((g for g in grammars if _is_allowed(g, allowed)), key=lambda g: g.region)
    known = {name for g in grammars for name in (g.region, g.country)}
    if unknown := sorted(set(allowed or ()) - known):
        raise ValueError(f"no grammar for {', '.join(unknown)}")
    shares, even_shares = _shares(chosen)
    owners: dict[Shape, dict[int, float]] = {}
    patterns: list[tuple[int, Pattern]] = [(i, p) for i, g in enumerate(chosen) for p in g.patterns]
    for index, (_, pattern) in enumerate(patterns):
        for shape in pattern.shapes:
            owners.setdefault(shape, {})[index] = pattern.weight
    sets = sorted({c for shape in owners for c in shape.classes})
    lengths = sorted({len(shape.classes) for shape in owners})
    members = np.array([[c >> bit & 1 for c in sets] for bit in range(len(ALPHABET))], dtype=np.float64)
    return CompiledGrammars(
        regions=tuple(g.region for g in chosen),
        countries=tuple(g.country for g in chosen),
        shares=shares,
        even_shares=even_shares,
        is_generic=np.array([g.region == GENERIC for g in chosen]),
        pattern_names=tuple(p.name for _, p in patterns),
        pattern_regions=np.array([region for region, _ in patterns], dtype=np.intp),
        sets=members.T.astype(np.bool_),
        members=members,
        tables={
            n: _table({s: o for s, o in owners.items() if len(s.classes) == n}, sets, patterns)
            for n in lengths
        },
    )


def _shares(chosen: Sequence[RegionGrammar]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As the files say, and with the parts of a country alike; what concerns it as a whole keeps its share in both."""
    totals: dict[str, float] = {}
    parts: dict[str, int] = {}
    for grammar in chosen:
        totals[grammar.country] = totals.get(grammar.country, 0.0) + grammar.share
        parts[grammar.country] = parts.get(grammar.country, 0) + (grammar.region != grammar.country)
    own = {g.country: g.share / totals[g.country] for g in chosen if g.region == g.country}
    shares = [g.share / totals[g.country] for g in chosen]
    even = [
        own[g.country] if g.region == g.country else (1 - own.get(g.country, 0.0)) / parts[g.country]
        for g in chosen
    ]
    return np.array(shares), np.array(even)


def _is_allowed(grammar: RegionGrammar, allowed: Collection[str] | None) -> bool:
    if allowed is None or grammar.region == GENERIC or {grammar.region, grammar.country} & set(allowed):
        return True
    return grammar.region == grammar.country and any(
        region.partition("-")[0] == grammar.country for region in allowed
    )


def _table(
    owners: Mapping[Shape, Mapping[int, float]], sets: Sequence[int], patterns: Sequence[tuple[int, Pattern]]
) -> ShapeTable:
    place_of = {c: index for index, c in enumerate(sets)}
    shapes = list(owners)
    flat = [(i, pattern, weight) for i, s in enumerate(shapes) for pattern, weight in owners[s].items()]
    return ShapeTable(
        classes=np.array([[place_of[c] for c in shape.classes] for shape in shapes], dtype=np.intp),
        marks=np.array([_marks(shape) for shape in shapes], dtype=np.float64).reshape(len(shapes), -1),
        code_lengths=np.array([shape.code_length for shape in shapes], dtype=np.intp),
        places=np.array([PLACES.index(shape.place) for shape in shapes], dtype=np.intp),
        owner_shapes=np.array([i for i, _, _ in flat], dtype=np.intp),
        owner_patterns=np.array([pattern for _, pattern, _ in flat], dtype=np.intp),
        owner_regions=np.array([patterns[pattern][0] for _, pattern, _ in flat], dtype=np.intp),
        owner_weights=np.array([weight for _, _, weight in flat], dtype=np.float64),
    )


def _marks(shape: Shape) -> list[bool]:
    places = range(1, len(shape.classes))
    gaps, is_below = set(shape.gaps), shape.place is CodePlace.BELOW
    return [
        *(place in gaps for place in places),
        *(bool(gaps) and place not in gaps for place in places),
        *(not gaps for _ in places),
        *(is_below and place in gaps for place in places),
    ]
