# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Sessions: the options for ONNX Runtime and OpenCV."""

from pathlib import Path

import cv2
import pytest

from plate_ocr.adapters.onnx import (
    CPU,
    CUDA,
    TENSORRT,
    OnnxOptions,
    open_session,
    provider_options,
)
from plate_ocr.domain.engines import ModelError
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import onnx_options

from .onnx_files import enlarging


def test_cuda() -> None:
    expected = provider_options(CUDA, OnnxOptions(gpu_device=1, gpu_memory_mib=2048))
    assert expected == {
        "device_id": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": "2147483648",
    }
    assert "gpu_mem_limit" not in provider_options(CUDA, OnnxOptions())


@pytest.mark.parametrize(("is_fp16", "expected"), [(True, "True"), (False, "False")])
def test_tensorrt(tmp_path: Path, is_fp16: bool, expected: str) -> None:
    options = OnnxOptions(tensorrt_cache_folder=tmp_path, is_fp16=is_fp16)
    assert provider_options(TENSORRT, options) == {
        "device_id": "0",
        "trt_fp16_enable": expected,
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(tmp_path),
    }
    assert "trt_engine_cache_enable" not in provider_options(TENSORRT, OnnxOptions())


def test_options_follow_the_settings(tmp_path: Path) -> None:
    settings = InferenceSettings(
        threads=3,
        providers=(CUDA,),
        gpu_device=2,
        gpu_memory_mib=512,
        tensorrt_cache_folder=tmp_path,
        is_fp16=True,
    )
    assert onnx_options(settings) == OnnxOptions(3, (CUDA,), 2, 512, tmp_path, True)
    assert onnx_options(InferenceSettings()) == OnnxOptions()


def test_the_cpu_has_no_provider_options() -> None:
    assert provider_options(CPU, OnnxOptions(gpu_memory_mib=9)) == {}


def test_threads_are_pinned(tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    try:
        session = open_session(enlarging(tmp_path / "x.onnx", 2), OnnxOptions(threads=1))
        expected = session.get_session_options()
        assert (expected.intra_op_num_threads, expected.inter_op_num_threads, cv2.getNumThreads()) == (
            1,
            1,
            1,
        )
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_missing_provider_is_refused(tmp_path: Path, provider: str) -> None:
    with pytest.raises(ModelError, match=f"the network cannot run on {provider}"):
        open_session(enlarging(tmp_path / "x.onnx", 2), OnnxOptions(providers=(provider,)))
    session = open_session(enlarging(tmp_path / "x.onnx", 2), OnnxOptions(providers=(provider, CPU)))
    assert session.get_providers() == [CPU]
