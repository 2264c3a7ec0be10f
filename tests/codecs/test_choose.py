from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 on

from portcast.codecs import (
    BinaryCodec,
    BinaryModel,
    BinaryUnion,
    BinaryUnionCodec,
    BytesCodec,
    JsonCodec,
    ModelCodec,
    TextCodec,
    UInt8,
    codec_for,
)
from portcast.errors import CodecError, ConfigurationError


class Reading(BaseModel):
    celsius: float


@dataclass
class Point:
    x: int


class Row(TypedDict):
    id: int


class Login(BinaryModel):
    kind: Annotated[Literal[1], UInt8()] = 1


class Beat(BinaryModel):
    kind: Annotated[Literal[2], UInt8()] = 2


Line = NewType("Line", str)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (bytes, BytesCodec),
        (str, TextCodec),
        (Line, TextCodec),
        (object, JsonCodec),
        (Any, JsonCodec),
        (dict, JsonCodec),
        (dict[str, Any], JsonCodec),
        (dict[str, object], JsonCodec),
        (list, JsonCodec),
        (list[Any], JsonCodec),
        (dict[str, int], ModelCodec),
        (list[int], ModelCodec),
        (Reading, ModelCodec),
        (Point, ModelCodec),
        (Row, ModelCodec),
        (int, ModelCodec),
        (None, ModelCodec),
        (Reading | None, ModelCodec),
        (Annotated[int, Field(gt=0)], ModelCodec),
    ],
    ids=str,
)
def test_the_annotation_decides(annotation: object, kind: type[object]) -> None:
    """A handler says what it wants by its signature alone."""
    assert type(codec_for(annotation)) is kind


def test_dict_and_list_are_promises() -> None:
    """A handler that takes ``dict`` is never called with an array."""
    with pytest.raises(CodecError, match="expected an object"):
        codec_for(dict[str, Any]).decode(b"[]")
    with pytest.raises(CodecError, match="expected an array"):
        codec_for(list).decode(b"{}")


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [(Login, BinaryCodec), (Annotated[Login | Beat, BinaryUnion("kind")], BinaryUnionCodec)],
    ids=["model", "union"],
)
def test_binary_models_are_read_as_bytes(annotation: object, kind: type[object]) -> None:
    """A model that says how its bytes lie is not JSON."""
    codec = codec_for(annotation)
    assert isinstance(codec, kind)
    assert codec.decode(b"\1") == Login()


@pytest.mark.parametrize("annotation", [Login | Beat, list[Login], Annotated[Login | Beat, "x"]], ids=str)
def test_binary_models_that_cannot_be_told_apart(annotation: object) -> None:
    """They would be read as JSON, which nobody means."""
    with pytest.raises(ConfigurationError, match=r"Login is binary, and nothing says how .* BinaryUnion"):
        codec_for(annotation)


def test_values_come_out_as_annotated() -> None:
    """The codec's messages have the annotated type, for type checkers too."""
    reading: Reading = codec_for(Reading).decode(b'{"celsius": 4}')
    assert reading == Reading(celsius=4)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Annotated[str, Field(max_length=3)], "metadata on str and bytes is not applied to frames; use str"),
        (Annotated[bytes, "frame"], "metadata on str and bytes is not applied to frames; use bytes"),
        (memoryview, "Pydantic cannot validate this type"),
    ],
    ids=["annotated-str", "annotated-bytes", "unknown"],
)
def test_annotations_that_cannot_work_are_found_at_start(annotation: object, problem: str) -> None:
    """A limit that would silently not apply is an error."""
    with pytest.raises(ConfigurationError, match=problem):
        codec_for(annotation)
