# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Enhancers: sizes, tiles, noise, and unsuitable models."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from plate_ocr.adapters.denoise import Denoiser
from plate_ocr.adapters.onnx import OnnxOptions
from plate_ocr.adapters.real_esrgan import RealEsrgan
from plate_ocr.domain.engines import CropEnhancer, ModelError
from plate_ocr.domain.values import Picture

from .onnx_files import constant, enlarging

ONNX = OnnxOptions(threads=1)


def noise(height: int, width: int) -> Picture:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("taken", [(1, 3, "h", "w"), (1, 3, 40, 64)])
@pytest.mark.parametrize("size", [(1, 1), (20, 90), (96, 96), (97, 193), (128, 320)])
def test_tiles_join_without_a_seam(
    tmp_path: Path, taken: tuple[int | str, ...], size: tuple[int, int]
) -> None:
    enhancer: CropEnhancer = RealEsrgan(enlarging(tmp_path / "x4.onnx", 4, taken), ONNX)
    crop = noise(*size)
    assert (enhancer.enhance(crop) == crop.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_the_scale_factor_is_that_of_the_model(tmp_path: Path) -> None:
    enhancer = RealEsrgan(enlarging(tmp_path / "x2.onnx", 2), ONNX)
    assert (enhancer.scale, enhancer.name) == (2, "x2.onnx")
    assert enhancer.enhance(noise(10, 20)).shape == (20, 40, 3)


def test_a_large_crop_is_returned_unchanged(tmp_path: Path) -> None:
    crop = noise(300, 600)
    assert RealEsrgan(enlarging(tmp_path / "x2.onnx", 2), ONNX).enhance(crop) is crop
    assert Denoiser().enhance(crop) is crop


def test_files_that_are_not_real_esrgan_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "RealESRGAN_x4plus.pth"
    weights.write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"RealESRGAN_x4plus\.pth: Real-ESRGAN runs as ONNX; export it"):
        RealEsrgan(weights, ONNX)
    with pytest.raises(ModelError, match="there is no model file"):
        RealEsrgan(tmp_path / "gone.onnx", ONNX)
    yolo = constant(tmp_path / "yolo.onnx", np.zeros((1, 5, 9), np.float32), (1, 3, 64, 64), {})
    with pytest.raises(ModelError, match="cannot enlarge a picture"):
        RealEsrgan(yolo, ONNX)
    with pytest.raises(ModelError, match="too small"):
        RealEsrgan(enlarging(tmp_path / "x.onnx", 2, (1, 3, 16, 16)), ONNX)


def test_noise_is_removed_and_strokes_are_kept() -> None:
    clean = np.full((40, 160, 3), 220, np.uint8)
    cv2.putText(clean, "D 71026", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 3)
    rough = clean + np.random.default_rng(3).normal(0, 8, clean.shape)
    noisy = rough.clip(0, 255).astype(np.uint8)
    quiet = Denoiser().enhance(noisy)
    assert quiet.shape == noisy.shape
    error = [float(np.abs(one.astype(int) - clean).mean()) for one in (noisy, quiet)]
    assert error[1] < 0.6 * error[0]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 50)])
def test_tiny_crops_survive_denoising(size: tuple[int, int]) -> None:
    assert Denoiser().enhance(noise(*size)).shape == (*size, 3)
