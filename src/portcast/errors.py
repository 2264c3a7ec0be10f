"""All exceptions of Portcast, by whose fault it is.

====================  ======================================================================
whose fault           class
====================  ======================================================================
the caller            `ConfigurationError`, `TopicError`, `TagError`, `DeviceIdError` (or the peer), `DeviceUnknown`,
                      `ProtocolUnknown`
the peer              `FramingError` (ends the connection), `CodecError`, `FieldError`, `MessageUnhandled` (cost one
                      frame), `CentrifugeError` (ends the connection of an SDK client with code 3501), `DeltaError`,
                      `TagFilterError`, `TokenInvalid`, `TokenExpired`, `ProxyHeaderError`
the app, of a client  `Refuse`, `DisconnectClient`: raised by hooks to say no
the environment       `ListenError`, `SnapshotError`, `BrokerUnavailable`, `MissingDependencyError`,
                      `CommandQueueFull`, `CommandFailed`; `portcast.store_errors`
====================  ======================================================================

Each exception keeps its facts as attributes and builds its sentence from them: what was expected, what came, what
to do. None holds a secret or a whole payload. Control flow (skip, stop, retry) is not an error and lives elsewhere.
"""

from __future__ import annotations

HEAD_BYTES = 32
"""How many bytes of the offending input an error keeps, enough to recognise the protocol that was spoken."""


class PortcastError(Exception):
    """The root: catch this to catch whatever Portcast raises on its own account."""


class ConfigurationError(PortcastError, ValueError):
    """A setting that cannot work, found before anything starts.

    Attributes:
        key: the option, URL, file key or address that is wrong, as the user wrote it.
        problem: what is wrong with it.
        hint: what to do; may be empty.
    """

    def __init__(self, key: str, problem: str, hint: str = "") -> None:
        self.key = key
        self.problem = problem
        self.hint = hint
        super().__init__(f"{key}: {problem}" + (f"; {hint}" if hint else ""))


class TopicError(PortcastError, ValueError):
    """A topic or topic filter that breaks the rules of `portcast.topics`.

    Attributes:
        topic: the offending name, cut to 80 characters.
        problem: the rule that it breaks.
    """

    def __init__(self, topic: str, problem: str) -> None:
        self.topic = topic[:80]
        self.problem = problem
        super().__init__(f"topic {self.topic!r}: {problem}")


class DeviceIdError(PortcastError, ValueError):
    """A device's id cannot stand in a topic.

    Attributes:
        device_id: the offending id, cut to 80 characters.
        problem: the rule that it breaks.
        hint: what to do.
    """

    def __init__(self, device_id: str, problem: str, hint: str) -> None:
        self.device_id = device_id[:80]
        self.problem = problem
        self.hint = hint
        super().__init__(f"device id {self.device_id!r}: {problem}; {hint}")


class DeviceUnknown(PortcastError, LookupError):
    """There is no device with this id, or not any more.

    Attributes:
        device_id: which, cut to 80 characters.
    """

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id[:80]
        super().__init__(f"no device {self.device_id!r} is known")


class TagError(PortcastError, ValueError):
    """A publication's tags break the rules of `portcast.publication.Meta`.

    Attributes:
        problem: the rule that they break, with the offending text cut to 80 characters.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"tags: {problem}")


class FramingError(PortcastError, ValueError):
    """The byte stream of a peer does not follow its framing; the connection cannot go on.

    Attributes:
        reason: one word for counters: ``malformed``, ``oversize``, ``truncated`` or ``checksum``.
        expected: what the framing expected at this place.
        size: bytes seen, or announced by the peer, of the offending frame.
        head: the first 32 bytes of the offending frame.
    """

    reason = "malformed"

    def __init__(self, expected: str, size: int, head: bytes | bytearray | memoryview) -> None:
        self.expected = expected
        self.size = size
        self.head = bytes(head[:HEAD_BYTES])
        super().__init__(f"{self.reason} frame: expected {expected}; saw {size} bytes beginning {self.head!r}")


class OversizeFrameError(FramingError):
    """A frame is, or says that it will be, larger than ``max_frame``."""

    reason = "oversize"


class TruncatedFrameError(FramingError):
    """The stream ended inside a frame."""

    reason = "truncated"


class ChecksumError(FramingError):
    """A frame arrived whole but its check value does not match."""

    reason = "checksum"


class ProxyHeaderError(PortcastError, ValueError):
    """A PROXY header breaks the rules of its protocol, or ours; the sentence says which."""


class CodecError(PortcastError, ValueError):
    """One frame cannot be turned into a message, or a value into a frame; the stream itself is intact.

    Attributes:
        codec: the name of the codec.
        problem: what is wrong, without the payload.
        head: the first 32 bytes of the frame; empty when encoding.
    """

    def __init__(self, codec: str, problem: str, head: bytes = b"") -> None:
        self.codec = codec
        self.problem = problem
        self.head = head[:HEAD_BYTES]
        super().__init__(f"{codec}: {problem}" + (f" in a frame beginning {self.head!r}" if head else ""))


class CentrifugeError(PortcastError, ValueError):
    """A frame of an SDK client is not made of commands of the Centrifuge protocol; none of it was carried out.

    Attributes:
        problem: what is wrong, without what the client sent: it may be a token.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"centrifuge: {problem}")


