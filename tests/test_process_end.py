"""Tests of `portcast.process_end`."""

from __future__ import annotations

import subprocess
import sys

import pytest

STUCK = """
import threading, time
from portcast.process_end import exit_process
{thread}
exit_process(7)
"""


@pytest.mark.parametrize("thread", ["", "threading.Thread(target=time.sleep, args=(60,)).start()"])
def test_the_process_ends_although_a_thread_is_stuck(thread: str) -> None:
    """A plain handler that blocks for ever runs in a thread, and Python would wait for it."""
    done = subprocess.run([sys.executable, "-c", STUCK.format(thread=thread)], timeout=15, check=False)
    assert done.returncode == 7
