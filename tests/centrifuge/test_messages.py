"""Messages are values."""

from __future__ import annotations

import dataclasses

import pytest

from portcast.centrifuge import messages


def test_a_ping_is_an_empty_reply() -> None:
    """And a pong is an empty command."""
    assert messages.Reply() == messages.PING
    assert messages.Command() == messages.Command(0, None)


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(messages).values() if dataclasses.is_dataclass(one)],
    ids=lambda kind: getattr(kind, "__name__", "?"),
)
def test_every_message_is_frozen_and_slotted(kind: type) -> None:
    """They are shared: an encoded push goes to thousands."""
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not hasattr(kind, "__dict__") or "__dict__" not in kind.__slots__  # type: ignore[attr-defined]
