"""Pictures and clips, fetched from a camera."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from ingest.handlers.device_calls import DeviceCalls
from ingest.http.registry_schemas import RowId
from kit.auth import require
from kit.blobs import BlobStore
from kit.json_types import Instant

_READ = [Depends(require("cameras:read"))]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {f"image/{kind}": _BINARY for kind in ("jpeg", "png", "webp", "bmp")},
        "description": "the picture",
    }
}
_CLIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": _BINARY}, "description": "the recording"}
}


def device_routes(devices: DeviceCalls, blobs: BlobStore) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"], dependencies=_READ)

    @router.get(
        "/{camera_id}/frame",
        summary="The camera's current picture",
        responses=_PICTURE,
        response_class=Response,
    )
    async def get_camera_frame(
        camera_id: RowId,
        store: Annotated[
            bool, Query(description="store it in the blob store; `Lookout-Blob-Key` is its key")
        ] = False,
    ) -> Response:
        headers = {"Cache-Control": "no-store"}
        if store:
            taken, blob = await devices.stored_frame(camera_id)
            headers["Lookout-Blob-Key"] = blob.key
        else:
            taken = await devices.frame(camera_id)
        headers["Last-Modified"] = f"{taken.captured_at:%a, %d %b %Y %H:%M:%S} GMT"
        return Response(taken.data, media_type=taken.header.content_type, headers=headers)

    @router.get(
        "/{camera_id}/clip",
        summary="A part of the camera's recording",
        responses=_CLIP,
        response_class=Response,
    )
    async def get_camera_clip(
        camera_id: RowId,
        start: Annotated[Instant | None, Query(description="default: 20 seconds before the end")] = None,
        end: Annotated[Instant | None, Query(description="default: now, or 20 seconds long")] = None,
    ) -> Response:
        fetched = await devices.clip(camera_id, start, end)
        return StreamingResponse(
            blobs.stream(fetched.blob.key),
            media_type=fetched.blob.content_type,
            headers={
                "Content-Length": str(fetched.blob.size_bytes),
                "Lookout-Blob-Key": fetched.blob.key,
                "Content-Disposition": f'attachment; filename="camera-{camera_id}.mp4"',
            },
        )

    del get_camera_frame, get_camera_clip
    return router
