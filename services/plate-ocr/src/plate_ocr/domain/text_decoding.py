"""Decodes a plate's text: the one that recognizer, region and plate formats together make most likely.

Each pattern of each region says which characters may be where; the recognizer gives their probabilities. The weight
of a text is the sum, over all patterns that it follows, of the pattern's prior times the probabilities of its
characters. The grammar only chooses among characters that were recognized: what a slot may become is fixed before it
is applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import ALPHABET, LOOK_ALIKES
from plate_ocr.domain.compiled_grammars import BELOW, CompiledGrammars, ShapeTable
from plate_ocr.domain.lattice import Lattice
from plate_ocr.domain.region_and_code import Split, likeliest_pattern, region_of, split_of
from plate_ocr.domain.slot_subsets import Subset, subsets_of
from plate_ocr.domain.values import Character

PLAUSIBLE = 0.05
"""Probability from which a character is an alternative of its slot, look-alike or not: a recognizer that is right
nineteen times of twenty is wrong in this position once a day at every gate."""
PLAUSIBLE_ALIKE = 0.001
"""The same for look-alikes of the slot's best character. Networks are most confident where the shapes are the same (a 0
in a typeface whose O looks alike), so it is low; below it another shape was recognized."""

_MIN_GAP_PROBABILITY = 0.3
"""Of a gap that the pattern has: dirt and dealers' frames hide one in three."""
_MIN_NO_GAP_PROBABILITY = 0.2
"""Of no gap where one was recognized: emblems, screws and hyphens look like gaps."""
_RIVAL_RANGE_NATS = 6.0
"""Below the best score, within which a shape's own text is considered: e^-6 does not change a margin."""
_MIN_PROBABILITY = 1e-300
"""Replaces 0 where a logarithm is taken."""
_IMPOSSIBLE = -300.0
"""A score below it contains a `_MIN_PROBABILITY`."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A plate's text as its grammar decodes it.

    `text`: code and number together, in reading order unless the code is below the number. `raw_text`: the greedy
    reading, rows joined by a space. `region`: ISO 3166, lower case; a country ("us") where its part is not known,
    empty where neither is. `code`: empty where there is none or it is not known; `number` is the whole text then, and
    `code_confidence` that of the likeliest code. All confidences: 0 to 1, that exactly this is right; `confidence`:
    that the whole text is. `grammar`: the likeliest of the patterns that the text follows, "br: Mercosul", which does
    not mean that the region is known; empty where no pattern is followed: `text` and the greedy reading are the same
    then. `slots`: of the lattice, one for each character of the text. `runner_up`: the second best text, empty where
    there is none; `margin`: how much less likely it is.
    """

    text: str
    raw_text: str
    region: str
    region_confidence: float
    code: str
    code_confidence: float
    number: str
    number_confidence: float
    characters: tuple[Character, ...]
    confidence: float
    grammar: str
    slots: tuple[int, ...]
    runner_up: str
    margin: float


def decode_text(
    lattice: Lattice, grammars: CompiledGrammars, *, region_prior: Mapping[str, float]
) -> DecodedText:
    """The most likely text of a plate under the enabled grammars.

    `region_prior`: region or country → probability, as the region network gives it; missing ones are filled in, see
    `CompiledGrammars.region_priors`. Empty where nothing is known.
    """
    slot_scores = _SlotScores(lattice, grammars)
    priors = grammars.region_priors(region_prior)
    subsets, enumerated = subsets_of(lattice, grammars.tables)
    scored = [_score(s, slot_scores, grammars.tables[len(s.slots)], priors.by_share) for s in subsets]
    hypotheses = _hypotheses(scored, slot_scores)
    if not hypotheses:
        return _raw_reading(lattice)
    total = _log_sum(np.array([_log_sum(s.masses) for s in scored]))
    best = max(hypotheses, key=lambda h: (h.score, h.text))
    likelihood, followed = _shape_posterior(best, slot_scores)
    confidence = min(float(np.exp(likelihood - total)) * enumerated, 1.0)
    table = best.scored.table
    weight = _owner_posterior(best, followed, priors.even)
    region, region_confidence = region_of(weight, table, grammars, region_prior)
    split = split_of(weight, table, grammars, region, best.scored.subset.cuts, best.indices)
    characters = _characters(best, slot_scores)
    runner_up, runner_up_score = _runner_up(best, int(followed.argmax()), hypotheses, slot_scores)
    behind = min(float(np.exp(runner_up_score - total)) * enumerated, confidence) if runner_up else 0.0
    return _reading(
        lattice, best, split, characters, confidence, (region, region_confidence),
        likeliest_pattern(weight, table, grammars, region), (runner_up, confidence - behind),
    )  # fmt: skip


