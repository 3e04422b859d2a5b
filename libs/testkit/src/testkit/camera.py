"""A small real camera: HTTP with Digest authentication, and the ways in which cameras fail."""

import tempfile
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np

from testkit import pictures
from testkit.digest import Algorithm, DigestVerifier

SNAPSHOT = "/snapshot.cgi"
CLIP = "/dataloader.cgi"


class CameraMode(StrEnum):
    """How the camera answers an authorized request."""

    OK = "ok"
    HANG = "hang"
    """Accepts the request and never answers."""
    SLOW = "slow"
    """Answers after `slow_s` seconds."""
    REFUSE = "refuse"
    """Answers 401 to every password."""
    NOT_A_PICTURE = "not_a_picture"
    """Answers 200 with an HTML error page, as some firmware does."""
    TRUNCATED = "truncated"
    """A complete response with only the first half of the picture or clip."""
    CUT = "cut"
    """Closes the connection in the middle of the body."""
    ERROR = "error"
    """Answers 500."""


@dataclass(frozen=True)
class CameraRequest:
    """A request as received. `is_authorized`: its credentials were right."""

    path: str
    query: dict[str, str]
    is_authorized: bool


class HttpCamera:
    """Serves `picture` at `/snapshot.cgi` and `clip` at `/dataloader.cgi?dw=sd&filename=…`, until `stop()`.

    May be changed while it runs: `mode`, `slow_s`, `password`, `picture` (JPEG), `clip` (MP4), and `broken_clips`,
    the number of the next clips that are truncated.
    """

    def __init__(
        self,
        *,
        user: str = "admin",
        password: str = "camera-secret",  # noqa: S107 - protects only test pictures
        algorithm: Algorithm = "MD5",
        picture: bytes | None = None,
    ) -> None:
        self.mode = CameraMode.OK
        self.slow_s = 0.5
        self.broken_clips = 0
        self.picture = picture if picture is not None else pictures.noise(60_000)
        self.clip = small_clip()
        self.requests: list[CameraRequest] = []
        self._verifier = DigestVerifier(user, password, algorithm)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """`127.0.0.1:port`; a restart keeps it."""
        return f"127.0.0.1:{self._port}"

    @property
    def user(self) -> str:
        """The user name that is accepted."""
        return self._verifier.user

    @property
    def password(self) -> str:
        """The password that is accepted."""
        return self._verifier.password

    @password.setter
    def password(self, password: str) -> None:
        self._verifier.password = password

    def start(self) -> None:
        """Listen, after a stop at the same address."""
        if self._server is not None:
            return
        self._stopping.clear()
        self._verifier.clear_nonces()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="testkit-camera", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop listening: connections are refused, and requests that wait are ended without an answer."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def clear_nonces(self) -> None:
        """As after a reboot: every nonce that was issued is stale."""
        self._verifier.clear_nonces()

    def count(self, path: str = SNAPSHOT) -> int:
        """The number of authorized requests for `path`."""
        return sum(1 for request in self.requests if request.is_authorized and request.path == path)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Handle one request; called from the server's threads."""
        parts = urlsplit(handler.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with self._lock:
            rejection = self._verifier.rejection("GET", handler.path, handler.headers.get("Authorization"))
            is_authorized = rejection is None and self.mode is not CameraMode.REFUSE
            self.requests.append(CameraRequest(parts.path, query, is_authorized))
            challenge = None if is_authorized else self._verifier.challenge(is_stale=rejection == "stale")
            mode = self.mode
        if challenge is not None:
            _send(
                handler,
                401,
                "text/plain",
                (rejection or "wrong credentials").encode(),
                {"WWW-Authenticate": challenge},
            )
            return
        if not self._stopped_while_waiting(mode):
            self._serve(handler, parts.path, query, mode)

    def _stopped_while_waiting(self, mode: CameraMode) -> bool:
        """Wait as the mode requires; True if the camera was stopped meanwhile, so that no thread outlives it."""
        if mode not in {CameraMode.HANG, CameraMode.SLOW}:
            return False
        return self._stopping.wait(self.slow_s if mode is CameraMode.SLOW else None)

    def _serve(
        self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], mode: CameraMode
    ) -> None:
        if mode is CameraMode.ERROR:
            _send(handler, 500, "text/html", b"<html>Internal Error</html>")
        elif path not in {SNAPSHOT, CLIP}:
            _send(handler, 404, "text/html", b"<html>Not Found</html>")
        elif path == CLIP and not {"filename", "starttime", "endtime"} <= query.keys():
            _send(handler, 400, "text/html", b"<html>Bad Request</html>")
        elif mode is CameraMode.NOT_A_PICTURE:
            _send(handler, 200, "text/html", pictures.error_page())
        else:
            body, content_type = self._body(path, mode)
            length = len(body) * 2 if mode is CameraMode.CUT else len(body)
            _send(handler, 200, content_type, body, length=length)

    def _body(self, path: str, mode: CameraMode) -> tuple[bytes, str]:
        whole, content_type = (self.picture, "image/jpeg") if path == SNAPSHOT else (self.clip, "video/mp4")
        is_broken = mode is CameraMode.TRUNCATED
        if path == CLIP:
            with self._lock:
                if self.broken_clips > 0:
                    self.broken_clips -= 1
                    is_broken = True
        return (whole[: len(whole) // 2] if is_broken else whole), content_type


def _handler(camera: HttpCamera) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "testkit"

        def do_GET(self) -> None:
            try:
                camera.answer(self)
            except ConnectionError:
                self.close_connection = (
                    True  # the client closed the connection, which some tests do on purpose
                )

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Log nothing: `requests` records them."""

    return Handler


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    content_type: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    length: int | None = None,
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@lru_cache(maxsize=4)
def small_clip(frames: int = 10, size_px: tuple[int, int] = (160, 120), fps: int = 5) -> bytes:
    """A real MP4 (MPEG-4 part 2): a bright square that moves to the right with each frame."""
    width, height = size_px
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size_px)
        if not writer.isOpened():
            raise RuntimeError("OpenCV cannot write MP4 on this machine: is it built with FFmpeg?")
        for number in range(frames):
            frame = np.full((height, width, 3), 60, np.uint8)
            left = number * (width - 20) // max(1, frames - 1)
            frame[height // 2 - 10 : height // 2 + 10, left : left + 20] = 220
            writer.write(frame)
        writer.release()
        return path.read_bytes()
