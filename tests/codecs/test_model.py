from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator
from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 on

from portcast.codecs import ModelCodec
from portcast.errors import CodecError, ConfigurationError


class Reading(BaseModel):
    sensor: str
    celsius: float
    tags: dict[str, int] = {}


@dataclass
class Point:
    x: int


class Row(TypedDict):
    id: int


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    id: UUID | None = None


class Fussy(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def _check(cls, x: int) -> int:
        if x == 0:
            raise KeyError("a bug of the app")
        raise ValueError("x is never right")


class Forward(BaseModel):
    other: "NotDefinedAnywhere"  # type: ignore[name-defined]  # noqa: F821, UP037 - the mistake under test


@pytest.mark.parametrize(
    ("model", "frame", "value"),
    [
        (Reading, b'{"sensor":"a","celsius":1.5,"tags":{}}', Reading(sensor="a", celsius=1.5)),
        (Point, b'{"x":1}', Point(1)),
        (Row, b'{"id":7}', {"id": 7}),
        (int, b"5", 5),
        (list[Point], b'[{"x":1}]', [Point(1)]),
    ],
    ids=["model", "dataclass", "typed-dict", "int", "list"],
)
def test_round_trip(model: type[object], frame: bytes, value: object) -> None:
    """Whatever Pydantic validates can be a message."""
    codec = ModelCodec(model)
    assert codec.name == "model"
    assert codec.decode(frame) == value
    assert codec.encode(value) == frame


@pytest.mark.parametrize(
    ("model", "frame", "problem"),
    [
        (Reading, b"hello", "model: not a valid Reading: Invalid JSON: expected value at line 1 column 1"),
        (Reading, b'{"sensor":"s"}', "celsius: Field required"),
        (Reading, b'{"sensor":"s","celsius":1,"tags":{"a":"b"}}', "tags.a: Input should be a valid integer"),
        (list[Point], b'[{"x":1},{"x":"y"}]', "1.x: Input should be a valid integer"),
        (Pet, b'{"pet":{"kind":"hunter2"}}', "pet: Input does not have one of the expected tags"),
        (Pet, b'{"pet":{"kind":"cat"},"id":"~~~"}', "id: Input should be a valid UUID in"),
        (Fussy, b'{"x":1}', "x: Value error, x is never right"),
        (Reading, b"[" * 60_000, "Invalid JSON: recursion limit exceeded"),
    ],
    ids=["json", "missing", "nested", "list", "tag", "uuid", "own", "deep"],
)
def test_problems_are_named_by_path(model: type[object], frame: bytes, problem: str) -> None:
    """Who sent the frame reads which field is wrong, and why."""
    with pytest.raises(CodecError) as caught:
        ModelCodec(model).decode(frame)
    assert problem in str(caught.value)


def test_three_problems_are_listed() -> None:
    """A frame with ten thousand mistakes makes a short error."""
    with pytest.raises(CodecError) as caught:
        ModelCodec(list[Point]).decode(b"[" + b"0," * 1000 + b"0]")
    assert caught.value.problem.count("Input should be") == 3
    assert caught.value.problem.endswith("; and 998 more")


@given(st.text(alphabet="QWZ~", min_size=8, max_size=40))
def test_values_of_the_input_stay_out_of_the_text(secret: str) -> None:
    """A password in a frame must not reach a log, neither by the error nor by its cause."""
    quoted = b'"' + secret.encode() + b'"'
    for model, frame in (
        (Reading, b'{"sensor":                               ' + b'1,"celsius":' + quoted + b"}"),
        (Pet, b'{"pet":{"kind":                                ' + quoted + b"}}"),
        (Pet, b'{"pet":{"kind":"cat"},"id":                    ' + quoted + b"}"),
    ):
        with pytest.raises(CodecError) as caught:
            ModelCodec(model).decode(frame)
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_keys_of_the_input_cannot_write_log_lines() -> None:
    """A path may hold a key that the peer chose: it is cut and escaped."""
    key = "\\n" * 5 + "k" * 500
    with pytest.raises(CodecError) as caught:
        ModelCodec(dict[str, int]).decode(b'{"' + key.encode() + b'":"x"}')
    assert "\n" not in caught.value.problem
    assert len(caught.value.problem) < 250


def test_mistakes_of_the_app_are_not_the_peers() -> None:
    """A validator that fails in a way that Pydantic does not expect is a bug to be seen."""
    with pytest.raises(KeyError):
        ModelCodec(Fussy).decode(b'{"x":0}')


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Forward, "name 'NotDefinedAnywhere' is not defined"),
        (cast("type[object]", list["NotDefinedAnywhere"]), "name 'NotDefinedAnywhere' is not defined"),  # type: ignore[name-defined]  # noqa: F821 - the mistake
        (memoryview, "Unable to generate pydantic-core schema for <class 'memoryview'>"),
        (cast("type[object]", 3), "Unable to generate pydantic-core schema for 3"),
    ],
    ids=["field", "list", "type", "value"],
)
def test_types_that_cannot_be_validated_are_found_at_once(model: type[object], reason: str) -> None:
    """A handler's annotation is checked at start, not by the first frame."""
    with pytest.raises(
        ConfigurationError, match=rf"Pydantic cannot validate this type \(.*{reason}.*\); annotate a model"
    ):
        ModelCodec(model)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Reading, 5),
        (Reading, {"sensor": "secret"}),
        (str, "\ud800secret"),
        (Reading, Reading.model_construct(sensor=5)),
    ],
    ids=["other", "dict", "surrogate", "unvalidated"],
)
def test_values_that_are_not_of_the_model(model: type[object], value: object) -> None:
    """Pydantic only warns; a frame that the other side cannot read must not leave. The value is not quoted."""
    with pytest.raises(CodecError, match=r"cannot encode .* as ") as caught:
        ModelCodec(model).encode(value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@given(st.binary() | st.text(alphabet='[]{}":,0123sensorcliu\\ ').map(str.encode))
def test_any_bytes_are_a_value_or_a_codec_error(frame: bytes) -> None:
    """Whatever a peer sends, the result is what Pydantic alone would give, or `CodecError` where it refuses."""
    try:
        expected = Reading.model_validate_json(frame)
    except ValidationError:
        with pytest.raises(CodecError):
            _codec.decode(frame)
    else:
        assert _codec.decode(frame) == expected


_codec = ModelCodec(Reading)
