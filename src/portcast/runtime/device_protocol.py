"""What a listener says of the devices behind it: who they are, how they are acknowledged, commanded and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Literal, get_args

from portcast.codecs import BinaryModel, encode_value
from portcast.devices import CommandOptions, DeviceOptions, RedeliveryOptions
from portcast.errors import ConfigurationError
from portcast.runtime.device_replies import Replies

Identity = Literal["message", "connection"]
"""To whom a message belongs that does not say it itself:

* ``message``: to nobody. For concentrators, and for every protocol whose messages all name their device.
* ``connection``: to the device that was named last on this connection. For protocols with a login.

A message that names a device is always its own, whatever came before.
"""

IdentifiedBy = Literal["message", "both", "connection"]
"""With what `DeviceProtocol.identify` is called; ``both`` means the message, then the connection."""

Lookup = Callable[[str], Awaitable[Mapping[str, str] | None]]
"""The application's own list of devices: the tags of a device that it knows, perhaps none, or None."""


@dataclass(frozen=True, slots=True)
class DeviceProtocol:
    """The device side of one listener; each field is a keyword of ``listen``.

    The functions are called on the loop, in the order of the messages, and must not block.

    Attributes:
        identify: returns the id of a device, or None. Called with each message, to say whose it is; with two
            parameters, with the message and its `Connection`, whose ``peer_certificate``, ``proxy`` and ``peer`` say
            who is there; with one that is annotated ``Connection``, once when a device connects, and all of its
            messages are that device's.
        identity: whose a message is that names nobody.
        ack: returns the frame that says yes to a message, from the message and what its handler returned; None sends
            nothing. Called after the handler and its dependencies are done. For a message that came again the result
            is None.
        nack: returns the frame that says no, from the message and the exception; None sends nothing.
        redelivery_key: returns what a message is recognised by when the device sends it again; None if it cannot be.
        replies: how answers to commands are recognised; without it, commands can be sent but not answered.
        write: returns the frame of a command, from its value and its correlation; without it, bytes are written as
            they are, text as UTF-8, a `BinaryModel` as its bytes, and anything else as JSON.

    Raises:
        ConfigurationError: a value cannot work.
    """

    identify: Callable[..., str | None] | None = None
    identity: Identity = "message"
    ack: Callable[[Any, Any], bytes | None] | None = None
    nack: Callable[[Any, Exception], bytes | None] | None = None
    redelivery_key: Callable[[Any], Hashable] | None = None
    replies: Replies | None = None
    write: Callable[[Any, Any], bytes] | None = None

    def __post_init__(self) -> None:
        for name in ("identify", "ack", "nack", "redelivery_key", "write"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ConfigurationError(name, f"{value!r} cannot be called", "pass a function")
        if self.identity not in get_args(Identity):
            raise ConfigurationError("identity", f"{self.identity!r} is no choice", "use message or connection")
        if not isinstance(self.replies, Replies | None):
            raise ConfigurationError("replies", f"{self.replies!r}", "use by_field(…), by_type(…) or one_at_a_time()")

    @property
    def identified_by(self) -> IdentifiedBy:
        """What ``identify`` is called with."""
        return "message" if self.identify is None else _what_it_takes(self.identify)

    def frame(self, value: object, correlation: Hashable) -> bytes:
        """Return the frame of a command.

        Raises:
            CodecError: the value cannot be expressed.
            Exception: what ``write`` raised.
        """
        if self.write is not None:
            return self.write(value, correlation)
        return value.to_bytes() if isinstance(value, BinaryModel) else encode_value(value)


def _what_it_takes(identify: Callable[..., object]) -> IdentifiedBy:
    try:
        parameters = signature(identify).parameters.values()
    except (TypeError, ValueError):  # of a builtin; those take the message
        return "message"
    asked = [one for one in parameters if one.kind in _POSITIONAL and one.default is Parameter.empty]
    if len(asked) == 2:
        return "both"
    # The class cannot be imported here, and annotations may be strings.
    annotation = asked[0].annotation if len(asked) == 1 else None
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return "connection" if name.rpartition(".")[2] == "Connection" else "message"


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The payload of a command.

    Attributes:
        value: as it was submitted.
        frame: what is written.
        protocol: that made the frame.
    """

    value: object
    frame: bytes
    protocol: DeviceProtocol

    def frame_for(self, protocol: DeviceProtocol | None, correlation: Hashable) -> bytes:
        """Return the frame in a protocol, made anew if the device came back on a listener that speaks another."""
        return self.frame if protocol in (None, self.protocol) else protocol.frame(self.value, correlation)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What a gateway says of all its devices.

    Attributes:
        options: takeover, unknown devices, limits.
        commands: how long commands wait, and how many.
        redelivery: how long handled messages are remembered.
        known: devices that are announced, by id, with their tags.
        lookup: asked when a device that is not known says who it is; its devices are known from then on. What it raises
            costs the message. While it works, nothing else of this connection is handled.
    """

    options: DeviceOptions = field(default_factory=DeviceOptions)
    commands: CommandOptions = field(default_factory=CommandOptions)
    redelivery: RedeliveryOptions = field(default_factory=RedeliveryOptions)
    known: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lookup: Lookup | None = None
