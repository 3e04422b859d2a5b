"""Thread pools, whose threads may have a lower priority than the rest of the process."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


def thread_pool(name: str, threads: int, *, niceness: int = 0) -> ThreadPoolExecutor:
    """`niceness`: nice value of the threads, 0 to 19. Only Linux has one for each thread; elsewhere it is ignored."""

    def lower() -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)

    is_lowered = niceness > 0 and sys.platform == "linux"
    return ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=lower if is_lowered else None)
