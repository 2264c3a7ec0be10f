"""What SIGHUP means: the terminal was closed, or somebody wants the certificates to be read anew.

The kernel sends it to whoever belongs to a terminal that goes away; administrators and their tools (``systemctl
reload``, certbot's hooks, logrotate) send it to services. The two are told apart by the terminal: it is gone, or it is
not, or there was none from the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def has_terminal() -> bool:
    """Return True while this process belongs to a terminal."""
    try:
        # Opening it is the one question that the kernel answers; standard input may be anything.
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Hangup:
    """Remembers whether there was a terminal."""

    def __init__(self, looks: Callable[[], bool] = has_terminal) -> None:
        self._looks = looks
        self._had_terminal = looks()

    @property
    def is_for_terminal(self) -> bool:
        """True if a SIGHUP that has just come is that of a terminal that was closed."""
        return self._had_terminal and not self._looks()
