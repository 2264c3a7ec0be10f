from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest

from portcast.errors import ConfigurationError
from portcast.history import HistoryLimits


def test_every_option_explains_itself() -> None:
    """Command line, TOML and reference are generated from the fields, so each has help and a minimum."""
    for option in fields(HistoryLimits):
        assert option.metadata["help"].endswith(".")
        assert option.default >= option.metadata["minimum"]


@pytest.mark.parametrize("name", [option.name for option in fields(HistoryLimits)])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_values_that_cannot_work_are_refused(name: str, value: float) -> None:
    """A limit is a finite number of at least its minimum, and the error names the option."""
    with pytest.raises(ConfigurationError, match=rf"history\.{name}: .* at least"):
        replace(HistoryLimits(), **{name: value})  # type: ignore[arg-type]  # any number, by name


@pytest.mark.parametrize("name", ["publications", "age_s", "topic_bytes", "total_bytes"])
def test_zero_turns_history_off(name: str) -> None:
    """0 in any bound means that nothing is kept."""
    assert HistoryLimits().is_enabled
    assert not replace(HistoryLimits(), **{name: 0}).is_enabled
