"""What an operator may set. Every limit, timeout and default of plate-ocr stands here."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from kit.settings import BlobSettings, Block, BusSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_REGION = re.compile(r"generic|[a-z]{2}(-[a-z0-9]{1,3})?")


def _region(value: str) -> str:
    if not _REGION.fullmatch(value.lower()):
        raise ValueError(f"{value!r} is no region: write ae, ae-du, us-tx or generic")
    return value.lower()


RegionsFor = Callable[[str, Sequence[str]], tuple[str, ...]]
"""Location code and regions that were asked for → regions that a plate may come from, none for any."""

Regions = tuple[Annotated[str, AfterValidator(_region)], ...]


class InferenceSettings(Block):
    """The networks, and how pictures come to them."""

    detector_model: Path | None = Field(
        None, description="ONNX file of the text detector in place of the shipped one"
    )
    recognizer_model: Path | None = Field(
        None, description="ONNX file of the recogniser in place of the shipped one"
    )
    plate_model: Path | None = Field(
        None,
        description="plate detector in place of the shipped one: a YOLO `.onnx`, or `.pt` and `.engine` with the"
        " extra `ultralytics`",
    )
    plate_classes: tuple[str, ...] = Field(
        (),
        description="classes of `plate_model` that are plates, comma separated; empty: its only one, or those with"
        " `plate` in the name",
    )
    grammars: Path | None = Field(
        None,
        description="folder of region grammars (`*.toml`) of your own, beside or in place of the shipped ones",
    )
    min_plate_score: Share = Field(0.25, description="score, 0 to 1, below which `plate_model` finds nothing")
    vehicle_model: Path | None = Field(
        None,
        description="vehicle detector (car, motorcycle, bus, truck), a file as for `plate_model`; none: spots are"
        " judged by the camera's own box and the plate's place",
    )
    min_vehicle_score: Share = Field(
        0.4, description="score, 0 to 1, below which `vehicle_model` finds nothing"
    )
    model_side_px: int = Field(
        640,
        ge=32,
        le=4096,
        description="longer side in pixels to which a picture is brought for these two, where the model leaves it"
        " open",
    )
    enhancer_model: Path | None = Field(
        None, description="Real-ESRGAN as `.onnx`, for crops that were read weakly"
    )
    denoise_strength: float = Field(
        0.0,
        ge=0,
        le=30,
        description="noise in grey levels taken out of crops that were read weakly, where there is no"
        " `enhancer_model`; 0: none",
    )
    enhance_below: Share = Field(0.6, description="confidence, 0 to 1, below which a read counts as weak")
    threads: int = Field(2, gt=0, description="threads of the networks, and of OpenCV beside them")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        description="ONNX Runtime providers, comma separated, best first: `TensorrtExecutionProvider`,"
        " `CUDAExecutionProvider`, `CPUExecutionProvider`; the CPU is used only where it is listed",
    )
    gpu_device: int = Field(0, ge=0, description="number of the GPU")
    gpu_memory_mib: int = Field(
        0, ge=0, description="most memory in MiB that a network's pool takes on the GPU; 0: no bound"
    )
    tensorrt_cache: Path | None = Field(
        None,
        description="folder that keeps what TensorRT builds; without it the building, which takes minutes, is done"
        " at every start",
    )
    is_fp16: bool = Field(False, description="let TensorRT compute with 16 bits")
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
    first_pass_pixels: int = Field(
        150_000,
        gt=0,
        description="size, width times height, to which a picture is brought to find plates in it",
    )
    second_pass_pixels: int = Field(
        700_000,
        gt=0,
        description="the same for a second look, where the first finds none, or more than are looked at closer",
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

    stream_window: int = Field(8, gt=0, description="frames of one stream that are read at once")
    stream_cameras: int = Field(256, gt=0, description="cameras whose plates one stream may track")


class PlateOcrSettings(ServiceSettings):
    """The settings of plate-ocr."""

    service_name: ClassVar[str] = "plate-ocr"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8102, "grpc.port": 9102}
    aliases: ClassVar[Mapping[str, str]] = {
        "YOLO_MODEL_PATH": "inference.vehicle_model",
        "REAL_ESRGAN_MODEL_PATH": "inference.enhancer_model",
    }

    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="pictures in, crops out")
    engine: str = Field(
        "lookout",
        description="`lookout`: the shipped models; `package.module:factory`: an engine of your own",
    )
    regions: Regions = Field(
        (),
        description="regions that a plate may come from, comma separated (`ae`, `ae-du`, `us-tx`); empty: any",
    )
    regions_by_location: dict[str, Regions] = Field(
        {}, description='the same by location code, `{"NAD": ["ae", "sa"]}`, in place of `regions`'
    )
    inference: InferenceSettings = Field(default_factory=InferenceSettings, description="the networks")
    pictures: PictureSettings = Field(default_factory=PictureSettings, description="pictures")
    rpc: RpcSettings = Field(default_factory=RpcSettings, description="gRPC streams")

    def regions_for(self, location_code: str = "", asked: Sequence[str] = ()) -> tuple[str, ...]:
        """Regions that a plate may come from, empty for any: those that the frame or the call itself names, else the
        location's, else the service's.
        """
        return tuple(asked) or self.regions_by_location.get(location_code, self.regions)
