"""Tests of `portcast.hangup`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap

import pytest

from portcast.hangup import Hangup


@pytest.mark.parametrize(
    ("had", "has", "is_for_terminal"),
    [(True, True, False), (True, False, True), (False, False, False), (False, True, False)],
)
def test_only_a_terminal_that_is_gone_was_closed(had: bool, has: bool, is_for_terminal: bool) -> None:
    """A service never had one; a person who types ``kill -HUP`` still has it."""
    answers = iter([had, has])
    assert Hangup(lambda: next(answers)).is_for_terminal is is_for_terminal


CHILD = textwrap.dedent(
    r"""
    import os, signal, sys
    from portcast.hangup import Hangup

    hangup = Hangup()
    told = int(sys.argv[1])

    def handle(number, frame):
        os.write(told, f"{hangup.is_for_terminal}\n".encode())

    signal.signal(signal.SIGHUP, handle)
    os.write(told, b"ready\n")
    while True:
        signal.pause()
    """
)


def test_the_kernel_is_asked() -> None:
    """In a real terminal: a signal by hand first, then the terminal closes and its processes get the same."""
    reading, writing = os.pipe()
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - the child becomes another program
        os.set_inheritable(writing, True)
        os.execv(sys.executable, [sys.executable, "-c", CHILD, str(writing)])
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.readline() == "ready\n"
        os.kill(child, signal.SIGHUP)
        assert told.readline() == "False\n"
        os.close(terminal)
        assert told.readline() == "True\n"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_without_a_terminal_there_is_none() -> None:
    """As a service: in a session of its own."""
    code = "from portcast.hangup import has_terminal; print(has_terminal())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, check=True, timeout=15
    )
    assert done.stdout == "False\n"
