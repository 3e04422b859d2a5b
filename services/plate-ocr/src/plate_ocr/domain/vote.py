"""One vehicle, several looks at its plate, one reading.

Every look votes for each character position with its own probabilities, as much as its crop is tall and sharp. Looks
of other lengths are aligned, not thrown away (after ROVER: Fiscus, "A post-processing system to yield reduced word
error rates", 1997). The winner is a text that some frame shows: what follows from a read, a fine perhaps, has to be
seen in the evidence. Only where no two looks agree on anything may the positions make up a text that no frame shows
whole.

Sums are taken with `fsum`, which rounds once: the order of the looks changes nothing, not even the last bit.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from plate_ocr.domain.values import Character, PlateReading, PlateState

MIN_AGREEING = 2
"""Looks that have to read the very same text before it counts as confirmed."""

FULL_HEIGHT_PX = 48.0
"""The recogniser's rows are that high: a taller plate tells it nothing more."""

MIN_HEIGHT_SHARE = 0.1
UNMEASURED_SHARPNESS = 0.5
BLURRED_WEIGHT = 0.25
"""What the vote of a wholly blurred crop still counts beside a sharp one of its height."""

INDEPENDENCE = 0.5
"""Looks at one plate share its dirt, its light and the reader's habits: a further one takes away at most this share of
the doubt that the others leave."""

MAX_CONFIDENCE = 0.999
_MIN_PROBABILITY = 0.01
_MAX_STEPS = 8
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Look:
    """A plate in one frame. `frame`: the caller's name for the frame, its own within a track."""

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
    def worth(self) -> float:
        """How good a piece of evidence it is."""
        return self.weight * self.reading.confidence


@dataclass(frozen=True, slots=True)
class Vote:
    """What a track's looks come to.

    `reading`: the text with the box, outline and height of the evidence; its `looks` are those that agree. `evidence`:
    the best look that reads this very text, unless `is_composed`: then no frame does, and it is the one that comes
    nearest. `looks`: all that were counted.
    """

    reading: PlateReading
    evidence: Look
    is_composed: bool
    looks: int

    @property
    def agreeing(self) -> int:
        """Looks that read the very text."""
        return self.reading.looks


@dataclass(frozen=True, slots=True)
class _Ballot:
    """`slots`: per character what it may be, its own reading never behind another. `sureness`: of what is *not* there:
    the mean of its characters, as a look that is unsure of what it sees is unsure of what it does not.
    """

    text: str
    slots: tuple[Mapping[str, float], ...]
    weight: float
    sureness: float


@dataclass(slots=True)
class _Column:
    """One place of the text. `pro`: weight times probability of the looks that read it so, `con`: of the others;
    `probabilities`: weight and probability of the former.
    """

    pro: list[float]
    con: list[float]
    probabilities: list[tuple[float, float]]

    @property
    def agreement(self) -> float:
        """0 to 1; 1 where nobody disagrees."""
        pro, con = math.fsum(self.pro), math.fsum(self.con)
        return pro / (pro + con) if con > 0 else 1.0

    @property
    def confidence(self) -> float:
        return _together(self.probabilities) if self.probabilities else 0.0


def vote(looks: Sequence[Look]) -> Vote:
    """The reading of a track, the same in whatever order the looks come.

    Raises: ValueError: no look.
    """
    if not looks:
        raise ValueError("nothing was looked at")
    read = [look for look in looks if look.text]
    if not read:
        # Nobody could read it: the tallest, sharpest look tells best why.
        best = max(looks, key=lambda look: (look.weight, look.reading.confidence, look.frame))
        return Vote(replace(best.reading, looks=0), best, is_composed=False, looks=len(looks))
    ballots = [_ballot(look) for look in read]
    text = _winner(ballots)
    supporters = _of_one_region([look for look in read if look.text == text])
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
    """1 for the same text, 0 for nothing in common: one less the edits (Levenshtein) per character of the longer."""
    if first == second:
        return 1.0
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return 1 - row[-1] / max(len(first), len(second))


def _winner(ballots: Sequence[_Ballot]) -> str:
    """The text that was read whose characters have most behind them; a composed one where no two looks agree at all and
    each of its characters was read twice. So one more look that agrees never makes another text win.
    """
    texts = [ballot.text for ballot in ballots]
    best = max(set(texts), key=lambda text: (_score(text, ballots), text))
    if len(set(texts)) < len(texts):
        return best
    composed = best
    for _ in range(_MAX_STEPS):
        before, composed = composed, _improved(composed, ballots)
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
    # The reading's confidence is calibrated, the characters' are the network's: none may claim more than the whole.
    scale = min(1.0, reading.confidence / max(min(own), _MIN_PROBABILITY))
    slots = []
    for index, (text, probability) in enumerate(zip(reading.text, own, strict=True)):
        mine = min(max(probability * scale, _MIN_PROBABILITY), 1.0)
        others = reading.slots[index] if len(reading.slots) == len(own) else ()
        slots.append({one.text: min(one.confidence * scale, mine) for one in others} | {text: mine})
    sureness = math.fsum(slot[text] for slot, text in zip(slots, reading.text, strict=True)) / len(slots)
    return _Ballot(reading.text, tuple(slots), look.weight, sureness)


def _score(text: str, ballots: Iterable[_Ballot]) -> float:
    return math.fsum(ballot.weight * _aligned(ballot, text)[0] for ballot in ballots)


