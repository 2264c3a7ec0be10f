"""The tables say of every message what its dataclass says, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import get_args, get_type_hints

import pytest

from portcast.centrifuge import messages
from portcast.centrifuge.codes import ReplyError
from portcast.centrifuge.schema import (
    BODIES,
    EVENTS,
    FIELDS,
    MAX_COMMANDS,
    MAX_NESTED_MESSAGES,
    REQUESTS,
    UINT32,
    Field,
    Kind,
    Width,
    first_request,
    too_deep,
    too_many_commands,
)

UINT64 = Width("uint64", 0, 2**64 - 1)


def test_every_message_has_a_table() -> None:
    """But those that the codecs take apart themselves, because their fields are alternatives."""
    classes = {one for one in vars(messages).values() if isinstance(one, type) and dataclasses.is_dataclass(one)}
    assert set(FIELDS) == (classes | {ReplyError}) - {messages.Command, messages.Reply, messages.Push}


def test_the_alternatives_are_all_there() -> None:
    """A request, result or event without a name on the wire could not travel."""
    assert set(REQUESTS.values()) == set(get_args(messages.Request))
    assert set(BODIES) == {*get_args(messages.Result), ReplyError, messages.Push}
    assert set(EVENTS) == set(get_args(get_type_hints(messages.Push)["event"]))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            messages.HistoryRequest,
            (
                Field("channel", Kind.STRING, None, UINT32),
                Field("limit", Kind.INT, None, Width("int32", -(2**31), 2**31 - 1)),
                Field("since", Kind.MESSAGE, messages.StreamPosition, UINT32),
                Field("reverse", Kind.BOOL, None, UINT32),
            ),
            id="scalars and an optional message",
        ),
        pytest.param(messages.Join, (Field("info", Kind.MESSAGE, messages.ClientInfo, UINT32),), id="a message"),
        pytest.param(
            messages.HistoryResult,
            (
                Field("publications", Kind.MESSAGES, messages.Publication, UINT32),
                Field("epoch", Kind.STRING, None, UINT32),
                Field("offset", Kind.INT, None, UINT64),
            ),
            id="messages",
        ),
        pytest.param(
            messages.PresenceResult,
            (Field("presence", Kind.MESSAGE_MAP, messages.ClientInfo, UINT32),),
            id="a map of messages",
        ),
        pytest.param(messages.PingRequest, (), id="nothing"),
    ],
)
def test_a_table_is_read_from_the_types(message: type, expected: tuple[Field, ...]) -> None:
    """Name, kind, what is inside, and how wide an integer is."""
    assert FIELDS[message] == expected


def test_kinds_of_the_rest() -> None:
    """Strings, maps of strings, bytes."""
    kinds = {(kind.__name__, field.name): field.kind for kind, fields in FIELDS.items() for field in fields}
    assert kinds["FilterNode", "vals"] is Kind.STRINGS
    assert kinds["FilterNode", "nodes"] is Kind.MESSAGES
    assert kinds["ConnectRequest", "headers"] is Kind.STRING_MAP
    assert kinds["ConnectRequest", "data"] is Kind.BYTES


def test_the_first_request_counts() -> None:
    """In the order of the definition, not that of the wire."""
    assert first_request({"sub_refresh": 1, "connect": 2, "rpc": 3}) == 2
    assert first_request({"rpc": 3}) == 3
    assert first_request({}) is None


def test_the_limits_are_named_in_their_errors() -> None:
    """Whoever writes a client should not have to guess."""
    assert str(MAX_COMMANDS) in too_many_commands().problem
    assert str(MAX_NESTED_MESSAGES) in too_deep().problem


def test_a_client_with_all_its_subscriptions_fits_in_a_frame() -> None:
    """An SDK that reconnects sends connect and 128 subscriptions at once; more of them should read error 106."""
    assert MAX_COMMANDS >= 4 * (1 + 128)
