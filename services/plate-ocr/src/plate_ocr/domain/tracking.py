"""Assigns the plates in one camera's frames to tracks. Pure: the state and the time are passed in.

Units are those of `track`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from plate_ocr.domain.geometry import iou
from plate_ocr.domain.track import (
    DEFAULTS,
    MIN_SIMILARITY,
    MIN_SIMILARITY_AFTER_CHANGE,
    MIN_SIMILARITY_AFTER_GAP,
    PlateObservation,
    Track,
    TrackOptions,
    has_changed,
    has_expired,
    is_stationary,
    moved,
    needs_reading,
    text_similarity,
    with_conflict_accepted,
    with_looks,
    with_observation,
)
from plate_ocr.domain.values import Box, PlateReading
from plate_ocr.domain.vote import MIN_AGREEING, Look

__all__ = [
    "DEFAULTS",
    "PlateObservation",
    "Step",
    "Track",
    "TrackOptions",
    "Tracks",
    "advance",
    "close_all",
    "needs_reading",
    "track_at",
]

_SAME_TEXT = 0.8
_MIN_IOU = 0.3


@dataclass(frozen=True, slots=True)
class Tracks:
    """The open tracks of one camera."""

    open: tuple[Track, ...] = ()
    next_id: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one frame. `seen`: tracks that the frame shows. `ended`: tracks that are final."""

    tracks: Tracks
    seen: tuple[Track, ...]
    ended: tuple[Track, ...]


@dataclass(slots=True)
class _StepBuilder:
    """Collects the result of one frame."""

    options: TrackOptions
    now_s: float
    next_id: int
    seen: list[Track] = field(default_factory=list)
    ended: list[Track] = field(default_factory=list)

    def take_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1


def advance(
    tracks: Tracks, observations: Sequence[PlateObservation], now_s: float, options: TrackOptions = DEFAULTS
) -> Step:
    """The tracks after one more frame. Of more observations than tracks may be open, the tallest are used."""
    builder = _StepBuilder(options, now_s, tracks.next_id)
    waiting = []
    for track in tracks.open:
        if has_expired(track, now_s, options):
            _close(track, builder)
        else:
            waiting.append(track)
    kept = sorted(observations, key=lambda one: one.box.height, reverse=True)[: options.max_open]
    pairs = _match(waiting, kept, now_s, options)
    for index, observation in enumerate(kept):
        met = pairs.get(index)
        builder.seen.append(
            _new_track(observation, builder) if met is None else _matched(met, observation, builder)
        )
    taken = {track.track_id for track in pairs.values()}
    unseen = sorted(
        (t for t in waiting if t.track_id not in taken), key=lambda t: t.last_seen_s, reverse=True
    )
    room = options.max_open - len(builder.seen)
    for track in unseen[room:]:
        _close(track, builder)
    still_open = sorted((*builder.seen, *unseen[:room]), key=lambda t: t.track_id)
    return Step(Tracks(tuple(still_open), builder.next_id), tuple(builder.seen), tuple(builder.ended))


def close_all(tracks: Tracks, options: TrackOptions = DEFAULTS) -> tuple[Track, ...]:
    """All open tracks as they end, by number."""
    builder = _StepBuilder(options, 0.0, tracks.next_id)
    for track in tracks.open:
        _close(track, builder)
    return tuple(builder.ended)


def track_at(tracks: Tracks, box: Box, now_s: float) -> Track | None:
    """The open track whose plate is expected in `box`; None where a plate there would be a new one."""
    best = max(tracks.open, key=lambda track: iou(track.expected(now_s), box), default=None)
    return best if best is not None and iou(best.expected(now_s), box) >= _MIN_IOU else None


def _match(
    tracks: Sequence[Track], observations: Sequence[PlateObservation], now_s: float, options: TrackOptions
) -> dict[int, Track]:
    """Observation's index → track, by ascending cost, each at most once."""
    costs = [
        (cost, track.track_id, index, track)
        for track in tracks
        for index, observation in enumerate(observations)
        if (cost := _cost(track, observation, now_s, options)) is not None
    ]
    pairs: dict[int, Track] = {}
    met: set[int] = set()
    for _, track_id, index, track in sorted(costs, key=lambda one: one[:3]):
        if track_id not in met and index not in pairs:
            pairs[index] = track
            met.add(track_id)
    return pairs


def _cost(track: Track, observation: PlateObservation, now_s: float, options: TrackOptions) -> float | None:
    """0 to 1 where the boxes overlap, 1 to 2 where they are near enough, and up to a half more for a different text;
    None where it cannot be this plate.
    """
    expected, box = track.expected(now_s), observation.box
    small, large = sorted((max(track.box.height, 1.0), max(box.height, 1.0)))
    if large / small > options.max_size_ratio:
        return None
    match = _text_similarity(track, observation.reading)
    if shared := iou(expected, box):
        return 1 - shared + (1 - match) / 2
    if match < MIN_SIMILARITY:
        return None
    passed_s = now_s - track.last_seen_s
    speed = options.unknown_speed_heights_s if track.speed is None else options.known_speed_heights_s
    # Not detected for longer than a moving plate may be, it has to be found at its last position.
    drift = speed * passed_s if passed_s <= options.gap_s else 0.0
    reach_px = (options.reach_heights + drift) * (small + large) / 2
    distance_px = math.dist(expected.centre, box.centre)
    return 1 + distance_px / reach_px + (1 - match) / 2 if distance_px <= reach_px else None


