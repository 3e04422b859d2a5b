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
    """Raises: ModelMissing."""
    if not model.is_file():
        raise ModelMissing(f"no model at {model}")
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
        return ort.InferenceSession(str(model), chosen, providers=list(options.providers))
    except Exception as error:
        # ONNX Runtime's exception types are made in C++ and share no base but Exception.
        raise ModelMissing(f"{model} cannot be loaded: {error}") from error
