"""How the answer to a command is recognised among a device's messages.

Three ways, one for each kind of protocol: `by_field` (a number or word that command and answer share), `by_type` (an
answer of its own type for each command) and `one_at_a_time` (the next message is the answer).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Reply:
    """A message that answers a command.

    Attributes:
        correlation: what it has in common with the command.
        answer: what the device said; whoever asked gets it.
        is_refusal: True if the device says that it will not.
    """

    correlation: Hashable
    answer: object = field(repr=False)
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Replies:
    """A device's way to answer.

    A message that is read as a reply ends the command that waits for it and goes no further. If none waits, it is
    handled like any other message.

    Attributes:
        read: returns the reply in a message; None if it is none.
        correlate: returns the correlation of a command, from its value and from a number that counts the device's
            commands, from anywhere between 1 and 2**31 on (from 1 in the test kit).
        is_exclusive: True if one command at a time waits, and what comes meanwhile is its answer.
    """

    read: Callable[[Any], Reply | None]
    correlate: Callable[[object, int], Hashable]
    is_exclusive: bool = False


def by_field(
    name: str,
    *types: type[Any],
    refused: Callable[[Any], bool] | None = None,
    modulus: int = 65_536,
) -> Replies:
    """Return replies that repeat a field of their command, such as a serial number.

    Args:
        name: of an attribute, or of a key if messages are mappings. A command that has it says its correlation itself;
            any other gets the next number, and ``write=`` puts it into the frame.
        *types: of messages that are replies; none: every message that has the field.
        refused: True for a reply by which the device says no.
        modulus: numbers go from 1 to ``modulus - 1`` and begin again; 65 536 for a field of two bytes. They begin
            anywhere, so that an answer from before a restart is not taken for that to the first command after it.
    """

    def value_of(thing: object) -> Hashable:
        found = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        return found if isinstance(found, Hashable) else None

    def read(message: Any) -> Reply | None:
        if types and not isinstance(message, types):
            return None
        found = value_of(message)
        return None if found is None else Reply(found, message, refused is not None and refused(message))

    def correlate(command: object, number: int) -> Hashable:
        found = value_of(command)
        return (number - 1) % (modulus - 1) + 1 if found is None else found

    return Replies(read, correlate)


def by_type(answers: Mapping[type[Any], type[Any]], *, refused: Callable[[Any], bool] | None = None) -> Replies:
    """Return replies that are told by their type.

    Args:
        answers: the type of the answer by the type of the command. At most one command with the same type of answer
            waits at a time.
        refused: True for a reply by which the device says no.
    """
    # A type can be hashed; mypy asks its metaclass and is not sure.
    expected = cast("Mapping[Any, Hashable]", answers)
    kinds = frozenset(expected.values())

    def read(message: Any) -> Reply | None:
        kind = cast("Hashable", type(message))
        return Reply(kind, message, refused is not None and refused(message)) if kind in kinds else None

    def correlate(command: object, number: int) -> Hashable:
        return expected.get(type(command))

    return Replies(read, correlate)


def one_at_a_time(
    is_reply: Callable[[Any], bool] | None = None, *, refused: Callable[[Any], bool] | None = None
) -> Replies:
    """Return replies of devices whose answers name nothing: one command waits, and the next message is its answer.

    Args:
        is_reply: False for messages that come by themselves at any time; None: every message may be the answer.
        refused: True for a reply by which the device says no.
    """

    def read(message: Any) -> Reply | None:
        if is_reply is not None and not is_reply(message):
            return None
        return Reply(None, message, refused is not None and refused(message))

    return Replies(read, lambda command, number: None, is_exclusive=True)
