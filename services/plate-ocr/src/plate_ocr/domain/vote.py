"""Combines several looks at one vehicle's plate into one reading.

Every look votes for each character position with its own probabilities, weighted by the height and sharpness of its
crop. Looks of different lengths are aligned, not discarded (after ROVER: Fiscus, "A post-processing system to yield
reduced word error rates", 1997). The winner is a text that some frame shows, because what follows from a reading,
perhaps a fine, has to be visible in the evidence. Only where no two looks agree may a text be composed of the positions
that no frame shows whole.

Sums are taken with `fsum`, which rounds once: the order of the looks does not change the result, not even the last bit.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from plate_ocr.domain.values import Character, PlateReading, PlateState

MIN_AGREEING = 2
"""Looks that have to read exactly the same text before it counts as confirmed."""

FULL_HEIGHT_PX = 48.0
"""The height of the recognizer's input: a taller plate adds no detail."""

MIN_HEIGHT_SHARE = 0.1
UNMEASURED_SHARPNESS = 0.5
BLURRED_WEIGHT = 0.25
"""The weight of a wholly blurred crop, as a share of that of a sharp one of its height."""

INDEPENDENCE = 0.5
"""Looks at one plate share its dirt, its light and the recognizer's errors: each further one removes at most this share
of the remaining doubt."""