class FieldError(CodecError):
    """One field of a binary frame cannot be read, or one value cannot be written; it costs one frame.

    Attributes:
        field: the path of the field, ``records.2.speed``; empty if it is about the frame as a whole.
        offset: the byte of the frame at which the field begins, from 0; None when encoding.
        expected: what the field holds, or what is wrong with what came, in words.
    """

    def __init__(self, codec: str, field: str, offset: int | None, expected: str, head: bytes = b"") -> None:
        self.field = field
        self.offset = offset
        self.expected = expected
        where = field if offset is None else f"{field or 'the frame'} at byte {offset}"
        super().__init__(codec, f"{where}: expected {expected}" if where else f"expected {expected}", head)


class MessageUnhandled(CodecError):
    """The listener has a handler for each of several models, and none for that of this message; it costs one frame."""


class ConnectionClosedError(PortcastError, ConnectionError):
    """The device's connection has ended, so nothing more can be sent to it or read from it.

    Attributes:
        connection_id: which connection.
        reason: why it ended (see `portcast.events.ConnectionClosed`).
    """

    def __init__(self, connection_id: str, reason: str) -> None:
        self.connection_id = connection_id
        self.reason = reason
        super().__init__(f"connection {connection_id} has ended: {reason}")


class CommandQueueFull(PortcastError):
    """A device has not taken its commands for so long that no more may wait for it.

    Attributes:
        device_id: which device.
        limit: how many commands may wait.
    """

    def __init__(self, device_id: str, limit: int) -> None:
        self.device_id = device_id
        self.limit = limit
        super().__init__(f"{limit} commands wait for device {device_id!r} already; cancel some or wait for it")


class CommandFailed(PortcastError):
    """A command ended without an answer that says yes.

    Attributes:
        device_id: whom it was for.
        command_id: which.
        state: how it ended: ``refused``, ``timed_out``, ``unknown``, ``expired``, ``cancelled`` or ``displaced`` (see
            `portcast.devices.CommandState`).
        answer: what the device said, if it refused.
    """

    def __init__(self, device_id: str, command_id: str, state: str, answer: object = None) -> None:
        self.device_id = device_id
        self.command_id = command_id
        self.state = state
        self.answer = answer
        super().__init__(f"command {command_id} to device {device_id!r}: {state.replace('_', ' ')}")


class ProtocolUnknown(PortcastError, LookupError):
    """A device was never connected, and several listeners could be the one that it will come to.

    Attributes:
        device_id: which device.
    """

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        super().__init__(
            f"device {device_id!r} was never connected, so it is not known how commands are written to it; "
            "wait for its first connection"
        )


class ListenError(PortcastError, OSError):
    """A listener's address cannot be bound.

    Attributes:
        address: the address as a URL, ``tcp://127.0.0.1:8001``.
        problem: what the operating system said, in words.
        hint: what to do.
    """

    def __init__(self, address: str, problem: str, hint: str = "") -> None:
        self.address = address
        self.problem = problem
        self.hint = hint
        super().__init__(f"{address}: {problem}" + (f"; {hint}" if hint else ""))


class SnapshotError(PortcastError, ValueError):
    """Bytes that should be a snapshot of history are not one that can be used.

    Attributes:
        problem: what is wrong with it: "it is damaged".
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"snapshot of history: {problem}")


class BrokerUnavailable(PortcastError, ConnectionError):
    """The broker between processes cannot be reached."""


class MissingDependencyError(PortcastError, ImportError):
    """A feature needs a package that is not installed.

    Attributes:
        package: what to install, as pip names it.
        feature: what needs it.
    """

    def __init__(self, package: str, feature: str) -> None:
        self.package = package
        self.feature = feature
        super().__init__(f"{feature} needs {package}: pip install {package}")


class DeltaError(PortcastError, ValueError):
    """A delta that cannot be applied (see `portcast.centrifuge.fossil`).

    Attributes:
        problem: what is wrong, without the payload.
        position: the offset in the delta, in bytes, at which it was noticed.
    """

    def __init__(self, problem: str, position: int) -> None:
        self.problem = problem
        self.position = position
        super().__init__(f"delta, byte {position}: {problem}")


class TagFilterError(PortcastError, ValueError):
    """A filter on the tags of publications that cannot be used (see `portcast.centrifuge.tag_filter`).

    Attributes:
        path: which node, ``nodes[0].nodes[2]``; empty for the topmost.
        problem: the rule that it breaks.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"tag filter{', ' if path else ''}{path}: {problem}")


class TokenInvalid(PortcastError, ValueError):
    """A JSON Web Token that is not accepted, whatever the time. Neither the token nor a key is in the message.

    Attributes:
        problem: what is wrong with it.
        is_key_unknown: it names a key that is not there; the issuer may have published a new one.
    """

    def __init__(self, problem: str, *, is_key_unknown: bool = False) -> None:
        self.problem = problem
        self.is_key_unknown = is_key_unknown
        super().__init__(f"token: {problem}")


class TokenExpired(PortcastError, ValueError):
    """A JSON Web Token that is genuine but not valid now; the client should get a new one.

    Attributes:
        claim: the claim that says so, ``exp`` (it is past) or ``nbf`` (it is yet to come).
        at: what it says, in Unix seconds.
        now: the time that it was compared with, in Unix seconds.
    """

    def __init__(self, claim: str, at: float, now: float) -> None:
        self.claim = claim
        self.at = at
        self.now = now
        super().__init__(f"token: its {claim} is {at:.0f} and the time is {now:.0f}")
