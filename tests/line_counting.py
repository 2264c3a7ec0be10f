"""How much Python some work runs, counted by the tracer and not by a clock."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType


def count_lines(work: Callable[[], object]) -> int:
    """How many lines of Python the work runs; not those of finalizers of what others left."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return trace

    before, was_collecting = sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(trace)  # type: ignore[arg-type]  # typeshed cannot say that it returns itself
    try:
        work()
    finally:
        sys.settrace(before)
        if was_collecting:
            gc.enable()
    return lines