def _text_similarity(track: Track, reading: PlateReading | None) -> float:
    """Of the track's text and the reading's; 1 where either is unknown, as they do not contradict each other then."""
    if reading is None or not reading.is_read or not track.text:
        return 1.0
    texts = [track.text, *(look.text for look in track.conflicting_looks)]
    return max(text_similarity(text, reading.text) for text in texts)


def _new_track(observation: PlateObservation, builder: _StepBuilder) -> Track:
    track = Track(
        track_id=builder.take_id(),
        box=observation.box,
        first_seen_s=builder.now_s,
        last_seen_s=builder.now_s,
        confirmed_s=builder.now_s,
        anchor=observation.box.centre,
        anchored_s=builder.now_s,
        appearance=observation.appearance,
    )
    return with_observation(track, observation, builder.now_s, builder.options)


def _matched(track: Track, observation: PlateObservation, builder: _StepBuilder) -> Track:
    """The track with one more observation; where that is of another vehicle, the track ends and a new one begins."""
    options, now_s = builder.options, builder.now_s
    min_similarity = track.min_similarity
    if is_stationary(track, observation.box, options):
        if now_s - track.last_seen_s >= options.swap_s:
            min_similarity = max(min_similarity, MIN_SIMILARITY_AFTER_GAP)
        if has_changed(track, observation.appearance, options):
            min_similarity = MIN_SIMILARITY_AFTER_CHANGE
    # Where it may be another plate since this observation, new readings are allowed; see `needs_reading`.
    looks_at_position = track.looks_at_position if min_similarity == track.min_similarity else 0
    track = moved(
        replace(track, min_similarity=min_similarity, looks_at_position=looks_at_position),
        observation.box,
        now_s,
        options,
    )
    reading = observation.reading
    if not track.text:
        # An unread car and another at the same position after it are one track: no text distinguishes them.
        return with_observation(replace(track, min_similarity=MIN_SIMILARITY), observation, now_s, options)
    if reading is None or not reading.is_read:
        return with_observation(track, observation, now_s, options)
    similarity_to_track = text_similarity(track.text, reading.text)
    conflict_similarity = max(
        (text_similarity(conflict.text, reading.text) for conflict in track.conflicting_looks), default=0.0
    )
    if similarity_to_track >= min_similarity and similarity_to_track >= conflict_similarity:
        return with_observation(with_conflict_accepted(track, options), observation, now_s, options)
    since_s = track.conflict_since_s if track.conflicting_looks else now_s
    conflicting_looks = (*track.conflicting_looks, Look(observation.frame, reading))
    track = replace(
        track,
        conflicting_looks=conflicting_looks,
        conflict_since_s=since_s,
        read_at_s=now_s,
        appearance=observation.appearance,
    )
    return _resolve_conflict(track, builder)


def _resolve_conflict(track: Track, builder: _StepBuilder) -> Track:
    """Two conflicting looks that agree are another vehicle; where the plate was detected throughout, they are
    misreadings.
    """
    conflicting_looks = track.conflicting_looks
    newest = conflicting_looks[-1].text
    has_agreed = any(
        text_similarity(newest, conflict.text) >= _SAME_TEXT for conflict in conflicting_looks[:-1]
    )
    if not has_agreed and len(conflicting_looks) < builder.options.max_conflicting_looks:
        return track
    was_interrupted = track.min_similarity > MIN_SIMILARITY
    is_confirmed = track.vote is not None and track.vote.agreeing >= MIN_AGREEING
    if was_interrupted or (has_agreed and is_confirmed):
        ended, started = _split(track, builder)
        builder.ended.append(ended)
        return started
    return with_conflict_accepted(track, builder.options)


def _split(track: Track, builder: _StepBuilder) -> tuple[Track, Track]:
    """The track up to its last confirmed observation, and the other vehicle's, made of the conflicting looks."""
    ended = replace(track, conflicting_looks=(), last_seen_s=track.confirmed_s, min_similarity=MIN_SIMILARITY)
    since_s = track.conflict_since_s
    started = Track(
        track_id=builder.take_id(),
        box=track.box,
        first_seen_s=since_s,
        last_seen_s=track.last_seen_s,
        confirmed_s=track.last_seen_s,
        anchor=track.anchor,
        anchored_s=max(track.anchored_s, since_s),
        speed=track.speed,
        read_at_s=track.read_at_s,
        appearance=track.appearance,
    )
    return ended, with_looks(started, track.conflicting_looks, builder.options)


def _close(track: Track, builder: _StepBuilder) -> None:
    """End the track. An unresolved conflict is a vehicle of its own if the track was not detected before it."""
    if track.conflicting_looks and track.min_similarity > MIN_SIMILARITY:
        builder.ended.extend(_split(track, builder))
    else:
        builder.ended.append(
            with_conflict_accepted(track, builder.options) if track.conflicting_looks else track
        )
