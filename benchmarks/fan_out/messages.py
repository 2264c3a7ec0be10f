"""What is published: texts of exactly 120 bytes, each of them different, with the time at which they were due."""

from __future__ import annotations

import re

SIZE = 120
"""Bytes of a message, as in the tables of the design."""
LAST = 9999
"""The device that sends only one message, after all the others."""
LAST_MARK = b"d%04d n" % LAST

PATTERN = re.compile(rb"d(\d{4}) n(\d{10}) t(\d{20}) x{80}")
"""Finds messages in whatever a server puts around them: device, number, nanoseconds."""


def message(device: int, number: int, due_ns: int = 0) -> bytes:
    """Return ``d0007 n0000000123 t<nanoseconds, 20 digits> xxxx…``."""
    return b"d%04d n%010d t%020d %s" % (device, number, due_ns, b"x" * (SIZE - 40))
