"""ONNX Runtime sessions with pinned threads, on the processor or on an NVIDIA GPU."""

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
    """`threads`: within one run, and of OpenCV; runs go one after the other. `providers`: ONNX Runtime's names, best
    first. `gpu_memory_mib`: of each network's own memory pool, 0 for no bound. `tensorrt_cache`: folder that
    keeps what TensorRT built, None for none. `is_fp16`: TensorRT may compute with 16 bits.
    """

    threads: int = 2
    providers: tuple[str, ...] = (CPU,)
    gpu_device: int = 0
    gpu_memory_mib: int = 0
    tensorrt_cache: Path | None = None
    is_fp16: bool = False


def open_session(model: Path, options: OnnxOptions) -> ort.InferenceSession:
    """The model on the first of the providers that works. ONNX Runtime by itself takes the CPU in silence where a
    GPU's driver is missing; here it takes it only where it is listed.

    Raises: ModelError: there is no such model, or none of the providers works.
    """
    if not model.is_file():
        raise ModelError(f"no model at {model}")
    available = ort.get_available_providers()
    usable = [name for name in options.providers if name in available]
    if not usable:
        raise ModelError(_no_provider(options, f"this ONNX Runtime has {', '.join(available)}"))
    # OpenCV would start a thread a core for every picture that it resizes, beside those of the network.
    cv2.setNumThreads(options.threads)
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = options.threads
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    # Threads that wait by spinning take the processor from the other services of a small box: with both cores
    # contended, a run took 1.4 s spinning and 1.0 s not, and alone they are alike.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Pictures come in every size: a memory plan kept for each of them only grows.
    chosen.enable_mem_pattern = False
    providers = [(name, dict(provider_options(name, options))) for name in usable]
    try:
        session = ort.InferenceSession(str(model), chosen, providers=providers)
    except Exception as error:
        # ONNX Runtime's exception types are made in C++ and share no base but Exception.
        raise ModelError(f"{model} cannot be loaded: {error}") from error
    if session.get_providers()[0] not in usable:
        raise ModelError(_no_provider(options, "its driver or libraries are missing"))
    return session


def provider_options(provider: str, options: OnnxOptions) -> Mapping[str, str]:
    """What ONNX Runtime is told of a provider: https://onnxruntime.ai/docs/execution-providers/, CUDA and TensorRT."""
    if provider == CUDA:
        # Without a search for the quickest convolution of each shape: pictures come in every size, and it takes
        # seconds at the first of each. Memory is taken as asked for, not doubled.
        chosen = {
            "device_id": str(options.gpu_device),
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        }
        return chosen | _memory_limit("gpu_mem_limit", options)
    if provider == TENSORRT:
        chosen = {"device_id": str(options.gpu_device), "trt_fp16_enable": str(options.is_fp16)}
        if options.tensorrt_cache is not None:
            # Building takes minutes for each network; it is kept for this GPU, this TensorRT and this model.
            folder = str(options.tensorrt_cache)
            chosen |= {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": folder,
            }
        return chosen | _memory_limit("trt_max_workspace_size", options)
    return {}


def provider_of(session: ort.InferenceSession) -> str:
    """Where it runs: ONNX Runtime's name."""
    name: str = session.get_providers()[0]
    return name


def _memory_limit(name: str, options: OnnxOptions) -> dict[str, str]:
    return {name: str(options.gpu_memory_mib * 1024 * 1024)} if options.gpu_memory_mib else {}


def _no_provider(options: OnnxOptions, reason: str) -> str:
    return (
        f"no network runs on {', '.join(options.providers)}: {reason}; list CPUExecutionProvider to allow it"
    )
