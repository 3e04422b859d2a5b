"""ONNX Runtime sessions with pinned threads."""

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort


class ModelMissing(Exception):  # noqa: N818 - a state of the service, which readiness tells
    """A model file is not there or is not a model. The text says which and why."""


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """`threads`: within one run; runs go one after the other. `providers`: ONNX Runtime's names, best first."""

    threads: int = 2
    providers: tuple[str, ...] = ("CPUExecutionProvider",)


def open_session(model: Path, options: OnnxOptions) -> ort.InferenceSession:
    """The model on the first of the providers that works. ONNX Runtime by itself takes the CPU in silence where a
    GPU's driver is missing; here it takes it only where it is listed.

    Raises: ModelMissing: there is no such model, or none of the providers works.
    """
    if not model.is_file():
        raise ModelMissing(f"no model at {model}")
    available = ort.get_available_providers()
    usable = [name for name in options.providers if name in available]
    if not usable:
        raise ModelMissing(_no_provider(options, f"this ONNX Runtime has {', '.join(available)}"))
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = options.threads
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    # Threads that wait by spinning take the processor from the other services of a small box: with both cores
    # contended, a run took 1.4 s spinning and 1.0 s not, and alone they are alike.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Pictures come in every size: a memory plan kept for each of them only grows.
    chosen.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(str(model), chosen, providers=usable)
    except Exception as error:
        # ONNX Runtime's exception types are made in C++ and share no base but Exception.
        raise ModelMissing(f"{model} cannot be loaded: {error}") from error
    if session.get_providers()[0] not in usable:
        raise ModelMissing(_no_provider(options, "its driver or libraries are missing"))
    return session


def provider_of(session: ort.InferenceSession) -> str:
    """Where it runs: ONNX Runtime's name."""
    name: str = session.get_providers()[0]
    return name


def _no_provider(options: OnnxOptions, reason: str) -> str:
    return (
        f"no network runs on {', '.join(options.providers)}: {reason}; list CPUExecutionProvider to allow it"
    )
