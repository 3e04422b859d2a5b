"""Which plates of one camera's frames are one vehicle's: state in, state out, the time passed in.

Times are seconds on any one clock that does not run backwards. Distances are told in plate heights, which makes them
the same near and far: a European plate is about 0.11 m high, so 10 heights are about a metre.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from plate_ocr.domain.appearance import appearance_change
from plate_ocr.domain.geometry import overlap
from plate_ocr.domain.values import Box, PlateReading, Point
from plate_ocr.domain.vote import MIN_AGREEING, Look, Vote, similarity, vote

_LOOK_ALIKES = str.maketrans("OQDIZSBG", "00012586")
"""Folded when the question is whether it is the same car; what is read is never folded."""

_CONTINUOUS, _UNSEEN, _CHANGED = 0.5, 0.8, 1.0
"""How like a track's text a further reading has to be to count as one more look at it: seen without a break any bad
look; after the place was out of sight, all but a character; after the picture there changed, the same."""

_AGREED = 0.8
_SAME_PLACE = 0.3
_STANDS_S = 1.0
"""Standing so long, what is left of its speed is the jitter of its box."""


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
class Sighting:
    """A plate in a frame. `reading`: None where it was not read because `needs_reading` said so. `appearance`: see
    `appearance`; None where nobody made one.
    """

    frame: str
    box: Box
    reading: PlateReading | None = None
    appearance: bytes | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """`speed`: pixels a second, None after one sighting. `anchor`: the centre around which the plate has stayed since
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
    required: float = _CONTINUOUS

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
    tracks: Tracks, sightings: Sequence[Sighting], now_s: float, options: TrackOptions = DEFAULTS
) -> Step:
    """The tracks after one more frame. Of more sightings than tracks may be open, the tallest count."""
    work = _Work(options, now_s, tracks.next_id)
    waiting = []
    for track in tracks.open:
        if _is_over(track, now_s, options):
            _finish(track, work)
        else:
            waiting.append(track)
    kept = sorted(sightings, key=lambda one: one.box.height, reverse=True)[: options.max_open]
    pairs = _pairs(waiting, kept, now_s, options)
    for index, sighting in enumerate(kept):
        met = pairs.get(index)
        work.seen.append(_began(sighting, work) if met is None else _seen(met, sighting, work))
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
    best = max(tracks.open, key=lambda track: overlap(track.expected(now_s), box), default=None)
    return best if best is not None and overlap(best.expected(now_s), box) >= _SAME_PLACE else None


def needs_reading(
    track: Track | None,
    box: Box,
    now_s: float,
    appearance: bytes | None = None,
    options: TrackOptions = DEFAULTS,
) -> bool:
    """Whether reading the plate in `box` can still tell something. Cheap: no vote, no alignment.

    Not where it stands still, its reading is settled (or will not be) and the picture there is what it was; then only
    every `recheck_s`. A plate that is skipped is told to `advance` as a sighting without a reading.
    """
    if track is None:
        return True
    is_open = bool(track.doubts) or track.required > _CONTINUOUS or not _is_settled(track, options)
    if is_open and track.still_looks < options.enough_looks:
        return True
    if not _is_in_place(track, box, options) or now_s - track.last_seen_s >= options.swap_s:
        return True
    return _has_changed(track, appearance, options) or now_s - track.read_at_s >= options.recheck_s


def _is_settled(track: Track, options: TrackOptions) -> bool:
    made = track.vote
    return (
        made is not None
        and made.agreeing >= options.settled_looks
        and made.reading.confidence >= options.settled_confidence
    )


def _is_over(track: Track, now_s: float, options: TrackOptions) -> bool:
    is_parked = track.last_seen_s - track.anchored_s >= options.parked_after_s
    return now_s - track.last_seen_s > (options.parked_gap_s if is_parked else options.gap_s)


def _is_in_place(track: Track, box: Box, options: TrackOptions) -> bool:
    return math.dist(track.anchor, box.centre) <= options.still_heights * max(box.height, 1.0)


def _has_changed(track: Track, appearance: bytes | None, options: TrackOptions) -> bool:
    if track.appearance is None or appearance is None:
        return False
    return appearance_change(track.appearance, appearance) > options.changed_levels


def _pairs(
    tracks: Sequence[Track], sightings: Sequence[Sighting], now_s: float, options: TrackOptions
) -> dict[int, Track]:
    """Sighting's index → track, the likeliest pair first, each at most once."""
    costs = [
        (cost, track.track_id, index, track)
        for track in tracks
        for index, sighting in enumerate(sightings)
        if (cost := _cost(track, sighting, now_s, options)) is not None
    ]
    pairs: dict[int, Track] = {}
    met: set[int] = set()
    for _, track_id, index, track in sorted(costs, key=lambda one: one[:3]):
        if track_id not in met and index not in pairs:
            pairs[index] = track
            met.add(track_id)
    return pairs


def _cost(track: Track, sighting: Sighting, now_s: float, options: TrackOptions) -> float | None:
    """0 to 1 where the boxes overlap, 1 to 2 where they are near enough, and up to a half more for another text; None:
    not this plate.
    """
    expected, box = track.expected(now_s), sighting.box
    small, large = sorted((max(track.box.height, 1.0), max(box.height, 1.0)))
    if large / small > options.max_size_ratio:
        return None
    likeness = _likeness(track, sighting.reading)
    if shared := overlap(expected, box):
        return 1 - shared + (1 - likeness) / 2
    if likeness < _CONTINUOUS:
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
    return max(_alike(text, reading.text) for text in texts)


