"""A snapshot does not change under its reader's hands."""

from __future__ import annotations

import dataclasses

import pytest

from portcast.runtime.statistics import HubStatistics


def test_a_snapshot_is_frozen() -> None:
    """It can be kept and compared with the next."""
    snapshot = HubStatistics(1, 2, 3, 4, 5, 6, 7, 8, 9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.delivered = 0  # type: ignore[misc]
    assert snapshot == dataclasses.replace(snapshot)
