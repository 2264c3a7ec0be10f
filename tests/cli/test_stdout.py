"""Tests of `portcast.cli.stdout`."""

from __future__ import annotations

import os
import subprocess
import sys

from cli.processes import environment

PROGRAM = """
from portcast.cli.stdout import discard_stdout
try:
    print("x", flush=True)
except BrokenPipeError:
    discard_stdout()
print("y")
"""


def test_a_process_goes_on_and_ends_well_although_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=15, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