class _SlotScores:
    """What each slot contributes for each character set.

    `allowed`: (S, 36), the probabilities of the characters that a slot may become, 0 for the others. `log_best`,
    `log_mass`: (S, C), of the best allowed character of the set, and of all its characters.
    """

    def __init__(self, lattice: Lattice, grammars: CompiledGrammars) -> None:
        self.sets = grammars.sets
        self.probabilities = lattice.distributions
        p = self.probabilities
        tops = p.argmax(axis=1) if len(p) else np.zeros(0, dtype=np.intp)
        self.allowed = np.where((p >= PLAUSIBLE) | (LOOK_ALIKES[tops] & (p >= PLAUSIBLE_ALIKE)), p, 0.0)
        rows = np.arange(len(p))
        self.allowed[rows, tops] = p[rows, tops]
        # A slot may become one to four characters: only these are computed, the others add nothing.
        count = max(int((self.allowed > 0).sum(axis=1).max(initial=0)), 1)
        chosen = np.argsort(-self.allowed, axis=1, kind="stable")[:, :count]
        offers = self.allowed[rows[:, None], chosen]
        self.log_best = _log((offers[:, :, None] * grammars.members[chosen]).max(axis=1))
        self.log_mass = _log(p @ grammars.members)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """The N shapes of one length on one subset of slots. All in nats.

    `priors`: pattern and region. `layouts`: gaps and rows. `scores`: of each shape's own best text. `masses`: of all
    texts of the shape together.
    """

    subset: Subset
    table: ShapeTable
    priors: NDArray[np.float64]
    layouts: NDArray[np.float64]
    scores: NDArray[np.float64]
    masses: NDArray[np.float64]


class _Hypothesis(NamedTuple):
    """A text: `indices` of `ALPHABET` in reading order, and as it is reported. `below`: length of a code below the
    number.
    """

    score: float
    text: str
    indices: tuple[int, ...]
    below: int
    scored: _Scored


def _score(
    subset: Subset, slot_scores: _SlotScores, table: ShapeTable, region_priors: NDArray[np.float64]
) -> _Scored:
    priors = _log(table.shape_priors(region_priors))
    layouts = table.marks @ _layout_terms(subset)
    places = (np.array(subset.slots, dtype=np.intp)[None, :], table.classes)
    offset = priors + layouts + subset.log_presence
    scores = offset + slot_scores.log_best[places].sum(axis=1)
    masses = offset + slot_scores.log_mass[places].sum(axis=1)
    return _Scored(subset, table, priors, layouts, scores, masses)


def _layout_terms(subset: Subset) -> NDArray[np.float64]:
    """(MARKS x (L - 1),), nats. The cost of each kind of place between neighbouring slots, as in `ShapeTable.marks`."""
    cuts, breaks = np.array(subset.cuts), np.array(subset.row_breaks, dtype=np.bool_)
    return np.concatenate([
        np.log(np.maximum(cuts, _MIN_GAP_PROBABILITY)),
        np.log(np.maximum(1 - cuts, _MIN_NO_GAP_PROBABILITY)),
        np.where(breaks, 0.0, np.log(np.maximum(1 - cuts, _MIN_NO_GAP_PROBABILITY))),
        np.where(breaks, 0.0, 2 * _IMPOSSIBLE),
    ])  # fmt: skip


def _hypotheses(scored: Sequence[_Scored], slot_scores: _SlotScores) -> list[_Hypothesis]:
    """The texts that the shapes choose, with the scores of the shapes that choose the same text added up."""
    best = max((float(s.scores.max()) for s in scored), default=_IMPOSSIBLE)
    if best <= _IMPOSSIBLE:
        return []
    found = []
    for s in scored:
        near = np.flatnonzero(s.scores > max(best - _RIVAL_RANGE_NATS, _IMPOSSIBLE))
        if not near.size:
            continue
        offers = slot_scores.allowed[list(s.subset.slots)][None] * slot_scores.sets[s.table.classes[near]]
        below = np.where(s.table.places[near] == BELOW, s.table.code_lengths[near], 0)
        groups: dict[tuple[int, ...], float] = {}
        for shape, *key in zip(near.tolist(), below.tolist(), *offers.argmax(axis=2).T.tolist(), strict=True):
            groups[tuple(key)] = groups.get(tuple(key), 0.0) + float(np.exp(s.scores[shape] - best))
        for (under, *indices), weight in groups.items():
            text = _reported_order("".join(ALPHABET[i] for i in indices), under)
            found.append(_Hypothesis(float(np.log(weight)) + best, text, tuple(indices), under, s))
    return found


def _shape_posterior(hypothesis: _Hypothesis, slot_scores: _SlotScores) -> tuple[float, NDArray[np.float64]]:
    """Score of the text over all shapes that it follows, and (N,) the share of each shape in it, sum 1."""
    s = hypothesis.scored
    indices = np.array(hypothesis.indices, dtype=np.intp)
    below = np.where(s.table.places == BELOW, s.table.code_lengths, 0)
    fits = slot_scores.sets[s.table.classes, indices].all(axis=1) & (below == hypothesis.below)
    characters = _log(slot_scores.probabilities[list(s.subset.slots), indices]).sum()
    weight = np.where(fits, s.priors + s.layouts, 2 * _IMPOSSIBLE)
    shares = np.exp(weight - weight.max()) * fits
    score = float(characters + s.subset.log_presence + weight.max() + np.log(shares.sum()))
    return score, shares / shares.sum()