def _aligned(ballot: _Ballot, text: str) -> tuple[float, tuple[int, ...]]:
    """How much the look says for the text, and for each character of it the look's slot, -1 where it has none.

    A slot beside a character gives its probability, a character without a slot costs the look's sureness, a slot that
    is left over costs nothing; of all ways to lay them beside one another, the best (Needleman and Wunsch, 1970).
    """
    if ballot.text == text:
        return math.fsum(slot[c] for slot, c in zip(ballot.slots, text, strict=True)), tuple(range(len(text)))
    missing, columns = ballot.sureness, len(text)
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
    """Slots left over: (characters of the text before it, its number there) → slot."""
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


def _improved(text: str, ballots: Sequence[_Ballot]) -> str:
    """The text with each place as most of the weight wants it: kept, changed, left out, or something put between.

    Each step raises `_score`, which makes the walk end.
    """
    inside: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in text]
    between: defaultdict[tuple[int, int], defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    leftovers = []
    for ballot in ballots:
        _, places = _aligned(ballot, text)
        for choices, place in zip(inside, places, strict=True):
            slot = ballot.slots[place] if place >= 0 else {"": ballot.sureness}
            for character, probability in slot.items():
                choices[character].append(ballot.weight * probability)
        leftovers.append(_gaps(ballot, places))
    for gap in {gap for left in leftovers for gap in left}:
        for ballot, left in zip(ballots, leftovers, strict=True):
            slot = ballot.slots[left[gap]] if gap in left else {"": ballot.sureness}
            for character, probability in slot.items():
                between[gap][character].append(ballot.weight * probability)
    made = []
    for position in range(len(text) + 1):
        made += [_heaviest(between[gap], "") for gap in sorted(between) if gap[0] == position]
        if position < len(text):
            made.append(_heaviest(inside[position], text[position]))
    return "".join(made) or text


def _heaviest(choices: Mapping[str, Sequence[float]], present: str) -> str:
    best = max(choices, key=lambda one: (math.fsum(choices[one]), one))
    gains = math.fsum(choices[best]) - math.fsum(choices.get(present, ()))
    return best if gains > _EPSILON else present


def _columns(text: str, ballots: Sequence[_Ballot]) -> list[_Column]:
    """The characters' columns, and behind them one for each place where a look reads something between."""
    inside = [_Column([], [], []) for _ in text]
    leftovers = []
    for ballot in ballots:
        _, places = _aligned(ballot, text)
        for column, character, place in zip(inside, text, places, strict=True):
            if place < 0:
                column.con.append(ballot.weight * ballot.sureness)
                continue
            probability = ballot.slots[place][ballot.text[place]]
            if ballot.text[place] == character:
                column.pro.append(ballot.weight * probability)
                column.probabilities.append((ballot.weight, probability))
            else:
                column.con.append(ballot.weight * probability)
        leftovers.append(_gaps(ballot, places))
    between: dict[tuple[int, int], _Column] = {gap: _Column([], [], []) for left in leftovers for gap in left}
    for gap, column in between.items():
        for ballot, left in zip(ballots, leftovers, strict=True):
            if gap in left:
                column.con.append(ballot.weight * ballot.slots[left[gap]][ballot.text[left[gap]]])
            else:
                column.pro.append(ballot.weight * ballot.sureness)
    return [*inside, *between.values()]


def _confidence(
    text: str, ballots: Sequence[_Ballot], read: Sequence[Look]
) -> tuple[float, tuple[Character, ...]]:
    """Of the whole and of each character; never 1. A further look that agrees never lowers it."""
    columns = _columns(text, ballots)
    inside = columns[: len(text)]
    whole = [(look.weight, look.reading.confidence) for look in read if look.text == text]
    sure = max(_together(whole) if whole else 0.0, min(column.confidence for column in inside))
    # A plate with one wrong character is a wrong plate: the place with most disagreement counts for all.
    confidence = min(sure * min(column.agreement for column in columns), MAX_CONFIDENCE)
    characters = tuple(
        Character(character, min(column.confidence * column.agreement, MAX_CONFIDENCE))
        for character, column in zip(text, inside, strict=True)
    )
    return confidence, characters


def _together(looks: Iterable[tuple[float, float]]) -> float:
    """Confidence of several (weight, confidence) that agree: the surest, and less doubt with each further one."""
    ranked = sorted(looks, key=lambda look: (look[1], look[0]), reverse=True)
    doubt = 1 - ranked[0][1]
    for weight, confidence in ranked[1:]:
        doubt *= 1 - INDEPENDENCE * weight * confidence
    return 1 - doubt


def _evidence_rank(look: Look) -> tuple[float, float, str]:
    return (look.worth, look.height_px, look.frame)


def _of_one_region(supporters: Sequence[Look]) -> list[Look]:
    """Those who also agree on region and code, by weight; who cannot tell the region has no say in it."""
    telling = [look for look in supporters if look.reading.region] or list(supporters)
    behind: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for look in telling:
        sure = look.reading.region_confidence or look.reading.confidence
        behind[look.reading.region, look.reading.code].append(look.weight * sure)
    if not behind:
        return []
    best = max(behind, key=lambda group: (math.fsum(behind[group]), group))
    return [look for look in telling if (look.reading.region, look.reading.code) == best]


def _composed_reading(nearest: PlateReading, text: str) -> PlateReading:
    """No frame shows this text, so nobody split it into code and number by what it saw."""
    return replace(
        nearest,
        text=text,
        code="",
        number=text,
        pattern="",
        code_confidence=0.0,
        number_confidence=0.0,
    )
