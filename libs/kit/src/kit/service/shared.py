"""What the services of one process have in common."""

from dataclasses import dataclass, field

from starlette.types import ASGIApp

from kit.auth import JwksSource
from kit.bus import Bus
from kit.clock import Clock, SystemClock
from kit.log_file import LogFiles
from kit.logging import Logger


@dataclass(slots=True, kw_only=True)
class Shared:
    """Passed to every service that is built in a process. A service in a process of its own needs none.

    `bus`: started and stopped by the process; None: each service opens its own. `jwks`: the public keys that sign
    access tokens; None: fetched from `auth.jwks_url`. It must be set before services that check tokens are built.
    `apps`: the HTTP app of each service that was built, by name, for a service that calls others in the process;
    None: they are called over HTTP. `logger`: for the process and its libraries; None: the first service's.
    `log_files`: the files that its loggers write to.
    """

    clock: Clock = field(default_factory=SystemClock)
    bus: Bus | None = None
    jwks: JwksSource | None = None
    apps: dict[str, ASGIApp] | None = None
    logger: Logger | None = None
    log_files: LogFiles = field(default_factory=LogFiles)
