"""One vehicle, one track: through misreadings, through a row of cars, and when cars change places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.appearance import appearance, appearance_change
from plate_ocr.domain.tracking import (
    DEFAULTS,
    PlateObservation,
    Track,
    TrackOptions,
    Tracks,
    advance,
    close_all,
    needs_reading,
    track_at,
)
from plate_ocr.domain.values import (
    Box,
    Character,
    Picture,
    PlateReading,
    PlateState,
    UnreadReason,
    seen_not_read,
)

HEIGHT = 20.0
DARK, BRIGHT = bytes(range(64)), bytes(reversed(range(64)))
FEW = TrackOptions(max_open=3)


def box(x: float, y: float = 100, height: float = HEIGHT) -> Box:
    return Box(x, y, height * 4.5, height)


def observation(
    frame: str, text: str | None, at: Box, confidence: float = 0.9, look: bytes | None = None
) -> PlateObservation:
    """`text`: None for a plate that was only seen."""
    if text is None:
        return PlateObservation(
            frame, at, seen_not_read(at, UnreadReason.TOO_SMALL, height_px=at.height), look
        )
    characters = tuple(Character(c, confidence) for c in text)
    reading = PlateReading(text, text, "", "", text, confidence, characters, at, height_px=at.height)
    return PlateObservation(frame, at, reading, look)


class Site:
    """Tracks the frames of one camera; keeps the tracks that ended."""

    def __init__(self, options: TrackOptions = DEFAULTS) -> None:
        self.tracks = Tracks()
        self.options = options
        self.ended: list[Track] = []
        self.seen: tuple[Track, ...] = ()
        self.now_s = 0.0

    def frame(self, *observations: PlateObservation, after_s: float = 0.2) -> None:
        self.now_s += after_s
        step = advance(self.tracks, observations, self.now_s, self.options)
        self.tracks, self.seen = step.tracks, step.seen
        self.ended += step.ended

    def observe(
        self, text: str | None, times: int, at: Box | None = None, after_s: float = 0.2, **more
    ) -> None:
        for _ in range(times):
            self.frame(observation(f"{self.now_s:.1f}", text, at or box(100), **more), after_s=after_s)

    def close(self) -> list[Track]:
        self.ended += close_all(self.tracks, self.options)
        self.tracks = Tracks(next_id=self.tracks.next_id)
        return sorted(self.ended, key=lambda track: track.first_seen_s)

    @property
    def only(self) -> Track:
        (track,) = self.tracks.open
        return track


def texts(tracks: list[Track]) -> list[str]:
    return [track.text for track in tracks]


@pytest.mark.parametrize("speed_px", [0, 10, 40, 150, -60])
def test_a_car_that_drives_by(speed_px: float) -> None:
    site = Site()
    for n in range(12):
        site.frame(observation(f"f{n}", "D71026", box(600 + speed_px * n)))
    (track,) = site.close()
    assert (track.text, track.look_count) == ("D71026", 12)
    assert track.first_seen_s == pytest.approx(0.2)
    assert track.last_seen_s == pytest.approx(2.4)


def test_a_car_that_comes_nearer_is_one_read_although_its_first_looks_are_bad() -> None:
    site = Site()
    seen = [None, "1011", "D7I028", "D71028", "D71026", "D71026", "D71026"]
    for n, text in enumerate(seen):
        at = box(300 - 30 * n, 100 + 15 * n, 9 * 1.25**n)
        site.frame(observation(f"f{n}", text, at, confidence=0.4 + 0.08 * n))
    (track,) = site.close()
    assert (track.text, track.look_count) == ("D71026", 7)
    assert track.vote.reading.state is PlateState.READ
    assert track.vote.evidence.frame == "f6"


@pytest.mark.parametrize("after_s", [0.2, 1.0, 10.0])
def test_a_row_of_parked_cars(after_s: float) -> None:
    plates = ["D71026", "K11842", "A90031", "D71062"]
    site = Site()
    for n in range(8):
        found = [observation(f"f{n}", text, box(100 + 140 * i)) for i, text in enumerate(plates)]
        site.frame(*found[n % 4 :], *found[: n % 4], after_s=after_s if n > 3 else 1.9)
    if after_s < 10:
        assert sorted(texts(site.close())) == sorted(plates)


def test_two_cars_that_pass_each_other() -> None:
    site = Site()
    for n in range(20):
        site.frame(
            observation(f"f{n}", "D71026", box(100 + 50 * n, 100)),
            observation(f"f{n}", "K11842", box(1100 - 50 * n, 108)),
        )
    assert sorted(texts(site.close())) == ["D71026", "K11842"]


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(1.0, 20.0),
    st.sampled_from([("D71026", "K118"), ("A12345", "99Z"), ("BRA2E19", "11111")]),
)
def test_cars_that_change_places_are_two(first: int, second: int, pause_s: float, cars) -> None:
    """In the same place, after any pause in which another may have come, and with any number of looks."""
    site = Site()
    site.observe(cars[0], first)
    site.observe(cars[1], 1, after_s=pause_s)
    site.observe(cars[1], second - 1)
    ended = site.close()
    assert texts(ended) == list(cars)
    assert [track.look_count for track in ended] == [first, second]
    assert ended[0].last_seen_s == pytest.approx(0.2 * first)
    assert ended[1].first_seen_s == pytest.approx(0.2 * first + pause_s)
    for track in ended:
        assert track.vote.evidence in track.looks
    assert [t.vote.reading.state for t in ended] == [
        PlateState.READ if n > 1 else PlateState.SINGLE_LOOK for n in (first, second)
    ]


@given(st.integers(1, 5), st.integers(1, 5))
def test_a_changed_picture_separates_cars_with_nearly_the_same_plate(first: int, second: int) -> None:
    site = Site()
    site.observe("D71026", first, look=DARK)
    site.observe("D71027", second, look=BRIGHT)
    assert texts(site.close()) == ["D71026", "D71027"]


def test_a_cloud_and_a_misread_look_are_not_another_car() -> None:
    site = Site()
    site.observe("D71026", 4, look=DARK)
    site.observe("D71028", 1, look=BRIGHT)
    assert site.only.conflicting_looks
    site.observe("D71026", 3, look=BRIGHT)
    (track,) = site.close()
    assert (track.text, track.look_count, track.vote.agreeing) == ("D71026", 8, 7)


@pytest.mark.parametrize("bad", ["HOTEL", "7", "KK99"])
def test_one_misread_look_does_not_end_a_track(bad: str) -> None:
    site = Site()
    site.observe("D71026", 5)
    before = site.only.vote.reading.confidence
    site.observe(bad, 1)
    site.observe("D71026", 1)
    (track,) = site.close()
    assert (track.text, track.look_count) == ("D71026", 7)
    assert track.vote.reading.confidence < before + 0.05


def test_a_misread_last_look_belongs_to_the_car_that_leaves_the_picture() -> None:
    site = Site()
    site.observe("D71026", 3)
    site.observe("26", 1)
    site.observe("X9", 1)
    (track,) = site.close()
    assert (track.text, track.look_count) == ("D71026", 5)
    assert track.last_seen_s == pytest.approx(1.0)


def test_somebody_walks_past_a_parked_car() -> None:
    site = Site()
    site.observe("D71026", 30)
    for _ in range(50):
        site.frame()
    site.observe("D71026", 3)
    (track,) = site.close()
    assert track.look_count == 33


def test_the_track_of_a_moving_car_ends_after_the_gap() -> None:
    site = Site()
    for n in range(4):
        site.frame(observation(f"f{n}", "D71026", box(100 + 60 * n)))
    for _ in range(10):
        site.frame()
    assert site.ended == []
    site.frame()
    assert (texts(site.ended), site.tracks.open) == (["D71026"], ())


def test_a_plate_that_is_never_read() -> None:
    site = Site()
    site.observe(None, 5)
    (track,) = site.close()
    assert (track.vote.reading.state, track.text, track.look_count) == (PlateState.SEEN_NOT_READ, "", 5)


def test_a_settled_parked_plate_is_not_read() -> None:
    site, at = Site(), box(100)
    for n in range(1, 8):
        assert needs_reading(track_at(site.tracks, at, site.now_s), at, site.now_s + 0.2, DARK) == (n < 4)
        site.observe("D71026", 1, look=DARK, confidence=0.95)
    track, now_s = site.only, site.now_s
    assert track_at(site.tracks, box(104), now_s) is track
    assert track_at(site.tracks, box(400), now_s) is None
    assert not needs_reading(track, box(104), now_s + 0.2, DARK)
    assert needs_reading(track, box(130), now_s + 0.2, DARK)
    assert needs_reading(track, at, now_s + 0.2, BRIGHT)
    assert not needs_reading(track, at, now_s + 0.2, None)
    assert needs_reading(track, at, now_s + DEFAULTS.swap_s + 0.01, DARK)
    assert needs_reading(None, at, now_s, DARK)


def test_a_parked_plate_is_reread_at_intervals_and_stays_one_track() -> None:
    site, at, read = Site(), box(100), 0
    for n in range(600):
        track = track_at(site.tracks, at, site.now_s)
        if needs_reading(track, at, site.now_s + 0.2, DARK):
            site.frame(observation(f"f{n}", "D71026", at, 0.95, look=DARK))
            read += 1
        else:
            site.frame(PlateObservation(f"f{n}", at, None, DARK))
    (track,) = site.close()
    assert track.look_count == read
    assert read == 3 + (120 - 0.6) // DEFAULTS.reread_interval_s
    assert track.last_seen_s == pytest.approx(120)


@pytest.mark.parametrize("text", [None, "D71026"])
def test_a_parked_plate_that_never_settles_is_not_read_in_every_frame(text: str | None) -> None:
    site, at, read = Site(), box(100), 0
    for n in range(600):
        if needs_reading(track_at(site.tracks, at, site.now_s), at, site.now_s + 0.2, DARK):
            site.frame(observation(f"f{n}", text, at, 0.1, look=DARK))
            read += 1
        else:
            site.frame(PlateObservation(f"f{n}", at, None, DARK))
    assert DEFAULTS.max_looks_at_position <= read < DEFAULTS.max_looks_at_position + 6
    assert len(site.only.looks) == DEFAULTS.max_looks


def test_a_skipped_plate_is_read_when_another_car_takes_the_place() -> None:
    site, at = Site(), box(100)
    site.observe("D71026", 4, look=DARK, confidence=0.95)
    site.frame(PlateObservation("skipped", at, None, DARK))
    assert needs_reading(site.only, at, site.now_s + 0.2, BRIGHT)
    site.observe("K11842", 3, look=BRIGHT, confidence=0.95)
    assert texts(site.close()) == ["D71026", "K11842"]


def test_looks_and_tracks_are_bounded() -> None:
    site = Site(FEW)
    for n in range(6):
        site.frame(*(observation(f"f{n}", f"AB{n}{i}11", box(2000 * n + 200 * i)) for i in range(5)))
        assert len(site.tracks.open) <= 3
    assert len(site.close()) == 18
    assert len({track.track_id for track in site.ended}) == 18


def test_frames_with_the_same_time_are_tracked() -> None:
    site = Site()
    for n in range(4):
        site.frame(observation(f"f{n}", "D71026", box(100 + n)), after_s=0)
    (track,) = site.close()
    assert track.look_count == 4


SCENES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["D71026", "D71028", "K118", "", None]),
            st.floats(0, 800),
            st.floats(6, 60),
            st.sampled_from([None, DARK, BRIGHT]),
        ),
        max_size=5,
    ),
    max_size=12,
)


@given(SCENES, st.floats(0, 8))
def test_no_look_is_lost_or_counted_twice(scenes, after_s: float) -> None:
    site, read = Site(), 0
    for n, scene in enumerate(scenes):
        found = []
        for text, x, height, look in scene:
            at = box(x, height=height)
            found.append(
                PlateObservation(f"f{n}", at, None, look)
                if text == ""
                else observation(f"f{n}", text, at, look=look)
            )
            read += text != ""
        site.frame(*found, after_s=after_s)
        assert len(site.seen) == len(found)
        assert {t.track_id for t in site.seen} <= {t.track_id for t in site.tracks.open}
    ended = site.close()
    assert sum(track.look_count for track in ended) == read
    assert len({track.track_id for track in ended}) == len(ended)
    for track in ended:
        assert track.first_seen_s <= track.last_seen_s
        assert track.conflicting_looks == ()
        if track.vote is not None:
            assert track.vote.evidence in track.looks


def around(picture: Picture, at: Box) -> bytes:
    made = appearance(picture, at)
    assert made is not None
    assert len(made) == 64
    return made


def test_appearance() -> None:
    picture = np.full((240, 320, 3), 90, np.uint8)
    picture[100:120, 100:190] = 230
    at = Box(100, 100, 90, 20)
    before = around(picture, at)
    assert appearance_change(before, before) == 0
    brighter = around(np.clip(picture.astype(int) + 20, 0, 255).astype(np.uint8), at)
    assert appearance_change(before, brighter) < 2
    other = picture.copy()
    other[125:150, 60:230] = 10
    assert appearance_change(before, around(other, at)) > DEFAULTS.min_change_levels
    noisy = (picture + np.random.default_rng(1).integers(-8, 8, picture.shape)).astype(np.uint8)
    assert appearance_change(before, around(noisy, at)) < 4


@pytest.mark.parametrize("at", [Box(500, 500, 20, 5), Box(0, 0, 1, 0), Box(-100, -100, 10, 10)])
def test_appearance_outside_or_of_nothing(at: Box) -> None:
    made = appearance(np.zeros((240, 320, 3), np.uint8), at)
    assert made is None or len(made) == 64


@pytest.mark.parametrize("at", [Box(0, 0, 2, 1), Box(315, 238, 9, 3)])
def test_appearance_of_few_pixels(at: Box) -> None:
    assert around(np.zeros((240, 320, 3), np.uint8), at)
