"""The models of a discriminated union: what a message can be, when each may have a handler of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator
from pydantic.fields import FieldInfo

from portcast.codecs.binary_union import BinaryUnion
from portcast.errors import ConfigurationError


def members_of(annotation: object) -> tuple[type[Any], ...]:
    """Return the classes that an annotation stands for, each once, in order.

    ``A``, ``A | B``, ``Annotated[A | B, …]``, unions of unions, and names for them (``type X = …``, ``NewType``).

    Raises:
        ConfigurationError: a part of it is no class.
    """
    return tuple(dict.fromkeys(_members(annotation)))


def _members(annotation: object) -> Iterator[type[Any]]:
    annotation = _unnamed(annotation)
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _members(part)
    elif isinstance(annotation, type):
        yield annotation
    else:
        raise ConfigurationError(str(annotation), "it is no class", "use models, or a union of them")


def check_union(annotation: object) -> None:
    """Check that each message of a union is of a class of its own, and that a field says of which.

    Raises:
        ConfigurationError: a member is neither a model nor a dataclass, or a union has no discriminator.
    """
    for member in members_of(annotation):
        if not (issubclass(member, BaseModel) or is_dataclass(member)):
            raise ConfigurationError(
                str(annotation), f"{member.__name__} is no model, so its messages are not told apart", "use a BaseModel"
            )
    _check_discriminators(annotation, is_told=False)


def _check_discriminators(annotation: object, *, is_told: bool) -> None:
    annotation = _unnamed(annotation)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        _check_discriminators(inner, is_told=is_told or any(map(_is_discriminator, metadata)))
    elif get_origin(annotation) in (Union, UnionType):
        if not is_told:
            names = " | ".join(one.__name__ for one in members_of(annotation))
            raise ConfigurationError(
                names,
                "no field says which of them a message is",
                f'write Annotated[{names}, Field(discriminator="…")], or BinaryUnion("…") for binary models',
            )
        for part in get_args(annotation):
            _check_discriminators(part, is_told=False)


def _is_discriminator(metadata: object) -> bool:
    return isinstance(metadata, Discriminator | BinaryUnion) or (
        isinstance(metadata, FieldInfo) and metadata.discriminator is not None
    )


def _unnamed(annotation: object) -> object:
    """See through ``NewType`` and, from Python 3.12 on, ``type X = …``."""
    while True:
        named = getattr(annotation, "__supertype__", None)
        if named is None and type(annotation).__name__ == "TypeAliasType":
            named = getattr(annotation, "__value__", None)
        if named is None:
            return annotation
        annotation = named
