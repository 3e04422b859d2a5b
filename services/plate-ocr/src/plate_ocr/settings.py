"""What an operator may set. Every limit, timeout and default of plate-ocr stands here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kit.settings import BlobSettings, Block, BusSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class InferenceSettings(Block):
    """The networks, and how pictures come to them."""

    detector_model: Path | None = Field(
        None, description="ONNX file of the text detector in place of the shipped one"
    )
    recognizer_model: Path | None = Field(
        None, description="ONNX file of the recogniser in place of the shipped one"
    )
    threads: int = Field(2, gt=0, description="threads of the networks")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        description="ONNX Runtime providers, comma separated, best first; the CPU is used only where it is listed",
    )
    max_batch: int = Field(8, gt=0, description="pictures read in one go")
    max_wait_ms: float = Field(
        5.0, ge=0, description="milliseconds that a picture waits for others to join it"
    )
    queue_size: int = Field(
        16,
        gt=0,
        description="pictures that may wait; beyond, the oldest snapshot or video frame is dropped, entries and"
        " exits wait, calls are refused",
    )
    is_warm_start: bool = Field(True, description="read a picture of its own before the first real one")
    first_look_pixels: int = Field(
        600_000,
        gt=0,
        description="size, width times height, to which a picture is brought to find plates in it",
    )
    second_look_pixels: int = Field(
        1_300_000, gt=0, description="the same for a second look where the first finds none"
    )
    min_confidence: Share = Field(0.4, description="confidence, 0 to 1, below which a plate is not reported")
    retry_after_s: int = Field(2, gt=0, description="`Retry-After` in seconds while the queue is full")


class PictureSettings(Block):
    """What counts as a picture, and what is kept of it."""

    max_bytes: int = Field(12_582_912, gt=0, description="largest picture in bytes")
    max_pixels: int = Field(40_000_000, gt=0, description="largest picture in pixels, width times height")
    decode_threads: int = Field(2, gt=0, description="threads that decode pictures and encode crops")
    crop_margin: Share = Field(0.25, description="kept around a plate, as a share of its height")
    crop_quality: int = Field(90, ge=1, le=100, description="JPEG quality of the crops")


class RpcSettings(Block):
    """The gRPC service PlateReader."""

    stream_window: int = Field(8, gt=0, description="frames of one stream in hand at once")


class PlateOcrSettings(ServiceSettings):
    """The settings of plate-ocr."""

    service_name: ClassVar[str] = "plate-ocr"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8102, "grpc.port": 9102}

    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="pictures in, crops out")
    engine: str = Field(
        "ppocr", description="`ppocr`: the shipped models; `package.module:factory`: an engine of your own"
    )
    inference: InferenceSettings = Field(default_factory=InferenceSettings, description="the networks")
    pictures: PictureSettings = Field(default_factory=PictureSettings, description="pictures")
    rpc: RpcSettings = Field(default_factory=RpcSettings, description="gRPC streams")
