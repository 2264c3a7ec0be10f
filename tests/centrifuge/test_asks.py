"""At most one command in order, calls beside it, and each is completed once."""

from __future__ import annotations

import pytest

from portcast.centrifuge.asks import OpenAsks
from portcast.centrifuge.messages import Command, PublishRequest, RpcRequest

PUBLISH = Command(1, PublishRequest("a"))
CALL = Command(1, RpcRequest())


def test_a_command_is_busy_until_it_is_complete() -> None:
    """The next command waits for it."""
    asks = OpenAsks()
    assert not asks.is_busy
    ask = asks.add(PUBLISH)
    assert ask.command is PUBLISH
    assert asks.is_busy
    with pytest.raises(AssertionError, match="one after the other"):
        asks.add(PUBLISH)
    asks.complete(ask)
    assert not asks.is_busy


def test_calls_run_beside_and_are_told_apart_by_identity() -> None:
    """A client may use an id twice; the first completion must not close the second ask."""
    asks = OpenAsks()
    assert asks.calls == 0
    first, second = asks.add(CALL), asks.add(CALL)
    assert asks.calls == 2
    assert not asks.is_busy
    asks.complete(first)
    with pytest.raises(KeyError):
        asks.complete(first)
    asks.complete(second)
    assert asks.calls == 0


@pytest.mark.parametrize("command", [PUBLISH, CALL], ids=["in order", "call"])
def test_an_ask_is_completed_once(command: Command) -> None:
    """Two replies to one command would be the shell's mistake, and must not reach the client."""
    asks = OpenAsks()
    ask = asks.add(command)
    asks.complete(ask)
    with pytest.raises(AssertionError, match="completed once"):
        asks.complete(ask)


def test_clear_forgets_all() -> None:
    """After the end nobody waits."""
    asks = OpenAsks()
    asks.add(PUBLISH)
    asks.add(CALL)
    asks.clear()
    assert not asks.is_busy
    assert asks.calls == 0