def _owner_posterior(
    hypothesis: _Hypothesis, followed: NDArray[np.float64], region_priors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,), the share of each owner, sum 1, with other region priors than those that the shapes were scored with."""
    table = hypothesis.scored.table
    layouts = np.where(followed > 0, np.exp(hypothesis.scored.layouts), 0.0)
    weight = layouts[table.owner_shapes] * table.owner_weights * region_priors[table.owner_regions]
    return np.asarray(weight / weight.sum())


def _characters(hypothesis: _Hypothesis, slot_scores: _SlotScores) -> list[Character]:
    """Each character's probability among those that the patterns allow in its position, in reading order."""
    s = hypothesis.scored
    slots, indices = list(s.subset.slots), np.array(hypothesis.indices, dtype=np.intp)
    near = s.masses > s.masses.max() - 2 * _RIVAL_RANGE_NATS
    weights = np.exp(s.masses[near] - s.masses.max())
    classes = s.table.classes[near]
    log_masses = slot_scores.log_mass[np.array(slots)[None, :], classes]
    parts = slot_scores.probabilities[slots, indices] * np.exp(-np.maximum(log_masses, _IMPOSSIBLE))
    held = np.where(slot_scores.sets[classes, indices], np.minimum(parts, 1.0), 0.0)
    shares = weights @ held / weights.sum()
    return [
        Character(ALPHABET[i], float(min(share * presence, 1.0)))
        for i, share, presence in zip(hypothesis.indices, shares, s.subset.presences, strict=True)
    ]


def _runner_up(
    best: _Hypothesis, shape: int, hypotheses: Sequence[_Hypothesis], slot_scores: _SlotScores
) -> tuple[str, float]:
    """The second best text and its score: what another shape chooses, or one character changed within `shape`."""
    others: dict[str, float] = {}
    for hypothesis in hypotheses:
        if hypothesis.text != best.text:
            others[hypothesis.text] = float(
                np.logaddexp(others.get(hypothesis.text, -np.inf), hypothesis.score)
            )
    s = best.scored
    slots, indices = list(s.subset.slots), np.array(best.indices, dtype=np.intp)
    places = np.arange(len(indices))
    offers = slot_scores.allowed[slots] * slot_scores.sets[s.table.classes[shape]]
    ratios = offers / slot_scores.probabilities[slots, indices][:, None]
    ratios[places, indices] = 0.0
    place, other = divmod(int(ratios.argmax()), len(ALPHABET))
    if ratios[place, other] > 0:
        changed = [ALPHABET[i] for i in best.indices]
        changed[place] = ALPHABET[other]
        text = _reported_order("".join(changed), best.below)
        others[text] = max(others.get(text, -np.inf), best.score + float(np.log(ratios[place, other])))
    return max(others.items(), key=lambda item: (item[1], item[0]), default=("", -np.inf))


def _reading(
    lattice: Lattice,
    best: _Hypothesis,
    split: Split,
    characters: Sequence[Character],
    confidence: float,
    region: tuple[str, float],
    grammar: str,
    runner_up: tuple[str, float],
) -> DecodedText:
    order = list(range(len(characters)))
    cut = len(order) - best.below
    order = order[cut:] + order[:cut]
    in_code = set(split.code)
    code = [characters[i] for i in order if i in in_code]
    number = [characters[i] for i in order if i not in in_code]
    return DecodedText(
        text=best.text,
        raw_text=lattice.raw,
        region=region[0],
        region_confidence=region[1],
        code="".join(c.text for c in code),
        code_confidence=split.confidence * _joint_confidence([characters[i] for i in split.likeliest_code])
        if split.likeliest_code
        else 0.0,
        number="".join(c.text for c in number),
        number_confidence=_joint_confidence(number) * (split.confidence if code else 1.0),
        characters=tuple(characters[i] for i in order),
        confidence=confidence,
        grammar=grammar,
        slots=tuple(best.scored.subset.slots[i] for i in order),
        runner_up=runner_up[0],
        margin=runner_up[1],
    )


def _raw_reading(lattice: Lattice) -> DecodedText:
    """The greedy reading, where no grammar fits the recognized characters."""
    slots = [index for index, slot in enumerate(lattice.slots) if slot.is_greedy]
    characters = tuple(
        Character(slot.top, float(min(slot.distribution.max() * slot.presence, 1.0)))
        for slot in lattice.slots
        if slot.is_greedy
    )
    text = "".join(c.text for c in characters)
    confidence = _joint_confidence(characters) if characters else 0.0
    return DecodedText(
        text, lattice.raw, "", 0.0, "", 0.0, text, confidence, characters, confidence, "", tuple(slots), "", confidence
    )  # fmt: skip


def _reported_order(text: str, below: int) -> str:
    cut = len(text) - below
    return text[cut:] + text[:cut]


def _joint_confidence(characters: Sequence[Character]) -> float:
    return float(np.prod([c.confidence for c in characters])) if characters else 0.0


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(values, _MIN_PROBABILITY)))


def _log_sum(values: NDArray[np.float64]) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))
