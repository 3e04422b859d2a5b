"""One vehicle's track: what is known of a plate that was seen, and what one more observation adds.

Times are seconds on any one clock that does not run backwards. Distances are told in plate heights, which makes them
the same near and far: a European plate is about 0.11 m high, so 10 heights are about a metre.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from plate_ocr.domain.appearance import appearance_change
from plate_ocr.domain.values import Box, PlateReading, Point
from plate_ocr.domain.vote import Look, Vote, similarity, vote

_LOOK_ALIKES = str.maketrans("OQDIZSBG", "00012586")
"""Folded when the question is whether it is the same car; what is read is never folded."""

CONTINUOUS, UNSEEN, CHANGED = 0.5, 0.8, 1.0
"""How like a track's text a further reading has to be to count as one more look at it: seen without a break any bad
look; after the place was out of sight, all but a character; after the picture there changed, the same."""

_STANDS_S = 1.0
"""SpotOverlap so long, what is left of its speed is the jitter of its box."""


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """`gap_s`: unseen for longer, a track ends; `parked_gap_s`: one that stood still for `parked_after_s`, as people
    walk through the view. `swap_s`: unseen so long, another car may stand there. `still_heights`: a box that strayed
    no farther stands still. `reach_heights`, `unknown_speed_heights_s`, `known_speed_heights_s`: how far from where it
    is expected a plate may turn up, at once and more with each second since, before and after its speed is known.
    `settled_looks`, `settled_confidence`: from here on more looks bring nothing; `enough_looks`: nor do more where it
    never settles. `recheck_s`: between the readings of such a plate. `changed_levels`: see `appearance_change`.
    `max_looks`, `max_doubts`: kept of a track. `max_open`: tracks of a camera.
    """

    gap_s: float = 2.0
    parked_gap_s: float = 30.0
    parked_after_s: float = 5.0
    swap_s: float = 0.9
    still_heights: float = 0.5
    reach_heights: float = 2.0
    unknown_speed_heights_s: float = 40.0
    known_speed_heights_s: float = 10.0
    max_size_ratio: float = 1.8
    settled_looks: int = 3
    settled_confidence: float = 0.9
    enough_looks: int = 24
    recheck_s: float = 30.0
    changed_levels: float = 12.0
    max_looks: int = 16
    max_doubts: int = 4
    max_open: int = 64


DEFAULTS = TrackOptions()


@dataclass(frozen=True, slots=True)
class PlateObservation:
    """A plate in a frame. `reading`: None where it was not read because `needs_reading` said so. `appearance`: see
    `appearance`; None where nobody made one.
    """

    frame: str
    box: Box
    reading: PlateReading | None = None
    appearance: bytes | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """`speed`: pixels a second, None after one observation. `anchor`: where the plate has stayed since
    `anchored_s`. `sure_s`: when it was last certainly this plate. `looks`: those kept for the vote, of `look_count`;
    `still_looks`: made since it stands where it stands and nothing there raised a question. `doubts`: looks that may
    be another vehicle's, since `doubts_since_s`. `required`: likeness that the next reading needs to be taken for a
    look at this plate.
    """

    track_id: int
    box: Box
    first_seen_s: float
    last_seen_s: float
    sure_s: float
    anchor: Point
    anchored_s: float
    speed: Point | None = None
    looks: tuple[Look, ...] = ()
    look_count: int = 0
    still_looks: int = 0
    read_at_s: float = -math.inf
    vote: Vote | None = None
    appearance: bytes | None = None
    doubts: tuple[Look, ...] = ()
    doubts_since_s: float = 0.0
    required: float = CONTINUOUS

    @property
    def text(self) -> str:
        """What the vote says so far; empty where nothing was read."""
        return self.vote.reading.text if self.vote is not None and self.vote.reading.is_read else ""

    def expected(self, now_s: float) -> Box:
        """Where it is by now if it goes on as it did."""
        if self.speed is None or self.last_seen_s - self.anchored_s >= _STANDS_S:
            return self.box
        passed_s = max(now_s - self.last_seen_s, 0.0)
        return replace(
            self.box, x=self.box.x + self.speed.x * passed_s, y=self.box.y + self.speed.y * passed_s
        )


def needs_reading(
    track: Track | None,
    box: Box,
    now_s: float,
    appearance: bytes | None = None,
    options: TrackOptions = DEFAULTS,
) -> bool:
    """Whether reading the plate in `box` can still tell something. Cheap: no vote, no alignment.

    Not where it stands still, its reading is settled (or will not be) and the picture there is what it was; then only
    every `recheck_s`. A plate that is skipped is told to `advance` as a observation without a reading.
    """
    if track is None:
        return True
    is_open = bool(track.doubts) or track.required > CONTINUOUS or not _is_settled(track, options)
    if is_open and track.still_looks < options.enough_looks:
        return True
    if not is_in_place(track, box, options) or now_s - track.last_seen_s >= options.swap_s:
        return True
    return has_changed(track, appearance, options) or now_s - track.read_at_s >= options.recheck_s


def _is_settled(track: Track, options: TrackOptions) -> bool:
    made = track.vote
    return (
        made is not None
        and made.agreeing >= options.settled_looks
        and made.reading.confidence >= options.settled_confidence
    )


def is_over(track: Track, now_s: float, options: TrackOptions) -> bool:
    """Whether it has been unseen for so long that it ends."""
    is_parked = track.last_seen_s - track.anchored_s >= options.parked_after_s
    return now_s - track.last_seen_s > (options.parked_gap_s if is_parked else options.gap_s)


def is_in_place(track: Track, box: Box, options: TrackOptions) -> bool:
    """Whether the plate in `box` stands where the track's has stayed."""
    return math.dist(track.anchor, box.centre) <= options.still_heights * max(box.height, 1.0)


