"""ONNX Runtime sessions with a fixed number of threads, on the CPU or an NVIDIA GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import onnxruntime as ort

from plate_ocr.domain.engines import ModelError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """`threads`: within one run, and of OpenCV; runs are sequential. `providers`: ONNX Runtime's names, best first.
    `gpu_memory_mib`: of each network's memory pool, 0 for no limit. `tensorrt_cache_folder`: folder for the engines
    that TensorRT builds, None for none. `is_fp16`: TensorRT may compute with 16 bits.
    """

    threads: int = 2
    providers: tuple[str, ...] = (CPU,)
    gpu_device: int = 0
    gpu_memory_mib: int = 0
    tensorrt_cache_folder: Path | None = None
    is_fp16: bool = False


def open_session(model: Path, options: OnnxOptions) -> ort.InferenceSession:
    """The model on the first provider that works. ONNX Runtime by itself silently falls back to the CPU where a
    GPU's driver is missing; here the CPU is used only where it is listed.

    Raises: ModelError: there is no such model, or none of the providers works.
    """
    if not model.is_file():
        raise ModelError(f"there is no model file {model}")
    available = ort.get_available_providers()
    usable = [name for name in options.providers if name in available]
    if not usable:
        raise ModelError(_no_provider(options, f"this build of ONNX Runtime has only {', '.join(available)}"))
    # OpenCV would use a thread per core for every resize, beside those of the network.
    cv2.setNumThreads(options.threads)
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = options.threads
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    # Threads that wait by spinning take CPU time from the other services on a small machine: with both cores busy, a
    # run took 1.4 s with spinning and 1.0 s without; alone there is no difference.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Pictures have many sizes: keeping a memory plan for each of them only uses more memory.
    chosen.enable_mem_pattern = False
    # The arena would keep the memory of the largest picture that was ever read; runs take as long without it.
    chosen.enable_cpu_mem_arena = False
    providers = [(name, dict(provider_options(name, options))) for name in usable]
    try:
        session = ort.InferenceSession(str(model), chosen, providers=providers)
    except Exception as error:
        # ONNX Runtime's exception types come from C++ and have no common base but Exception.
        raise ModelError(f"{model} cannot be loaded: {error}") from error
    if session.get_providers()[0] not in usable:
        raise ModelError(_no_provider(options, "its driver or libraries are missing"))
    return session


def provider_options(provider: str, options: OnnxOptions) -> Mapping[str, str]:
    """ONNX Runtime's options of a provider: https://onnxruntime.ai/docs/execution-providers/, CUDA and TensorRT."""
    if provider == CUDA:
        # No search for the fastest convolution of each shape: pictures have many sizes, and it takes seconds for the
        # first of each. Memory grows by what is requested, not by doubling.
        chosen = {
            "device_id": str(options.gpu_device),
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        }
        return chosen | _memory_limit("gpu_mem_limit", options)
    if provider == TENSORRT:
        chosen = {"device_id": str(options.gpu_device), "trt_fp16_enable": str(options.is_fp16)}
        if options.tensorrt_cache_folder is not None:
            # Building takes minutes for each network; the result is valid for this GPU, TensorRT version and model.
            folder = str(options.tensorrt_cache_folder)
            chosen |= {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": folder,
            }
        return chosen | _memory_limit("trt_max_workspace_size", options)
    return {}


def provider_of(session: ort.InferenceSession) -> str:
    """The provider that the session runs on, by ONNX Runtime's name."""
    name: str = session.get_providers()[0]
    return name


def _memory_limit(name: str, options: OnnxOptions) -> dict[str, str]:
    return {name: str(options.gpu_memory_mib * 1024 * 1024)} if options.gpu_memory_mib else {}


def _no_provider(options: OnnxOptions, reason: str) -> str:
    return f"the network cannot run on {', '.join(options.providers)}: {reason}; list CPUExecutionProvider to allow it"
