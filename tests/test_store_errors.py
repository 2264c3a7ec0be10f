from __future__ import annotations

import pytest

from portcast.errors import PortcastError
from portcast.store_errors import StoreConflict, StoreFull


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        pytest.param(
            StoreFull("k" * 100, 3),
            f"store: no room for '{'k' * 80}' beside 3 others; delete some, or give keys a lifetime",
            id="full",
        ),
        pytest.param(
            StoreConflict("count", 10),
            "store: 'count' was set or deleted during each of 10 updates; use update for all its changes",
            id="conflict",
        ),
    ],
)
def test_errors_say_what_to_do(error: StoreFull | StoreConflict, sentence: str) -> None:
    """Each names the key, cut short because a device may have chosen it, and what to do."""
    assert isinstance(error, PortcastError)
    assert str(error) == sentence
    assert len(error.key) <= 80
