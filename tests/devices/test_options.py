from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, cast

import pytest

from portcast.devices import CommandOptions, DeviceOptions, RedeliveryOptions, Takeover
from portcast.errors import ConfigurationError

KINDS: list[Any] = [DeviceOptions, CommandOptions, RedeliveryOptions]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_option_is_explained_and_bounded(kind: Any) -> None:
    """The reference page and the command line are made from this."""
    for option in fields(kind()):
        assert option.metadata["help"]
        assert "minimum" in option.metadata or "choices" in option.metadata


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda: DeviceOptions(takeover=cast("Takeover", "steal")),
            "DeviceOptions.takeover: 'steal' is no choice; use one of replace, rej",
        ),
        (lambda: DeviceOptions(max_devices=0), "DeviceOptions.max_devices: 0 cannot work; use a number of at least 1"),
        (lambda: CommandOptions(timeout_s=math.nan), "CommandOptions.timeout_s: nan cannot work"),
        (lambda: RedeliveryOptions(window=-1), "RedeliveryOptions.window: -1 cannot work"),
    ],
    ids=["choice", "minimum", "nan", "negative"],
)
def test_what_cannot_work(make: Any, problem: str) -> None:
    """It is found before anything starts."""
    with pytest.raises(ConfigurationError, match=problem):
        make()
