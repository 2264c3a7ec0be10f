"""From the annotation of a handler's parameter to the codec that makes such values."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, overload

from portcast.codecs.base import Codec
from portcast.codecs.binary import BinaryCodec, BinaryModel, BinaryUnionCodec
from portcast.codecs.binary_union import BinaryUnion
from portcast.codecs.json_codec import JsonCodec
from portcast.codecs.model import ModelCodec
from portcast.codecs.raw import BytesCodec
from portcast.codecs.text import TextCodec
from portcast.errors import ConfigurationError

T = TypeVar("T")


@overload
def codec_for(annotation: type[T]) -> Codec[T]: ...
@overload
def codec_for(annotation: object) -> Codec[object]: ...
def codec_for(annotation: object) -> object:
    """Return the codec whose messages are what ``annotation`` says.

    ==================================================  ==========================================================
    annotation                                          codec
    ==================================================  ==========================================================
    ``bytes``                                           `BytesCodec`: the frame itself
    ``str``                                             `TextCodec`: UTF-8
    ``object``, ``Any``                                 `JsonCodec`: any JSON value, not validated
    ``dict``, ``dict[str, Any]``, ``dict[str, object]``  `JsonCodec` of objects
    ``list``, ``list[Any]``, ``list[object]``           `JsonCodec` of arrays
    a `BinaryModel`                                     `BinaryCodec`: its declared layout
    ``Annotated[A | B, BinaryUnion("tag")]``            `BinaryUnionCodec`: the model that the tag stands for
    a model, a dataclass, ``int``, ``list[Reading]``, …  `ModelCodec`: JSON, validated
    ==================================================  ==========================================================

    A ``NewType`` is what it is made of.

    Raises:
        ConfigurationError: nothing can make such values; or ``str`` or ``bytes`` comes with ``Annotated`` metadata,
            which would be ignored for the first and mean JSON strings to Pydantic; or binary models in a union
            without a tag, or in a list.
    """
    while (supertype := getattr(annotation, "__supertype__", None)) is not None:
        annotation = supertype
    if annotation is bytes:
        return BytesCodec()
    if annotation is str:
        return TextCodec()
    if annotation is object or annotation is Any:
        return JsonCodec()
    kind = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    if kind is dict and arguments in ((), (str, Any), (str, object)):
        return JsonCodec(dict)
    if kind is list and arguments in ((), (Any,), (object,)):
        return JsonCodec(list)
    if kind is Annotated and arguments[0] in (str, bytes):
        raise ConfigurationError(
            str(annotation), "metadata on str and bytes is not applied to frames", f"use {arguments[0].__name__}"
        )
    if isinstance(annotation, type) and issubclass(annotation, BinaryModel):
        return BinaryCodec(annotation)
    if kind is Annotated and any(isinstance(item, BinaryUnion) for item in arguments):
        return BinaryUnionCodec(annotation)
    _refuse_loose_binary(annotation)
    return ModelCodec(cast("type[object]", annotation))


def _refuse_loose_binary(annotation: object) -> None:
    """A binary model inside another type would be read as JSON, which nobody means who declared its bytes."""
    for part in get_args(annotation):
        _refuse_loose_binary(part)
        if isinstance(part, type) and issubclass(part, BinaryModel):
            raise ConfigurationError(
                str(annotation),
                f"{part.__name__} is binary, and nothing says how to tell such messages apart",
                'use Annotated[Login | Position, BinaryUnion("tag")], or a BinaryModel with a Repeat field',
            )