def _alike(first: str, second: str) -> float:
    return similarity(first.translate(_LOOK_ALIKES), second.translate(_LOOK_ALIKES))


def _began(sighting: Sighting, work: _Work) -> Track:
    track = Track(
        track_id=work.take_id(),
        box=sighting.box,
        first_seen_s=work.now_s,
        last_seen_s=work.now_s,
        sure_s=work.now_s,
        anchor=sighting.box.centre,
        anchored_s=work.now_s,
        appearance=sighting.appearance,
    )
    return _counted(track, sighting, work.now_s, work.options)


def _seen(track: Track, sighting: Sighting, work: _Work) -> Track:
    """The track with one more sighting; where that shows another vehicle, the track ends and another begins."""
    options, now_s = work.options, work.now_s
    required = track.required
    if _is_in_place(track, sighting.box, options):
        if now_s - track.last_seen_s >= options.swap_s:
            required = max(required, _UNSEEN)
        if _has_changed(track, sighting.appearance, options):
            required = _CHANGED
    # A new question may be looked into anew; see `needs_reading`.
    still_looks = track.still_looks if required == track.required else 0
    track = _moved(replace(track, required=required, still_looks=still_looks), sighting.box, now_s, options)
    reading = sighting.reading
    if not track.text:
        # A car that nobody could read, and one that came in its place unnoticed, are one track: nothing names either.
        return _counted(replace(track, required=_CONTINUOUS), sighting, now_s, options)
    if reading is None or not reading.is_read:
        return _counted(track, sighting, now_s, options)
    like = _alike(track.text, reading.text)
    like_doubts = max((_alike(doubt.text, reading.text) for doubt in track.doubts), default=0.0)
    if like >= required and like >= like_doubts:
        return _counted(_reassured(track, options), sighting, now_s, options)
    since_s = track.doubts_since_s if track.doubts else now_s
    doubts = (*track.doubts, Look(sighting.frame, reading))
    track = replace(
        track, doubts=doubts, doubts_since_s=since_s, read_at_s=now_s, appearance=sighting.appearance
    )
    return _settle_doubts(track, work)


def _settle_doubts(track: Track, work: _Work) -> Track:
    """Another vehicle, once two doubts say the same; bad looks at this one where it was in sight all the time."""
    doubts = track.doubts
    newest = doubts[-1].text
    has_agreed = any(_alike(newest, doubt.text) >= _AGREED for doubt in doubts[:-1])
    if not has_agreed and len(doubts) < work.options.max_doubts:
        return track
    is_broken = track.required > _CONTINUOUS
    is_confirmed = track.vote is not None and track.vote.agreeing >= MIN_AGREEING
    if is_broken or (has_agreed and is_confirmed):
        ended, begun = _parted(track, work)
        work.ended.append(ended)
        return begun
    return _reassured(track, work.options)


def _parted(track: Track, work: _Work) -> tuple[Track, Track]:
    """The track up to where it was sure, and the other vehicle's, made of the doubts."""
    ended = replace(track, doubts=(), last_seen_s=track.sure_s, required=_CONTINUOUS)
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
    return ended, _with_looks(begun, track.doubts, work.options)


def _reassured(track: Track, options: TrackOptions) -> Track:
    """The doubts were looks at this plate after all: they vote."""
    return replace(
        _with_looks(track, track.doubts, options),
        doubts=(),
        required=_CONTINUOUS,
        sure_s=track.last_seen_s,
    )


def _finish(track: Track, work: _Work) -> None:
    """End it. A doubt that nothing settled is a vehicle of its own if the track was out of sight before it."""
    if track.doubts and track.required > _CONTINUOUS:
        work.ended.extend(_parted(track, work))
    else:
        work.ended.append(_reassured(track, work.options) if track.doubts else track)


def _moved(track: Track, box: Box, now_s: float, options: TrackOptions) -> Track:
    passed_s = now_s - track.last_seen_s
    speed = track.speed
    if passed_s > 0:
        step = Point(box.centre.x - track.box.centre.x, box.centre.y - track.box.centre.y)
        latest = Point(step.x / passed_s, step.y / passed_s)
        speed = latest if speed is None else Point((speed.x + latest.x) / 2, (speed.y + latest.y) / 2)
    moved = replace(track, box=box, speed=speed, last_seen_s=max(now_s, track.last_seen_s))
    if _is_in_place(track, box, options):
        return moved
    return replace(moved, anchor=box.centre, anchored_s=now_s, still_looks=0)


def _counted(track: Track, sighting: Sighting, now_s: float, options: TrackOptions) -> Track:
    is_sure = track.required <= _CONTINUOUS
    track = replace(track, sure_s=track.last_seen_s if is_sure else track.sure_s)
    if sighting.reading is None:
        return track
    track = replace(track, read_at_s=now_s, appearance=sighting.appearance)
    return _with_looks(track, (Look(sighting.frame, sighting.reading),), options)


def _with_looks(track: Track, more: Iterable[Look], options: TrackOptions) -> Track:
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