def has_changed(track: Track, appearance: bytes | None, options: TrackOptions) -> bool:
    """Whether the picture there is another one than when it was read; not when nobody can say."""
    if track.appearance is None or appearance is None:
        return False
    return appearance_change(track.appearance, appearance) > options.changed_levels


def alike(first: str, second: str) -> float:
    """How like two texts are, 0 to 1, look-alikes folded."""
    return similarity(first.translate(_LOOK_ALIKES), second.translate(_LOOK_ALIKES))


def moved(track: Track, box: Box, now_s: float, options: TrackOptions) -> Track:
    """The track with its plate in `box`."""
    passed_s = now_s - track.last_seen_s
    speed = track.speed
    if passed_s > 0:
        step = Point(box.centre.x - track.box.centre.x, box.centre.y - track.box.centre.y)
        latest = Point(step.x / passed_s, step.y / passed_s)
        speed = latest if speed is None else Point((speed.x + latest.x) / 2, (speed.y + latest.y) / 2)
    there = replace(track, box=box, speed=speed, last_seen_s=max(now_s, track.last_seen_s))
    if is_in_place(track, box, options):
        return there
    return replace(there, anchor=box.centre, anchored_s=now_s, still_looks=0)


def counted(track: Track, observation: PlateObservation, now_s: float, options: TrackOptions) -> Track:
    """The track with a observation that is of its plate; the reading votes."""
    is_sure = track.required <= CONTINUOUS
    track = replace(track, sure_s=track.last_seen_s if is_sure else track.sure_s)
    if observation.reading is None:
        return track
    track = replace(track, read_at_s=now_s, appearance=observation.appearance)
    return with_looks(track, (Look(observation.frame, observation.reading),), options)


def with_looks(track: Track, more: Iterable[Look], options: TrackOptions) -> Track:
    """The vote over the looks and these; beyond `max_looks` those that tell least are forgotten."""
    more = tuple(more)
    if not more:
        return track
    ranked = sorted((*track.looks, *more), key=lambda look: (bool(look.text), look.worth), reverse=True)
    looks = tuple(ranked[: options.max_looks])
    return replace(
        track,
        looks=looks,
        look_count=track.look_count + len(more),
        still_looks=track.still_looks + len(more),
        vote=vote(looks),
    )


def reassured(track: Track, options: TrackOptions) -> Track:
    """The doubts were looks at this plate after all: they vote."""
    return replace(
        with_looks(track, track.doubts, options),
        doubts=(),
        required=CONTINUOUS,
        sure_s=track.last_seen_s,
    )
