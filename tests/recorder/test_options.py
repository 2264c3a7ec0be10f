from __future__ import annotations

import math
from typing import Any

import pytest

from portcast.errors import ConfigurationError
from portcast.recorder import RecorderOptions


def test_nothing_is_recorded_as_installed() -> None:
    """Payloads are sensitive: somebody must ask for it."""
    assert RecorderOptions().on == ()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"max_bytes": 4095}, "max_bytes"),
        ({"total_bytes": 0}, "total_bytes"),
        ({"max_frame_bytes": -1}, "max_frame_bytes"),
        ({"max_rate": 0}, "max_rate"),
        ({"age_s": 0.5}, "age_s"),
        ({"age_s": math.nan}, "age_s"),
        ({"age_s": math.inf}, "age_s"),
        ({"on": ("device:a", "boiler-1")}, "on"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(options: dict[str, Any], key: str) -> None:
    """With the name of the option."""
    with pytest.raises(ConfigurationError) as raised:
        RecorderOptions(**options)
    assert raised.value.key == f"RecorderOptions.{key}"