MAX_CONFIDENCE = 0.999
_MIN_PROBABILITY = 0.01
_MAX_STEPS = 8
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the plate in one frame of a track. `frame`: the caller's name for the frame, unique within a
    track.
    """

    frame: str
    reading: PlateReading

    @property
    def text(self) -> str:
        """Empty where the plate was only seen."""
        return self.reading.text if self.reading.is_read else ""

    @property
    def height_px(self) -> float:
        return self.reading.height_px or self.reading.box.height

    @property
    def weight(self) -> float:
        """Above 0, at most 1: proportional to the height up to `FULL_HEIGHT_PX`, and to the sharpness above a floor."""
        tall = min(max(self.height_px / FULL_HEIGHT_PX, MIN_HEIGHT_SHARE), 1.0)
        sharpness = min(self.reading.sharpness, 1.0) or UNMEASURED_SHARPNESS
        return tall * (BLURRED_WEIGHT + (1 - BLURRED_WEIGHT) * sharpness)

    @property
    def evidence_score(self) -> float:
        """How well the frame shows the text."""
        return self.weight * self.reading.confidence


@dataclass(frozen=True, slots=True)
class Vote:
    """The result for a track.

    `reading`: the text with the box, outline and height of the evidence; its `looks` are those that agree.
    `evidence`: the best look that reads exactly this text, unless `is_composed`: then no frame does, and it is the
    most similar one. `looks`: all that were counted.
    """

    reading: PlateReading
    evidence: Look
    is_composed: bool
    looks: int

    @property
    def agreeing(self) -> int:
        """Looks that read exactly this text."""
        return self.reading.looks


@dataclass(frozen=True, slots=True)
class _Ballot:
    """A look, prepared for the vote. `slots`: for each character the probabilities of the alternatives, its own never
    behind another. `certainty`: that nothing else is there: the mean of its characters, since a look that is unsure
    of what it shows is unsure of what it does not.
    """

    text: str
    slots: tuple[Mapping[str, float], ...]
    weight: float
    certainty: float


@dataclass(slots=True)
class _Column:
    """One position of the text. `support`: weight times probability of the looks that read it so, `opposition`: of the
    others; `probabilities`: weight and probability of the supporting ones.
    """

    support: list[float]
    opposition: list[float]
    probabilities: list[tuple[float, float]]

    @property
    def agreement(self) -> float:
        """0 to 1; 1 where no look disagrees."""
        support, opposition = math.fsum(self.support), math.fsum(self.opposition)
        return support / (support + opposition) if opposition > 0 else 1.0

    @property
    def confidence(self) -> float:
        return _combined_confidence(self.probabilities) if self.probabilities else 0.0


def vote(looks: Sequence[Look]) -> Vote:
    """The reading of a track, whatever the order of the looks.

    Raises: ValueError: there is no look.
    """
    if not looks:
        raise ValueError("a vote needs at least one look")
    read = [look for look in looks if look.text]
    if not read:
        # No look could be read: the tallest, sharpest one shows best why.
        best = max(looks, key=lambda look: (look.weight, look.reading.confidence, look.frame))
        return Vote(replace(best.reading, looks=0), best, is_composed=False, looks=len(looks))
    ballots = [_ballot(look) for look in read]
    text = _choose_text(ballots)
    supporters = _of_likeliest_region([look for look in read if look.text == text])
    agreeing = len({look.frame for look in read if look.text == text})
    if supporters:
        evidence = max(supporters, key=_evidence_rank)
        reading = evidence.reading
    else:
        evidence = max(read, key=lambda look: (similarity(look.text, text), *_evidence_rank(look)))
        reading = _composed_reading(evidence.reading, text)
    confidence, characters = _confidence(text, ballots, read)
    state = PlateState.READ if agreeing >= MIN_AGREEING else PlateState.SINGLE_LOOK
    reading = replace(
        reading, state=state, looks=agreeing, confidence=confidence, characters=characters, slots=()
    )
    return Vote(reading, evidence, is_composed=not supporters, looks=len(looks))


def similarity(first: str, second: str) -> float:
    """1 for the same text, 0 for nothing in common: 1 - edit distance (Levenshtein) / length of the longer."""
    if first == second:
        return 1.0
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return 1 - row[-1] / max(len(first), len(second))


def _choose_text(ballots: Sequence[_Ballot]) -> str:
    """The read text whose characters have the highest score; a composed one where no two looks agree and each of its
    characters was read twice. So one more look that agrees never makes another text win.
    """
    texts = [ballot.text for ballot in ballots]
    best = max(set(texts), key=lambda text: (_score(text, ballots), text))
    if len(set(texts)) < len(texts):
        return best
    composed = best
    for _ in range(_MAX_STEPS):
        before, composed = composed, _improve(composed, ballots)
        if composed == before:
            break
    columns = _columns(composed, ballots)[: len(composed)]
    has_support = bool(columns) and all(len(one.probabilities) >= MIN_AGREEING for one in columns)
    return composed if has_support else best


def _ballot(look: Look) -> _Ballot:
    reading = look.reading
    own = [character.confidence for character in reading.characters]
    if len(own) != len(reading.text):
        own = [reading.confidence] * len(reading.text)
    # The reading's confidence is calibrated, the characters' are not: none may exceed that of the whole.
    scale = min(1.0, reading.confidence / max(min(own), _MIN_PROBABILITY))
    slots = []
    for index, (text, probability) in enumerate(zip(reading.text, own, strict=True)):
        own_probability = min(max(probability * scale, _MIN_PROBABILITY), 1.0)
        others = reading.slots[index] if len(reading.slots) == len(own) else ()
        slots.append(
            {one.text: min(one.confidence * scale, own_probability) for one in others}
            | {text: own_probability}
        )
    certainty = math.fsum(slot[text] for slot, text in zip(slots, reading.text, strict=True)) / len(slots)
    return _Ballot(reading.text, tuple(slots), look.weight, certainty)


def _score(text: str, ballots: Iterable[_Ballot]) -> float:
    return math.fsum(ballot.weight * _aligned(ballot, text)[0] for ballot in ballots)


def _aligned(ballot: _Ballot, text: str) -> tuple[float, tuple[int, ...]]:
    """The look's score for the text, and for each character of the text the look's slot, -1 where it has none.

    A slot aligned to a character adds its probability, a character without a slot costs the look's certainty, an unused
    slot costs nothing; the best of all alignments (Needleman and Wunsch, 1970).
    """
    if ballot.text == text:
        return math.fsum(slot[c] for slot, c in zip(ballot.slots, text, strict=True)), tuple(range(len(text)))
    missing, columns = ballot.certainty, len(text)
    rows = [[-missing * j for j in range(columns + 1)]]
    for slot in ballot.slots:
        above, row = rows[-1], [0.0]
        for j, character in enumerate(text, 1):
            row.append(max(above[j - 1] + slot.get(character, 0.0), above[j], row[-1] - missing))
        rows.append(row)
    places = [-1] * columns
    i, j = len(ballot.slots), columns
    while i and j:
        if rows[i][j] == rows[i - 1][j - 1] + ballot.slots[i - 1].get(text[j - 1], 0.0):
            i, j = i - 1, j - 1
            places[j] = i
        elif rows[i][j] == rows[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return rows[-1][-1], tuple(places)


def _gaps(ballot: _Ballot, places: Sequence[int]) -> dict[tuple[int, int], int]:
    """Unused slots: (characters of the text before it, its number there) → slot."""
    found: dict[tuple[int, int], int] = {}
    taken = {place: position for position, place in enumerate(places) if place >= 0}
    gap = number = 0
    for index in range(len(ballot.slots)):
        if index in taken:
            gap, number = taken[index] + 1, 0
        else:
            found[gap, number] = index
            number += 1
    return found


def _improve(text: str, ballots: Sequence[_Ballot]) -> str:
    """The text with each position as most of the weight wants it: kept, changed, removed, or with one inserted
    beside it.

    Each step raises `_score`, so the iteration ends.
    """
    inside: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in text]
    between: defaultdict[tuple[int, int], defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    unused = []
    for ballot in ballots:
        _, places = _aligned(ballot, text)
        for choices, place in zip(inside, places, strict=True):
            slot = ballot.slots[place] if place >= 0 else {"": ballot.certainty}
            for character, probability in slot.items():
                choices[character].append(ballot.weight * probability)
        unused.append(_gaps(ballot, places))
    for gap in {gap for left in unused for gap in left}:
        for ballot, left in zip(ballots, unused, strict=True):
            slot = ballot.slots[left[gap]] if gap in left else {"": ballot.certainty}
            for character, probability in slot.items():
                between[gap][character].append(ballot.weight * probability)
    made = []
    for position in range(len(text) + 1):
        made += [_best_choice(between[gap], "") for gap in sorted(between) if gap[0] == position]
        if position < len(text):
            made.append(_best_choice(inside[position], text[position]))
    return "".join(made) or text


def _best_choice(choices: Mapping[str, Sequence[float]], present: str) -> str:
    best = max(choices, key=lambda one: (math.fsum(choices[one]), one))
    gains = math.fsum(choices[best]) - math.fsum(choices.get(present, ()))
    return best if gains > _EPSILON else present


def _columns(text: str, ballots: Sequence[_Ballot]) -> list[_Column]:
    """One column for each character, followed by one for each place where a look reads an additional character."""
    inside = [_Column([], [], []) for _ in text]
    unused = []
    for ballot in ballots:
        _, places = _aligned(ballot, text)
        for column, character, place in zip(inside, text, places, strict=True):
            if place < 0:
                column.opposition.append(ballot.weight * ballot.certainty)
                continue
            probability = ballot.slots[place][ballot.text[place]]
            if ballot.text[place] == character:
                column.support.append(ballot.weight * probability)
                column.probabilities.append((ballot.weight, probability))
            else:
                column.opposition.append(ballot.weight * probability)
        unused.append(_gaps(ballot, places))
    between: dict[tuple[int, int], _Column] = {gap: _Column([], [], []) for left in unused for gap in left}
    for gap, column in between.items():
        for ballot, left in zip(ballots, unused, strict=True):
            if gap in left:
                column.opposition.append(ballot.weight * ballot.slots[left[gap]][ballot.text[left[gap]]])
            else:
                column.support.append(ballot.weight * ballot.certainty)
    return [*inside, *between.values()]


def _confidence(
    text: str, ballots: Sequence[_Ballot], read: Sequence[Look]
) -> tuple[float, tuple[Character, ...]]:
    """Of the whole text and of each character; never 1. A further look that agrees never lowers it."""
    columns = _columns(text, ballots)
    inside = columns[: len(text)]
    whole = [(look.weight, look.reading.confidence) for look in read if look.text == text]
    sure = max(_combined_confidence(whole) if whole else 0.0, min(column.confidence for column in inside))
    # One wrong character makes a wrong plate: the position with most disagreement limits the whole.
    confidence = min(sure * min(column.agreement for column in columns), MAX_CONFIDENCE)
    characters = tuple(
        Character(character, min(column.confidence * column.agreement, MAX_CONFIDENCE))
        for character, column in zip(text, inside, strict=True)
    )
    return confidence, characters


def _combined_confidence(looks: Iterable[tuple[float, float]]) -> float:
    """Of several (weight, confidence) that agree: the highest, with the doubt reduced by each further one."""
    ranked = sorted(looks, key=lambda look: (look[1], look[0]), reverse=True)
    doubt = 1 - ranked[0][1]
    for weight, confidence in ranked[1:]:
        doubt *= 1 - INDEPENDENCE * weight * confidence
    return 1 - doubt


def _evidence_rank(look: Look) -> tuple[float, float, str]:
    return (look.evidence_score, look.height_px, look.frame)


def _of_likeliest_region(supporters: Sequence[Look]) -> list[Look]:
    """Those that also agree on region and code, by weight; looks without a region have no influence on it."""
    with_region = [look for look in supporters if look.reading.region] or list(supporters)
    weight_by_group: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for look in with_region:
        sure = look.reading.region_confidence or look.reading.confidence
        weight_by_group[look.reading.region, look.reading.code].append(look.weight * sure)
    if not weight_by_group:
        return []
    best = max(weight_by_group, key=lambda group: (math.fsum(weight_by_group[group]), group))
    return [look for look in with_region if (look.reading.region, look.reading.code) == best]


def _composed_reading(nearest: PlateReading, text: str) -> PlateReading:
    """No frame shows this text, so no frame splits it into code and number."""
    return replace(
        nearest,
        text=text,
        code="",
        number=text,
        pattern="",
        code_confidence=0.0,
        number_confidence=0.0,
    )
