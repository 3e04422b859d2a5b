"""Which plates of one camera's frames are one vehicle's: state in, state out, the time passed in.

Units are those of `track`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from plate_ocr.domain.geometry import iou
from plate_ocr.domain.track import (
    CHANGED,
    CONTINUOUS,
    DEFAULTS,
    UNSEEN,
    PlateObservation,
    Track,
    TrackOptions,
    alike,
    counted,
    has_changed,
    is_in_place,
    is_over,
    moved,
    needs_reading,
    reassured,
    with_looks,
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

_AGREED = 0.8
_SAME_PLACE = 0.3


@dataclass(frozen=True, slots=True)
class Tracks:
    """The open tracks of one camera."""

    open: tuple[Track, ...] = ()
    next_id: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """What a frame came to. `seen`: tracks that it shows. `ended`: tracks from which nothing more comes."""

    tracks: Tracks
    seen: tuple[Track, ...]
    ended: tuple[Track, ...]


@dataclass(slots=True)
class _Work:
    """A step in the making."""

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
    """The tracks after one more frame. Of more observations than tracks may be open, the tallest count."""
    work = _Work(options, now_s, tracks.next_id)
    waiting = []
    for track in tracks.open:
        if is_over(track, now_s, options):
            _finish(track, work)
        else:
            waiting.append(track)
    kept = sorted(observations, key=lambda one: one.box.height, reverse=True)[: options.max_open]
    pairs = _pairs(waiting, kept, now_s, options)
    for index, observation in enumerate(kept):
        met = pairs.get(index)
        work.seen.append(_began(observation, work) if met is None else _seen(met, observation, work))
    taken = {track.track_id for track in pairs.values()}
    unseen = sorted(
        (t for t in waiting if t.track_id not in taken), key=lambda t: t.last_seen_s, reverse=True
    )
    room = options.max_open - len(work.seen)
    for track in unseen[room:]:
        _finish(track, work)
    still_open = sorted((*work.seen, *unseen[:room]), key=lambda t: t.track_id)
    return Step(Tracks(tuple(still_open), work.next_id), tuple(work.seen), tuple(work.ended))


def close_all(tracks: Tracks, options: TrackOptions = DEFAULTS) -> tuple[Track, ...]:
    """All open tracks as they end, by number."""
    work = _Work(options, 0.0, tracks.next_id)
    for track in tracks.open:
        _finish(track, work)
    return tuple(work.ended)


def track_at(tracks: Tracks, box: Box, now_s: float) -> Track | None:
    """The open track whose plate is expected there; None where a plate would be a new one."""
    best = max(tracks.open, key=lambda track: iou(track.expected(now_s), box), default=None)
    return best if best is not None and iou(best.expected(now_s), box) >= _SAME_PLACE else None


def _pairs(
    tracks: Sequence[Track], observations: Sequence[PlateObservation], now_s: float, options: TrackOptions
) -> dict[int, Track]:
    """PlateObservation's index → track, the likeliest pair first, each at most once."""
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
    """0 to 1 where the boxes overlap, 1 to 2 where they are near enough, and up to a half more for another text; None:
    not this plate.
    """
    expected, box = track.expected(now_s), observation.box
    small, large = sorted((max(track.box.height, 1.0), max(box.height, 1.0)))
    if large / small > options.max_size_ratio:
        return None
    likeness = _likeness(track, observation.reading)
    if shared := iou(expected, box):
        return 1 - shared + (1 - likeness) / 2
    if likeness < CONTINUOUS:
        return None
    passed_s = now_s - track.last_seen_s
    speed = options.unknown_speed_heights_s if track.speed is None else options.known_speed_heights_s
    # Out of sight for longer than a moving one may be, it has to turn up where it stood.
    drift = speed * passed_s if passed_s <= options.gap_s else 0.0
    reach_px = (options.reach_heights + drift) * (small + large) / 2
    distance_px = math.dist(expected.centre, box.centre)
    return 1 + distance_px / reach_px + (1 - likeness) / 2 if distance_px <= reach_px else None


