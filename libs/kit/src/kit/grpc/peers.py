"""Calls to other services by name: over the network, or over Unix sockets in embedded mode.

In embedded mode every service that serves gRPC listens on `<data_dir>/rpc/<service>.sock`, and the token is kept in
`<data_dir>/rpc.token`, so that other programs of the same user can call too.
"""

import errno
import os
import stat
import tempfile
from pathlib import Path

import grpc

from kit.errors import Unavailable
from kit.grpc.client import channel
from kit.secrets import key_in_file
from kit.settings import Block, ServiceSettings
from kit.settings.blocks import tokens_of

MAX_SOCKET_PATH_BYTES = 107
"""`sun_path` of unix(7) without its final NUL."""

_LONGEST_NAME = "x" * 32 + ".sock"


class Peers:
    """One channel a peer, opened on first use and closed with the service.

    `addresses`: a block of the service's settings with a field for each peer, such as
    `parcel_store: str = Field("dns:///parcel-store:9102", …)`; in embedded mode only the names matter.
    """

    def __init__(self, settings: ServiceSettings, addresses: Block) -> None:
        self._settings = settings
        self._addresses = {name.replace("_", "-"): str(value) for name, value in addresses}
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, peer: str) -> grpc.aio.Channel:
        """The channel to a service, for a generated stub. Call it inside the event loop.

        Raises:
            KeyError: the settings have no address for that name.
        """
        if peer not in self._channels:
            if peer not in self._addresses:
                raise KeyError(f"no peer {peer!r}: the peers are {', '.join(self._addresses) or 'none'}")
            if self._settings.mode == "embedded":
                self._channels[peer] = local_channel(self._settings, peer)
            else:
                self._channels[peer] = channel(self._addresses[peer], self._settings.grpc)
        return self._channels[peer]

    async def start(self) -> None:
        """Nothing: a channel connects when it is used."""

    async def stop(self) -> None:
        """Close the channels."""
        channels = list(self._channels.values())
        self._channels.clear()
        for each in channels:
            await each.close()


def local_channel(settings: ServiceSettings, peer: str, *, token: str | None = None) -> grpc.aio.Channel:
    """A channel to a service of an embedded process with the same data folder; its maker closes it.

    Raises:
        PermissionError: the folder of the sockets belongs to another user, who would receive the token.
        kit.errors.Unavailable: it is a link to a folder that no longer exists, which another user could create.
    """
    folder = settings.data_dir / "rpc"
    if folder.exists():
        _require_own(folder)
    elif folder.is_symlink():
        raise Unavailable(f"{peer} is not running: {folder} links to a folder that does not exist")
    # A socket that only its owner reaches needs no TLS.
    plain = settings.grpc.model_copy(update={"tls_ca": None})
    secret = local_token(settings) if token is None else token
    return channel(f"unix:{socket_path(settings.data_dir, peer)}", plain, token=secret)


def local_token(settings: ServiceSettings) -> str:
    """The token of embedded services: the one that is set, else the one in the data folder, made on first use.

    With named callers it is always the latter: the one that is set is then only sent.
    """
    given = tokens_of(settings.grpc.token) if settings.grpc.callers is None else ()
    return next(iter(given), "") or key_in_file(settings.data_dir / "rpc.token")


def socket_path(data_dir: Path, service: str) -> Path:
    """Where an embedded service listens; the folder may be a link to a shorter path."""
    return Path(os.path.realpath(data_dir / "rpc")) / f"{service}.sock"


def make_socket_folder(data_dir: Path) -> None:
    """Make `<data_dir>/rpc`, accessible to its owner only.

    Where that path is too long for a socket's address, it becomes a link to a new temporary folder, which
    `remove_socket_folder` removes.

    Raises:
        OSError: it cannot be created.
        PermissionError: it belongs to another user.
    """
    folder = data_dir / "rpc"
    if not folder.exists():
        folder.unlink(missing_ok=True)  # a link whose target is gone
        data_dir.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(Path(os.path.realpath(folder)) / _LONGEST_NAME)) > MAX_SOCKET_PATH_BYTES:
            folder.symlink_to(tempfile.mkdtemp(prefix="lookout-"), target_is_directory=True)
        else:
            folder.mkdir(mode=0o700, exist_ok=True)
    _require_own(folder)
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)


def remove_socket_folder(data_dir: Path) -> None:
    """Remove the temporary folder that `make_socket_folder` made, and the link to it, once it has no sockets."""
    link = data_dir / "rpc"
    if link.is_symlink():
        try:
            link.readlink().rmdir()
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return  # another service of the data folder still uses it
            if not isinstance(error, FileNotFoundError):
                raise
        link.unlink(missing_ok=True)


def _require_own(folder: Path) -> None:
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user: remove it or use another data folder")
