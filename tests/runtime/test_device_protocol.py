from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest

import portcast
from portcast.codecs import BinaryModel, UInt8
from portcast.errors import ConfigurationError
from portcast.runtime import Connection, DeviceProtocol, DeviceSettings
from portcast.runtime.device_protocol import Outgoing


def _who(message: Any) -> str | None:
    return None


def test_defaults_name_nobody_and_say_nothing() -> None:
    """A protocol is what was declared, and no more."""
    protocol = DeviceProtocol()
    assert (protocol.identify, protocol.identity, protocol.ack) == (None, "message", None)
    assert not DeviceSettings().known


class Identifier:
    """A callable object."""

    def __call__(self, message: Any, connection: Any) -> str | None:
        return f"{message}-{connection}"


def by_connection(connection: Connection) -> str:
    return str(connection)


@pytest.mark.parametrize(
    ("identify", "expected"),
    [
        (lambda message: message, "message"),
        (lambda message, connection: connection, "both"),
        (lambda message, prefix="x": prefix + message, "message"),
        (lambda *parts: "+".join(parts), "message"),
        (Identifier(), "both"),
        (operator.methodcaller("upper"), "message"),
        (by_connection, "connection"),
    ],
)
def test_identity_may_depend_on_the_connection(identify: Any, expected: str) -> None:
    """Only on what the function must be given; a default stays one."""
    assert DeviceProtocol(identify=identify).identified_by == expected


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"identify": "imei"}, "identify"),
        ({"ack": b"ok"}, "ack"),
        ({"identity": "address"}, "identity"),
        ({"identify": _who, "replies": "serial"}, "replies"),
    ],
    ids=["identify", "ack", "identity", "no replies"],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], key: str) -> None:
    """At declaration, by the keyword's name."""
    with pytest.raises(ConfigurationError) as caught:
        DeviceProtocol(**values)
    assert caught.value.key == key


class Blink(BinaryModel):
    times: Annotated[int, UInt8()]


def test_frames_of_commands() -> None:
    """Without `write=` there is a plain way for everything."""
    plain = DeviceProtocol()
    assert [plain.frame(one, 1) for one in (b"\x00", "ü", Blink(times=3), {"a": 1})] == [
        b"\x00",
        "ü".encode(),
        b"\x03",
        b'{"a":1}',
    ]
    own = DeviceProtocol(identify=_who, write=lambda value, number: b"%d" % number)
    assert own.frame("x", 7) == b"7"
    outgoing = Outgoing("x", b"x", plain)
    assert [outgoing.frame_for(one, 7) for one in (None, plain, own)] == [b"x", b"x", b"7"]


def _by_connection(connection: Connection) -> str | None: ...
def _by_string(connection: portcast.Connection) -> str | None: ...
def _by_both(message: object, connection: Connection) -> str | None: ...
def _by_message(message: object, prefix: str = "") -> str | None: ...


@pytest.mark.parametrize(
    ("identify", "expected"),
    [
        (None, "message"),
        (_by_message, "message"),
        (lambda message: None, "message"),
        (str, "message"),
        (_by_both, "both"),
        (lambda message, connection: None, "both"),
        (_by_connection, "connection"),
        (_by_string, "connection"),
    ],
)
def test_what_identify_is_called_with(identify: Any, expected: str) -> None:
    """Its parameters say it."""
    assert DeviceProtocol(identify=identify).identified_by == expected
