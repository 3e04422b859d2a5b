"""Settings from the environment."""

from pathlib import Path

import pytest

from kit.settings import SettingsError
from kit.settings import read as read_settings
from plate_ocr.settings import PlateOcrSettings

NEEDED = {"LOOKOUT_PLATE_OCR__MODE": "embedded"}


def read(**env: str) -> PlateOcrSettings:
    return read_settings(PlateOcrSettings, environ={**NEEDED, **env})


def test_models_by_their_older_setting_names() -> None:
    inference = read(YOLO_MODEL_PATH="/models/yolo11x.pt", REAL_ESRGAN_MODEL_PATH="/models/x4.onnx").inference
    assert (inference.vehicle_model, inference.enhancer_model) == (
        Path("/models/yolo11x.pt"),
        Path("/models/x4.onnx"),
    )
    assert inference.plate_model is None


def test_regions() -> None:
    settings = read(
        LOOKOUT_PLATE_OCR__REGIONS="AE, sa,generic",
        LOOKOUT_PLATE_OCR__REGIONS_BY_LOCATION='{"NAD": ["ae-du"], "AIRPORT": []}',
    )
    assert settings.regions_for() == settings.regions_for("ELSEWHERE") == ("ae", "sa", "generic")
    assert settings.regions_for("NAD") == ("ae-du",)
    assert settings.regions_for("AIRPORT") == ()
    assert settings.regions_for("NAD", ["om"]) == ("om",)
    assert read().regions_for("NAD") == ()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("REGIONS", "dubai", "'dubai' is not a region"),
        ("REGIONS_BY_LOCATION", '{"NAD": ["x"]}', "'x' is not a region"),
        ("REGIONS_BY_LOCATION", "NAD=ae", "is not valid JSON"),
        ("INFERENCE__MIN_PLATE_SCORE", "1.5", "less than or equal to 1"),
        ("INFERENCE__GPU_MEMORY_MIB", "-1", "greater than or equal to 0"),
    ],
)
def test_refused(name: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read(**{f"LOOKOUT_PLATE_OCR__{name}": value})
