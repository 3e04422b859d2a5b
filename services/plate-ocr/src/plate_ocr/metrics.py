"""The metrics of plate-ocr."""

from kit.metrics import Metrics

_STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)


class PlateOcrMetrics:
    """Those of one service instance; the names on the page start with `lookout_plate_ocr_`."""

    def __init__(self, metrics: Metrics) -> None:
        self.stage_seconds = metrics.histogram(
            "stage_seconds",
            "time that one picture spends in a stage: decode, queue, detect, recognize, whole",
            ("stage",),
            buckets=_STAGE_BUCKETS_S,
        )
        self.batch_pictures = metrics.histogram(
            "batch_pictures", "pictures that the engine reads in one batch", buckets=_BATCH_BUCKETS
        )
        self.queued_pictures = metrics.gauge("queued_pictures", "pictures that wait for the engine")
        self.refused_pictures = metrics.counter(
            "pictures_refused_total", "calls refused because the queue was full"
        )
        self.dropped_pictures = metrics.counter(
            "pictures_dropped_total", "frames dropped because the queue was full", ("purpose",)
        )
        self.frames_read = metrics.counter(
            "frames_read_total",
            "captured frames by outcome: plates, seen (none could be read), none, failed, dropped",
            ("outcome",),
        )
