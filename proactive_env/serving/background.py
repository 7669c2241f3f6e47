"""An event loop in a thread of its own, for callers that are not asynchronous, or already run a loop (notebooks).

There is one a process: a forked child, such as a worker of AsyncVectorEnv, starts its own.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

_THREAD = "proactive-background"
_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def submit(coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Start a coroutine on this process's background loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop())


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on this process's background loop and wait for its result.

    Raises:
        RuntimeError: the caller runs on that loop itself, and would wait for ever.
    """
    if threading.current_thread().name == _THREAD:
        coroutine.close()
        raise RuntimeError("this code runs on the background loop already: await the asynchronous method instead")
    return submit(coroutine).result()


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        process = os.getpid()
        if process not in _loops:
            _loops[process] = asyncio.new_event_loop()
            threading.Thread(target=_loops[process].run_forever, name=_THREAD, daemon=True).start()
        return _loops[process]