def _likeness(track: Track, reading: PlateReading | None) -> float:
    """Of the texts, 1 where one of them is not known: then they do not contradict each other."""
    if reading is None or not reading.is_read or not track.text:
        return 1.0
    texts = [track.text, *(look.text for look in track.doubts)]
    return max(alike(text, reading.text) for text in texts)


def _began(observation: PlateObservation, work: _Work) -> Track:
    track = Track(
        track_id=work.take_id(),
        box=observation.box,
        first_seen_s=work.now_s,
        last_seen_s=work.now_s,
        sure_s=work.now_s,
        anchor=observation.box.centre,
        anchored_s=work.now_s,
        appearance=observation.appearance,
    )
    return counted(track, observation, work.now_s, work.options)


def _seen(track: Track, observation: PlateObservation, work: _Work) -> Track:
    """The track with one more observation; where that shows another vehicle, the track ends and another begins."""
    options, now_s = work.options, work.now_s
    required = track.required
    if is_in_place(track, observation.box, options):
        if now_s - track.last_seen_s >= options.swap_s:
            required = max(required, UNSEEN)
        if has_changed(track, observation.appearance, options):
            required = CHANGED
    # A new question may be looked into anew; see `needs_reading`.
    still_looks = track.still_looks if required == track.required else 0
    track = moved(replace(track, required=required, still_looks=still_looks), observation.box, now_s, options)
    reading = observation.reading
    if not track.text:
        # A car that nobody could read, and one that came in its place unnoticed, are one track: nothing names either.
        return counted(replace(track, required=CONTINUOUS), observation, now_s, options)
    if reading is None or not reading.is_read:
        return counted(track, observation, now_s, options)
    like = alike(track.text, reading.text)
    like_doubts = max((alike(doubt.text, reading.text) for doubt in track.doubts), default=0.0)
    if like >= required and like >= like_doubts:
        return counted(reassured(track, options), observation, now_s, options)
    since_s = track.doubts_since_s if track.doubts else now_s
    doubts = (*track.doubts, Look(observation.frame, reading))
    track = replace(
        track, doubts=doubts, doubts_since_s=since_s, read_at_s=now_s, appearance=observation.appearance
    )
    return _settle_doubts(track, work)


def _settle_doubts(track: Track, work: _Work) -> Track:
    """Another vehicle, once two doubts say the same; bad looks at this one where it was in sight all the time."""
    doubts = track.doubts
    newest = doubts[-1].text
    has_agreed = any(alike(newest, doubt.text) >= _AGREED for doubt in doubts[:-1])
    if not has_agreed and len(doubts) < work.options.max_doubts:
        return track
    is_broken = track.required > CONTINUOUS
    is_confirmed = track.vote is not None and track.vote.agreeing >= MIN_AGREEING
    if is_broken or (has_agreed and is_confirmed):
        ended, begun = _parted(track, work)
        work.ended.append(ended)
        return begun
    return reassured(track, work.options)


def _parted(track: Track, work: _Work) -> tuple[Track, Track]:
    """The track up to where it was sure, and the other vehicle's, made of the doubts."""
    ended = replace(track, doubts=(), last_seen_s=track.sure_s, required=CONTINUOUS)
    since_s = track.doubts_since_s
    begun = Track(
        track_id=work.take_id(),
        box=track.box,
        first_seen_s=since_s,
        last_seen_s=track.last_seen_s,
        sure_s=track.last_seen_s,
        anchor=track.anchor,
        anchored_s=max(track.anchored_s, since_s),
        speed=track.speed,
        read_at_s=track.read_at_s,
        appearance=track.appearance,
    )
    return ended, with_looks(begun, track.doubts, work.options)


def _finish(track: Track, work: _Work) -> None:
    """End it. A doubt that nothing settled is a vehicle of its own if the track was out of sight before it."""
    if track.doubts and track.required > CONTINUOUS:
        work.ended.extend(_parted(track, work))
    else:
        work.ended.append(reassured(track, work.options) if track.doubts else track)
