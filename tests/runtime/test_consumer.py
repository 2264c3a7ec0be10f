from __future__ import annotations

import pytest

from portcast.runtime import Consumer, InboxConsumer, RelayConsumer
from runtime_kit import Recorder

METHODS = [name for name in vars(Consumer) if not name.startswith("_")]


def test_the_interface_is_what_a_connection_needs() -> None:
    """A change here is a change of everybody who implements it."""
    assert sorted(METHODS) == [
        "abandon",
        "abort",
        "discard",
        "ended",
        "frames_received",
        "is_busy",
        "receive",
        "rest",
        "waiting_bytes",
    ]


@pytest.mark.parametrize("kind", [RelayConsumer, InboxConsumer, Recorder])
@pytest.mark.parametrize("method", METHODS)
def test_every_consumer_offers_it(kind: type, method: str) -> None:
    """Relay, inbox and the tests' own fake are exchangeable."""
    assert hasattr(kind, method) or method in getattr(kind, "__dataclass_fields__", {})
