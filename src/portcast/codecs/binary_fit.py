"""Which annotations cannot hold what a layout reads: all frames would be refused, whatever is in them."""

from __future__ import annotations

from typing import get_origin

from pydantic import BaseModel
from pydantic.functional_validators import BeforeValidator, PlainValidator, WrapValidator

from portcast.codecs.binary_content import Content
from portcast.codecs.binary_layout import Layout
from portcast.codecs.binary_numbers import Bits, Bool, Float, Integer
from portcast.codecs.binary_times import BcdDateTime, ByteDateTime, UnixTime

_TEXTS = frozenset({str, bytes})
_MANY = frozenset({list, tuple, dict, set, frozenset})
_NUMBERS = frozenset({int, float, bool})


def misfit(model: type[BaseModel], field: str, annotation: object, metadata: tuple[object, ...], kind: object) -> str:
    """Return what a layout reads if the field can hold no such value; "" if it can, or if that cannot be told.

    By Pydantic's conversion table in lax mode. Validators that run before it may turn anything into anything.

    Args:
        model: whose field it is.
        field: its name.
        annotation: of the field, or of the items of a list in it; without ``Annotated`` and None.
        metadata: of the annotation.
        kind: the layout.
    """
    held = get_origin(annotation) or annotation
    read, refused = _reads(kind)
    if held not in refused or _converts(model, field, metadata):
        return ""
    if held is str and read == "a number" and model.model_config.get("coerce_numbers_to_str"):
        return ""
    return read


def _reads(kind: object) -> tuple[str, frozenset[object]]:
    if isinstance(kind, Integer | Bits | Float):
        return "a number", _TEXTS | _MANY
    if isinstance(kind, Bool):
        return "true or false", _TEXTS | _MANY
    if isinstance(kind, UnixTime | ByteDateTime | BcdDateTime):
        return "a date and time", _TEXTS | _MANY | _NUMBERS
    if isinstance(kind, Layout | Content):
        return "one value", _MANY
    return "", frozenset()


def _converts(model: type[BaseModel], field: str, metadata: tuple[object, ...]) -> bool:
    """Return True if something of the application's sees the value before its type is checked."""
    if any(isinstance(one, BeforeValidator | PlainValidator | WrapValidator) for one in metadata):
        return True
    declared = model.__pydantic_decorators__
    fields = declared.field_validators.values()
    return any(one.info.mode != "after" and {field, "*"} & set(one.info.fields) for one in fields) or any(
        one.info.mode != "after" for one in declared.model_validators.values()
    )
