"""The demo's cameras: like real ones, they answer `snapshot.cgi` with a picture of their spots."""

from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from all_in_one.demo.scenario import Car
from all_in_one.pictures import draw_scene

LOOPBACK = "127.0.0.1"


class DemoCamera:
    """A camera that watches `spot_count` spots. `cars`: the parked cars by spot number.

    `host`: the address of this machine that it listens on, and under which Lookout reaches it.
    """

    def __init__(self, spot_count: int, host: str = LOOPBACK) -> None:
        self.cars: dict[int, Car] = {}
        self.is_one_passing = False
        self._spot_count = spot_count
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._host = host
        self._thread = Thread(target=self._server.serve_forever, name="demo-camera", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """`host:port`, as a camera's `p_ip` takes it."""
        return f"{self._host}:{self._server.server_address[1]}"

    def picture(self) -> bytes:
        """The camera's current picture, JPEG."""
        return draw_scene(
            {spot: car.drawn for spot, car in self.cars.items()},
            spot_count=self._spot_count,
            is_one_passing=self.is_one_passing,
            caption=f"CAM {datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if urlsplit(self.path).path != "/snapshot.cgi":
                    self.send_error(404)
                    return
                picture = camera.picture()
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(picture)))
                self.end_headers()
                self.wfile.write(picture)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name http.server uses
                """Log nothing: the demo prints the steps itself."""

        return Handler
