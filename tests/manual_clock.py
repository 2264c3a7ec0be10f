"""The manual clock of `portcast.testing`, under the name that many tests import."""

from __future__ import annotations

from portcast.testing.clock import ManualClock, ManualTimer

__all__ = ["ManualClock", "ManualTimer"]
