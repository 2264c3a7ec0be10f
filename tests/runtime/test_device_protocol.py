from __future__ import annotations

import operator
from typing import Annotated, Any, cast

import pytest

from portcast.codecs import BinaryModel, UInt8
from portcast.errors import ConfigurationError
from portcast.runtime import DeviceProtocol, DeviceSettings, one_at_a_time
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


@pytest.mark.parametrize(
    ("identify", "expected"),
    [
        (lambda message: message, "m"),
        (lambda message, connection: connection, "c"),
        (lambda message, prefix="x": prefix + message, "xm"),
        (lambda *parts: "+".join(parts), "m"),
        (Identifier(), "m-c"),
        (operator.methodcaller("upper"), "M"),
    ],
)
def test_identity_may_depend_on_the_connection(identify: Any, expected: str) -> None:
    """Only on what the function must be given; a default stays one."""
    identification = DeviceProtocol(identify=identify).identification()
    assert identification is not None
    assert identification("m", cast("Any", "c")) == expected
    assert DeviceProtocol().identification() is None


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"identify": "imei"}, "identify"),
        ({"ack": b"ok"}, "ack"),
        ({"identity": "address"}, "identity"),
        ({"identify": _who, "replies": "serial"}, "replies"),
        ({"redelivery_key": _who}, "redelivery_key"),
        ({"replies": one_at_a_time()}, "replies"),
        ({"write": _who}, "write"),
    ],
    ids=["identify", "ack", "identity", "no replies", "key alone", "replies alone", "write alone"],
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
