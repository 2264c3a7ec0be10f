"""The end of a process that serves, when everything that could be stopped has stopped."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from portcast.server import LEFT_BEHIND_S, SIGNALS

_logger = logging.getLogger("portcast")


def exit_process(status: int) -> NoReturn:
    """End the process with ``status``, even if a thread is stuck in a handler that never returns.

    Python waits for such threads for ever; here they are left behind once everything is flushed.
    """
    if threading.current_thread() is threading.main_thread():
        for sig in SIGNALS:
            # Python's own end takes a moment, in which the default would turn an orderly status into the signal's.
            signal.signal(sig, signal.SIG_IGN)
    others = [t for t in threading.enumerate() if t is not threading.current_thread() and not t.daemon]
    until = time.monotonic() + LEFT_BEHIND_S
    for thread in others:  # idle ones have been told to end, and do so in a moment
        thread.join(max(0.0, until - time.monotonic()))
    stuck = [thread for thread in others if thread.is_alive()]
    if not stuck:
        sys.exit(status)
    _logger.warning("threads left behind count=%d", len(stuck))
    logging.shutdown()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(status)
