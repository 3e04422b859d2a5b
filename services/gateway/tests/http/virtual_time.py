"""An event loop whose clock jumps to the next timer: timeouts of minutes are tested exactly, and at once."""

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would wait for `timeout`, the clock goes ahead by that."""

    def __init__(self):
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("the test waits for something that no timer will bring")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.now_s


def run(coroutine):
    """Run it on such a loop."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(coroutine)
