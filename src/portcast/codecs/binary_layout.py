"""What one field of fixed width looks like in a frame: the interface of layouts, and the marks between fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from portcast.errors import ConfigurationError

ByteOrder: TypeAlias = Literal["big", "little"]
"""Which byte of a number comes first: the most (``big``) or the least significant (``little``)."""

PREFIXES = {"big": ">", "little": "<"}
"""By byte order, the first character of a `struct` format without alignment."""

Convert: TypeAlias = Callable[[Any], object]
"""From what `struct` unpacked to the value; raises `Refusal`."""


class Reader(NamedTuple):
    """How a field is read as part of a `struct`."""

    code: str
    """Its part of the format; one value."""
    convert: Convert | None
    """Applied to the unpacked value; None takes it as it is."""


class WithUnit:
    """Puts a field's unit into the JSON schema of the model, as ``x-unit``."""

    __slots__ = ()

    unit: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        if self.unit:
            made["x-unit"] = self.unit
        return made


class Layout(ABC):
    """The bytes of one field of fixed width. Frozen; shared by all frames."""

    __slots__ = ()

    @property
    @abstractmethod
    def width(self) -> int:
        """Bytes in the frame."""

    @abstractmethod
    def reader(self, order: ByteOrder) -> Reader:
        """Return how to read it inside a `struct` of byte order ``order``, the order of its model."""

    @abstractmethod
    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return ``value`` as `width` bytes.

        Raises:
            Refusal: the field cannot hold it.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """Bytes that are always the same, such as a magic number; not part of the model.

    It stands in the ``Annotated`` of a field beside its layout: written before the layout, the bytes come before the
    field, written after it they follow it. Decoding refuses other bytes. For a constant that the model should have,
    annotate a ``Literal``.

    Attributes:
        data: the bytes, at least one.

    Raises:
        ConfigurationError: no bytes.
    """

    data: bytes

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigurationError("Constant", "takes one or more bytes", 'for example Constant(b"\\x78\\x78")')


@dataclass(frozen=True, slots=True)
class Padding:
    """Bytes without meaning, beside a field's layout like `Constant`; skipped, and written as ``fill``.

    Attributes:
        size: bytes, at least 1.
        fill: the byte that is written, 0 to 255.

    Raises:
        ConfigurationError: the size or the fill byte is out of range.
    """

    size: int
    fill: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigurationError("Padding", f"{self.size} bytes", "use at least 1")
        if not 0 <= self.fill <= 0xFF:
            raise ConfigurationError("Padding", f"the fill byte {self.fill} is no byte", "use 0 to 255")


@dataclass(frozen=True, slots=True)
class PaddingBits:
    """Bits without meaning among bit fields, beside a field's `Bits`; skipped, and written as 0.

    Attributes:
        bits: how many, at least 1.

    Raises:
        ConfigurationError: fewer than 1.
    """

    bits: int

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise ConfigurationError("PaddingBits", f"{self.bits} bits", "use at least 1")
