"""The generated module is that of ``client.proto``, and both have what the dataclasses have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from portcast.centrifuge import client_pb2, messages
from portcast.centrifuge.schema import BODIES, EVENTS, FIELDS, REQUESTS, UINT32, Field, Kind

PROTO = Path(client_pb2.__file__).with_name("client.proto").read_text("utf-8")
SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT64: "int64",
}

Fields = dict[str, tuple[int, str]]
"""By name: the number, and the type as it is written."""


def _written() -> dict[str, Fields]:
    """Return what ``client.proto`` says, read with our own eyes."""
    text = re.sub(r"//.*", "", PROTO)
    return {
        name: {
            field: (int(number), " ".join(kind.split()))
            for kind, field, number in re.findall(r"([\w<>, ]+?)\s+(\w+)\s*=\s*(\d+)\s*;", body)
        }
        for name, body in re.findall(r"message\s+(\w+)\s*\{(.*?)\}", text, re.DOTALL)
    }


def _type(field: FieldDescriptor) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return f"map<{_type(kind.fields_by_name['key'])}, {_type(kind.fields_by_name['value'])}>"
    name = SCALARS[field.type] if kind is None else kind.name
    return f"repeated {name}" if field.is_repeated else name


def _generated() -> dict[str, Fields]:
    return {
        name: {field.name: (field.number, _type(field)) for field in message.fields}
        for name, message in client_pb2.DESCRIPTOR.message_types_by_name.items()
    }


def test_the_module_is_generated_from_the_definition() -> None:
    """Run ``make proto`` after a change of ``client.proto``."""
    assert _written() == _generated()
    assert len(_generated()) == len(FIELDS) + 3


def test_the_registry_holds_it_under_our_own_name() -> None:
    """The official SDK registers its own definition in the same process."""
    assert client_pb2.DESCRIPTOR.package == "portcast.centrifuge"
    assert client_pb2.DESCRIPTOR.name == "portcast/centrifuge/client.proto"


def _expected(field: Field) -> str:
    inner = field.message.__name__ if field.message else "string"
    match field.kind:
        case Kind.STRING | Kind.BOOL | Kind.BYTES:
            return field.kind.name.lower()
        case Kind.INT:
            return field.width.name
        case Kind.MESSAGE:
            return inner
        case Kind.STRINGS | Kind.MESSAGES:
            return f"repeated {inner}"
    return f"map<string, {inner}>"


@pytest.mark.parametrize("message", FIELDS, ids=lambda message: message.__name__)
def test_the_dataclasses_have_the_same_fields(message: type) -> None:
    """Name for name and type for type, integers in the same range."""
    written = {name: kind for name, (_, kind) in _written()[message.__name__].items()}
    assert written == {field.name: _expected(field) for field in FIELDS[message]}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (messages.Command, {"id": UINT32.name} | {name: kind.__name__ for name, kind in REQUESTS.items()}),
        (messages.Reply, {"id": UINT32.name} | {name: kind.__name__ for kind, name in BODIES.items()}),
        (messages.Push, {"channel": "string"} | {name: kind.__name__ for kind, name in EVENTS.items()}),
    ],
    ids=["command", "reply", "push"],
)
def test_the_alternatives_are_the_same(message: type, expected: dict[str, str]) -> None:
    """And a command's are in the order in which the first of several counts."""
    written = {name: kind for name, (_, kind) in _written()[message.__name__].items()}
    assert written == expected
    if message is messages.Command:
        assert [name for name in written if name != "id"] == list(REQUESTS)
