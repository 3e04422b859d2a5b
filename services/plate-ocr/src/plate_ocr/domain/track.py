"""The track of one vehicle's plate, and how an observation updates it.

Times are seconds on one clock that does not run backwards. Distances are in plate heights, which makes them the same
near and far: a European plate is about 0.11 m high, so 10 heights are about a metre.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from plate_ocr.domain.appearance import appearance_change
from plate_ocr.domain.values import Box, PlateReading, Point
from plate_ocr.domain.vote import Look, Vote, similarity, vote

_LOOK_ALIKES = str.maketrans("OQDIZSBG", "00012586")
"""Folded to decide whether two texts are of the same vehicle; a text that is reported is never folded."""

MIN_SIMILARITY = 0.5
"""Of a reading to the track's text, to count as a look at this plate: low, since any look may be misread."""
MIN_SIMILARITY_AFTER_GAP = 0.8
"""The same after the plate was not detected for a while, so it may be another vehicle: one character may differ."""
MIN_SIMILARITY_AFTER_CHANGE = 1.0
"""The same after the picture around the plate changed."""

_STANDING_S = 1.0
"""From this long at one position on, the rest of its speed is jitter of the box."""


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """`gap_s`: not detected for longer, a track ends; `parked_gap_s`: the same for one that was stationary for
    `parked_after_s`, as people walk through the view. `swap_s`: not detected for this long, it may be another car at
    the same position. `still_heights`: a box that moved no farther is stationary. `reach_heights`,
    `unknown_speed_heights_s`, `known_speed_heights_s`: how far from its expected position a plate may be found: at
    once, and more with each second, before and after its speed is known. `max_size_ratio`: between the heights of two
    observations of one plate. `settled_looks`, `settled_confidence`: from here on more looks add nothing.
    `max_looks_at_position`: nor do more where the text never settles. `reread_interval_s`: between the readings of
    such a plate. `min_change_levels`: see `appearance_change`. `max_looks`, `max_conflicting_looks`: kept of a track.
    `max_open`: tracks of a camera.
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
    max_looks_at_position: int = 24
    reread_interval_s: float = 30.0
    min_change_levels: float = 12.0
    max_looks: int = 16
    max_conflicting_looks: int = 4
    max_open: int = 64


DEFAULTS = TrackOptions()


@dataclass(frozen=True, slots=True)
class PlateObservation:
    """A plate in a frame. `frame`: the frame's name. `reading`: None where it was not read because `needs_reading`
    said so. `appearance`: see `appearance`; None where it was not computed.
    """

    frame: str
    box: Box
    reading: PlateReading | None = None
    appearance: bytes | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """`speed`: pixels a second, None after one observation. `anchor`: the centre of the position at which the plate
    has stayed since `anchored_s`. `confirmed_s`: when it was last certainly this plate. `looks`: those kept for the
    vote, of `look_count`. `looks_at_position`: made since the plate has been at this position without signs of another
    one. `read_at_s`: when it was last read. `conflicting_looks`: looks since `conflict_since_s` that may be another
    vehicle's. `min_similarity`: of the next reading's text, to count as a look at this plate.
    """

    track_id: int
    box: Box
    first_seen_s: float
    last_seen_s: float
    confirmed_s: float
    anchor: Point
    anchored_s: float
    speed: Point | None = None
    looks: tuple[Look, ...] = ()
    look_count: int = 0
    looks_at_position: int = 0
    read_at_s: float = -math.inf
    vote: Vote | None = None
    appearance: bytes | None = None
    conflicting_looks: tuple[Look, ...] = ()
    conflict_since_s: float = 0.0
    min_similarity: float = MIN_SIMILARITY

    @property
    def text(self) -> str:
        """What the vote says so far; empty where nothing was read."""
        return self.vote.reading.text if self.vote is not None and self.vote.reading.is_read else ""

    def expected(self, now_s: float) -> Box:
        """The box at that time if the plate moves on at its speed."""
        if self.speed is None or self.last_seen_s - self.anchored_s >= _STANDING_S:
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
    """Whether reading the plate in `box` can add anything. Cheap: no vote, no alignment.

    It cannot where the plate is stationary, its text is settled (or never will be) and the picture around it is
    unchanged; such a plate is read every `reread_interval_s`. A plate that is not read is passed to `advance`
    without a reading.
    """
    if track is None:
        return True
    is_open = (
        bool(track.conflicting_looks)
        or track.min_similarity > MIN_SIMILARITY
        or not _is_settled(track, options)
    )
    if is_open and track.looks_at_position < options.max_looks_at_position:
        return True
    if not is_stationary(track, box, options) or now_s - track.last_seen_s >= options.swap_s:
        return True
    return has_changed(track, appearance, options) or now_s - track.read_at_s >= options.reread_interval_s


def _is_settled(track: Track, options: TrackOptions) -> bool:
    made = track.vote
    return (
        made is not None
        and made.agreeing >= options.settled_looks
        and made.reading.confidence >= options.settled_confidence
    )


def has_expired(track: Track, now_s: float, options: TrackOptions) -> bool:
    """Whether it has been unseen for so long that it ends."""
    is_parked = track.last_seen_s - track.anchored_s >= options.parked_after_s
    return now_s - track.last_seen_s > (options.parked_gap_s if is_parked else options.gap_s)


def is_stationary(track: Track, box: Box, options: TrackOptions) -> bool:
    """Whether `box` is where the track's plate has stayed."""
    return math.dist(track.anchor, box.centre) <= options.still_heights * max(box.height, 1.0)


def has_changed(track: Track, appearance: bytes | None, options: TrackOptions) -> bool:
    """Whether the picture around the plate has changed since it was read; not where that is unknown."""
    if track.appearance is None or appearance is None:
        return False
    return appearance_change(track.appearance, appearance) > options.min_change_levels


def text_similarity(first: str, second: str) -> float:
    """0 to 1, with look-alike characters folded."""
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
    if is_stationary(track, box, options):
        return there
    return replace(there, anchor=box.centre, anchored_s=now_s, looks_at_position=0)


def with_observation(
    track: Track, observation: PlateObservation, now_s: float, options: TrackOptions
) -> Track:
    """The track with an observation of its plate, whose reading joins the vote."""
    is_confirmed = track.min_similarity <= MIN_SIMILARITY
    track = replace(track, confirmed_s=track.last_seen_s if is_confirmed else track.confirmed_s)
    if observation.reading is None:
        return track
    track = replace(track, read_at_s=now_s, appearance=observation.appearance)
    return with_looks(track, (Look(observation.frame, observation.reading),), options)


def with_looks(track: Track, more: Iterable[Look], options: TrackOptions) -> Track:
    """The track with more looks and the vote over all; beyond `max_looks` those of least evidence are dropped."""
    more = tuple(more)
    if not more:
        return track
    ranked = sorted(
        (*track.looks, *more), key=lambda look: (bool(look.text), look.evidence_score), reverse=True
    )
    looks = tuple(ranked[: options.max_looks])
    return replace(
        track,
        looks=looks,
        look_count=track.look_count + len(more),
        looks_at_position=track.looks_at_position + len(more),
        vote=vote(looks),
    )


def with_conflict_accepted(track: Track, options: TrackOptions) -> Track:
    """The track with its conflicting looks counted as looks at this plate."""
    return replace(
        with_looks(track, track.conflicting_looks, options),
        conflicting_looks=(),
        min_similarity=MIN_SIMILARITY,
        confirmed_s=track.last_seen_s,
    )
