"""Builds the service and the engine: the only place that names concrete classes.

`service` imports the bus, the database and gRPC, which takes two seconds; `engine` does not, so that `plate-ocr read`
starts at once.
"""

from typing import Any


def build(*args: Any, **kwargs: Any) -> Any:
    """See `plate_ocr.wiring.service.build`."""
    from plate_ocr.wiring import service  # noqa: PLC0415 - see the module's text

    return service.build(*args, **kwargs)
