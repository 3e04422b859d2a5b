"""What an operator may set: every limit, timeout and default of plate-ocr."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from kit.picture_limits import PictureLimits
from kit.settings import BlobSettings, Block, BusSettings, PictureLimitSettings, ServiceSettings, needed
from kit.size_limits import MAX_PICTURE_BYTES, BodyLimit, form_bytes

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_REGION = re.compile(r"generic|[a-z]{2}(-[a-z0-9]{1,3})?")


def _region(value: str) -> str:
    if not _REGION.fullmatch(value.lower()):
        raise ValueError(f"{value!r} is not a region; write for example ae, ae-du, us-tx or generic")
    return value.lower()


RegionsFor = Callable[[str, Sequence[str]], tuple[str, ...]]
"""Location code and requested regions → regions that a plate may come from, none for any."""

Regions = tuple[Annotated[str, AfterValidator(_region)], ...]


class InferenceSettings(Block):
    """The networks, and the queue of pictures for them."""

    detector_model: Path | None = Field(
        None, description="ONNX file of the row detector in place of the shipped one"
    )
    recognizer_model: Path | None = Field(
        None, description="ONNX file of the row recognizer in place of the shipped one"
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
    grammars_folder: Path | None = Field(
        None,
        description="folder of your own region grammars (`*.toml`), beside or in place of the shipped ones",
    )
    return_memory_interval_s: Seconds = Field(
        10.0,
        description="seconds between two times that the process returns the memory which it keeps for reuse after"
        " pictures were read",
    )
    min_plate_score: Share = Field(
        0.25, description="score, 0 to 1, below which a detection of `plate_model` is ignored"
    )
    vehicle_model: Path | None = Field(
        None,
        description="vehicle detector (car, motorcycle, bus, truck), a file as for `plate_model`; without it, spot"
        " occupancy follows from the camera's own box and the position of the plate",
    )
    min_vehicle_score: Share = Field(
        0.4, description="score, 0 to 1, below which a detection of `vehicle_model` is ignored"
    )
    yolo_input_side_px: int = Field(
        640,
        ge=32,
        le=4096,
        description="longer side in pixels of the input of these two models, where the file does not fix it",
    )
    enhancer_model: Path | None = Field(
        None, description="Real-ESRGAN as `.onnx`, for crops that were read with low confidence"
    )
    denoise_strength: float = Field(
        0.0,
        ge=0,
        le=30,
        description="noise in grey levels that is removed from crops that were read with low confidence, where there"
        " is no `enhancer_model`; 0: none",
    )
    enhance_below_confidence: Share = Field(
        0.6, description="confidence, 0 to 1, below which a crop is enhanced and read again"
    )
    threads: int = Field(2, gt=0, description="threads of the networks, and of OpenCV beside them")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        description="ONNX Runtime providers, comma separated, best first: `TensorrtExecutionProvider`,"
        " `CUDAExecutionProvider`, `CPUExecutionProvider`; the CPU is used only where it is listed",
    )
    gpu_device: int = Field(0, ge=0, description="number of the GPU")
    gpu_memory_mib: int = Field(
        0, ge=0, description="largest memory pool of a network on the GPU in MiB; 0: no limit"
    )
    tensorrt_cache_folder: Path | None = Field(
        None,
        description="folder for the engines that TensorRT builds; without it they are built at every start, which"
        " takes minutes",
    )
    is_fp16: bool = Field(False, description="let TensorRT compute in 16 bits")
    max_batch_pictures: int = Field(8, gt=0, description="largest number of pictures read in one batch")
    max_batch_wait_ms: float = Field(
        5.0, ge=0, description="milliseconds that a picture waits for others to join its batch"
    )
    is_call_engine_separate: bool = Field(
        True,
        description="calls are read by an engine of their own, with one thread of low priority, so that they do not"
        " delay the frames of cameras; it is loaded at the first call and takes about 60 MB",
    )
    call_niceness: int = Field(
        10, ge=0, le=19, description="nice value of that thread and of the one that decodes their pictures"
    )
    queue_size: int = Field(
        16,
        gt=0,
        description="pictures that may wait; when it is full, the oldest snapshot or video frame is dropped, entries"
        " and exits wait outside it, and calls are refused",
    )
    is_warm_start: bool = Field(
        True, description="read a drawn picture after loading, before the first real one"
    )
    first_pass_pixels: int = Field(
        150_000,
        gt=0,
        description="size, width times height, to which a picture is scaled down to detect plates in it",
    )
    second_pass_pixels: int = Field(
        700_000,
        gt=0,
        description="the same for a second pass, where the first finds no plate, or too many small ones",
    )
    min_confidence: Share = Field(
        0.4, description="confidence, 0 to 1, below which a plate is reported as seen, not read"
    )
    retry_after_s: int = Field(2, gt=0, description="`Retry-After` in seconds while the queue is full")


class PictureSettings(Block):
    """Limits of pictures, and the stored crops."""

    max_bytes: int = Field(MAX_PICTURE_BYTES, gt=0, description="largest picture in bytes")
    max_pixels: int = Field(40_000_000, gt=0, description="largest picture in pixels, width times height")
    decode_threads: int = Field(2, gt=0, description="threads that decode pictures and encode crops")
    max_decoded_bytes: int = Field(
        110_000_000,
        gt=0,
        description="memory in bytes for decoded pictures; further ones wait. A larger picture is decoded alone",
    )
    max_decoded_call_bytes: int = Field(
        82_000_000,
        gt=0,
        description="how much of it calls may use together, so that frames of cameras always have some",
    )
    max_buffered_call_bytes: int = Field(
        26_214_400,
        gt=0,
        description="bytes of the pictures of calls in memory at the same time; further calls wait, then get a 503",
    )
    buffer_timeout_s: Seconds = Field(5.0, description="seconds a call may wait for room in memory")
    body_timeout_s: Seconds = Field(30.0, description="seconds a caller may take to send the body")
    crop_margin: Share = Field(
        0.25, description="margin of a stored crop around the plate, as a share of the plate's height"
    )
    crop_jpeg_quality: int = Field(90, ge=1, le=100, description="JPEG quality of the crops")

    @property
    def body_limit(self) -> BodyLimit:
        """The largest body of a call, with the setting that it follows from."""
        return BodyLimit(form_bytes(self.max_bytes), "LOOKOUT_PLATE_OCR__PICTURES__MAX_BYTES")


class RpcSettings(Block):
    """The gRPC service PlateReader."""

    stream_window_frames: int = Field(8, gt=0, description="frames of one stream that are read at once")
    max_stream_cameras: int = Field(256, gt=0, description="cameras whose plates one stream may track")


class PlateOcrSettings(ServiceSettings):
    """The settings of plate-ocr."""

    service_name: ClassVar[str] = "plate-ocr"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8102, "grpc.port": 9102}
    aliases: ClassVar[Mapping[str, str]] = {
        "YOLO_MODEL_PATH": "inference.vehicle_model",
        "REAL_ESRGAN_MODEL_PATH": "inference.enhancer_model",
        "LOOKOUT_MAX_PICTURE_BYTES": "pictures.max_bytes",
    }

    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="store of the pictures and crops")
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
    picture_limits: PictureLimitSettings = Field(
        default_factory=PictureLimitSettings, description="limits of pictures"
    )
    rpc: RpcSettings = Field(default_factory=RpcSettings, description="gRPC streams")

    @model_validator(mode="after")
    def _message_carries_picture(self) -> Self:
        least_bytes = form_bytes(self.pictures.max_bytes)
        if self.grpc.max_message_bytes < least_bytes:
            raise needed(
                "grpc.max_message_bytes",
                f"has to be {least_bytes} or more, so that a message can carry a picture of pictures.max_bytes",
            )
        return self

    @property
    def limits_of_pictures(self) -> PictureLimits:
        """What frames and calls may contain."""
        return self.picture_limits.limits(self.pictures.max_pixels)

    def regions_for(self, location_code: str = "", requested: Sequence[str] = ()) -> tuple[str, ...]:
        """Regions that a plate may come from, empty for any: those of the frame or the call itself, else the
        location's, else the service's.
        """
        return tuple(requested) or self.regions_by_location.get(location_code, self.regions)
