import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from testkit import pictures


def decoded(jpeg: bytes):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def is_whole(jpeg: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(jpeg)) as picture:
            picture.load()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("size_bytes", [2000, 20_000, 200_000, 600_000, 10_000_000])
def test_noise_has_the_exact_size_and_decodes(size_bytes: int):
    jpeg = pictures.noise(size_bytes)
    assert len(jpeg) == size_bytes
    assert is_whole(jpeg)
    assert decoded(jpeg).std() > 20
    assert pictures.noise(size_bytes, seed=1) != jpeg


@pytest.mark.parametrize("extra", [0, 4, 5, 65_537, 65_538, 65_539, 65_540, 65_541, 200_000])
def test_padding_changes_no_pixel(extra: int):
    jpeg = pictures.solid()
    padded = pictures.pad(jpeg, len(jpeg) + extra)
    assert len(padded) == len(jpeg) + extra
    assert np.array_equal(decoded(padded), decoded(jpeg))


@pytest.mark.parametrize("extra", [-1, 1, 3])
def test_a_size_that_padding_cannot_reach_is_an_error(extra: int):
    with pytest.raises(ValueError, match="cannot be padded"):
        pictures.pad(pictures.solid(), len(pictures.solid()) + extra)


def test_invalid_pictures_do_not_decode():
    assert is_whole(pictures.solid())
    assert not is_whole(pictures.truncated())
    assert not is_whole(pictures.error_page())
    bomb = pictures.bomb(50_000)
    assert len(bomb) < 2000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(bomb))


def test_a_bomb_declares_the_given_size():
    with Image.open(io.BytesIO(pictures.bomb(3000))) as picture:
        assert picture.size == (3000, 3000)


def test_a_parking_push_takes_overrides_and_omits_fields_that_are_none():
    push = pictures.parking_push()
    assert base64.b64decode(push["snapshot"]) == pictures.solid()
    assert len(push) == 23
    changed = pictures.parking_push(occupancy="0", duration=None, picture=b"x")
    assert changed["occupancy"] == "0"
    assert changed["snapshot"] == "eA=="
    assert push.keys() - changed.keys() == {"duration"}
