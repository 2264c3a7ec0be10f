from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest
from pydantic import BaseModel

from portcast.codecs import encode_value
from portcast.errors import CodecError


class Reading(BaseModel):
    name: str
    at: datetime | None = None


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (b"\xff", b"\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abc")[1:], b"bc"),
        ("é", b"\xc3\xa9"),
        (Reading(name="é", at=datetime(2026, 1, 2)), b'{"name":"\xc3\xa9","at":"2026-01-02T00:00:00"}'),
        (Point(3), b'{"x":3}'),
        ({"a": [Reading(name="n"), Point(1)]}, b'{"a":[{"name":"n","at":null},{"x":1}]}'),
        ([1, 2.5, None, True], b"[1,2.5,null,true]"),
        (5, b"5"),
        (None, b"null"),
    ],
    ids=["bytes", "bytearray", "memoryview", "str", "model", "dataclass", "nested", "list", "int", "none"],
)
def test_what_can_be_published(value: object, payload: bytes) -> None:
    """Bytes and text travel as they are, everything else as JSON."""
    encoded = encode_value(value)
    assert encoded == payload
    assert type(encoded) is bytes


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "cannot encode object"),
        ({1, 2}, "cannot encode set"),
        ([{"a": datetime(2026, 1, 2)}], "cannot encode datetime"),
        ("secret\ud800", r"cannot express U\+D800"),
        (Reading(name="secret\ud800"), "cannot encode Reading"),
        (float("nan"), "NaN and Infinity"),
    ],
    ids=["object", "set", "inside", "surrogate", "model", "nan"],
)
def test_what_cannot_be_published(value: object, problem: str) -> None:
    """The error names the type and never the value."""
    with pytest.raises(CodecError, match=problem) as caught:
        encode_value(value)
    assert "secret" not in str(caught.value)
