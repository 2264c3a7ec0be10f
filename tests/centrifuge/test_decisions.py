"""Decisions are values, except that an ask is itself."""

from __future__ import annotations

from portcast.centrifuge.codes import UNSUBSCRIBED_BY_SERVER
from portcast.centrifuge.decisions import Ask, Detach
from portcast.centrifuge.messages import Command, RpcRequest


def test_asks_for_equal_commands_differ() -> None:
    """A client may call twice with the same id; each call has its completion."""
    first, second = Ask(Command(1, RpcRequest())), Ask(Command(1, RpcRequest()))
    assert first != second
    assert len({first, second}) == 2


def test_detach_names_the_channel_and_the_reason() -> None:
    """The shell needs both: one for the hub, one for the app."""
    assert Detach("a", UNSUBSCRIBED_BY_SERVER) == ("a", (2000, "server unsubscribe"))
