"""Consecutive fields of fixed width, read by one `struct.Struct`.

::

    Constant   UInt16   Padding  Bits(4) Bits(4)   UInt24          Text(2)
    +----+----+----+----+----+   +-------+-------+   +----+----+----+   +----+----+
     "2x"       "H"      "x"          "B"              "3s"              "2s"

Constants and padding unpack to nothing; constants are compared in place. Bit fields that share bytes unpack to one
number, which is then taken apart. What has no code of its own (24 bits, another byte order, text) unpacks to bytes,
which its layout converts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from portcast.codecs.binary_layout import PREFIXES, ByteOrder, Constant, Convert, Layout, Padding, PaddingBits
from portcast.codecs.binary_lengths import bytes_text, left_text
from portcast.codecs.binary_numbers import Bits
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError

_GROUP_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A field of whole bytes."""

    name: str
    layout: Layout


@dataclass(frozen=True, slots=True)
class Near:
    """A constant or padding beside the field ``name``."""

    name: str
    mark: Constant | Padding


@dataclass(frozen=True, slots=True)
class BitGroup:
    """Bit fields that share bytes and fill them, in order; padding has an empty name."""

    fields: tuple[tuple[str, Bits | PaddingBits], ...]

    @property
    def bits(self) -> int:
        """Of all fields together."""
        return sum(layout.bits for _, layout in self.fields)

    @property
    def order(self) -> ByteOrder:
        """As said by the first field."""
        first = next(layout for _, layout in self.fields if isinstance(layout, Bits))
        return first.byte_order or "big"


Item: TypeAlias = Whole | Near | BitGroup


class FixedRun:
    """Reads and writes consecutive items of fixed width.

    Attributes:
        names: the fields, in order.
        order: the byte order of the model.
        size: bytes of the run.
        offsets: by field, where it begins in the run, in bytes.
    """

    __slots__ = (
        "_constants",
        "_converters",
        "_groups",
        "_items",
        "_keys",
        "_places",
        "_unpack",
        "names",
        "offsets",
        "order",
        "size",
    )

    def __init__(self, items: tuple[Item, ...], order: ByteOrder) -> None:
        self._items = items
        self.order = order
        self.offsets: dict[str, int] = {}
        self._constants: list[tuple[int, bytes, str]] = []
        self._converters: list[tuple[str, Convert]] = []
        self._groups: list[tuple[str, Convert | None, list[_Part]]] = []
        self._keys: list[str] = []
        # Of each item: the field that it is or belongs to, where it begins, its bytes.
        self._places: list[tuple[str, int, int]] = []
        self.size = 0
        codes = [self._add(item) for item in items]
        self.names = tuple(self.offsets)
        compiled = struct.Struct(PREFIXES[order] + "".join(codes))
        assert compiled.size == self.size
        self._unpack = compiled.unpack_from

    def _add(self, item: Item) -> str:
        """Note how to treat an item, and return its part of the format."""
        offset = self.size
        if isinstance(item, Near):
            mark = item.mark
            if isinstance(mark, Constant):
                self._constants.append((offset, mark.data, item.name))
            width = len(mark.data) if isinstance(mark, Constant) else mark.size
            self._place(item.name, width)
            return f"{width}x"
        if isinstance(item, BitGroup):
            return self._add_group(item)
        self.offsets[item.name] = offset
        self._place(item.name, item.layout.width)
        code, convert = item.layout.reader(self.order)
        self._keys.append(item.name)
        if convert is not None:
            self._converters.append((item.name, convert))
        return code

    def _place(self, name: str, width: int) -> None:
        self._places.append((name, self.size, width))
        self.size += width

    def _add_group(self, group: BitGroup) -> str:
        if group.bits % 8:
            names = ", ".join(name for name, _ in group.fields if name)
            raise ConfigurationError(
                names,
                f"these bit fields have {group.bits} bits together",
                "fill whole bytes, with PaddingBits if need be",
            )
        width, order, left = group.bits // 8, group.order, group.bits
        parts: list[_Part] = []
        for name, layout in group.fields:
            left -= layout.bits
            if isinstance(layout, Bits):
                self.offsets[name] = self.size + (group.bits - left - layout.bits) // 8
                parts.append((name, left, (1 << layout.bits) - 1, layout.bit_converter()))
        # No field has this name: identifiers have no space.
        key = f"bits {len(self._groups)}"
        self._keys.append(key)
        self._place(parts[0][0], width)
        code = _GROUP_CODES.get(width)
        if code is not None and (order == self.order or width == 1):
            self._groups.append((key, None, parts))
            return code
        from_bytes = int.from_bytes
        self._groups.append((key, lambda data: from_bytes(data, order), parts))
        return f"{width}s"

    def read(self, frame: bytes, at: int, values: dict[str, object]) -> int:
        """Put the fields into ``values``, and return where the run ends.

        Raises:
            Refusal: the frame ends before, or a field holds what it cannot.
        """
        end = at + self.size
        if end > len(frame):
            raise self._cut_off(frame, at)
        for offset, data, name in self._constants:
            if not frame.startswith(data, at + offset):
                came = frame[at + offset : at + offset + len(data)]
                raise Refusal(f"the constant {data.hex(' ')}, not {came.hex(' ')}", (name,), at + offset)
        values.update(zip(self._keys, self._unpack(frame, at), strict=True))
        name = ""
        try:
            for name, convert in self._converters:
                values[name] = convert(values[name])
        except Refusal as refusal:
            raise refusal.inside(name, at + self.offsets[name]) from None
        for key, to_number, parts in self._groups:
            raw = values.pop(key)
            number = to_number(raw) if to_number is not None else raw
            assert isinstance(number, int)
            for name, shift, mask, convert_bits in parts:
                bits = number >> shift & mask
                values[name] = bits if convert_bits is None else convert_bits(bits)
        return end

    def _cut_off(self, frame: bytes, at: int) -> Refusal:
        """Return the refusal for the first field that the frame does not hold whole."""
        name, offset, width = next(place for place in self._places if at + place[1] + place[2] > len(frame))
        return Refusal(f"{bytes_text(width)}, {left_text(frame, at + offset)}", (name,), at + offset)

    def write(self, values: Mapping[str, object]) -> bytes:
        """Return the run as bytes.

        Raises:
            Refusal: a field cannot hold its value.
        """
        return b"".join([self._write(item, values) for item in self._items])

    def _write(self, item: Item, values: Mapping[str, object]) -> bytes:
        if isinstance(item, Near):
            mark = item.mark
            return mark.data if isinstance(mark, Constant) else bytes([mark.fill]) * mark.size
        name = ""
        try:
            if isinstance(item, Whole):
                name = item.name
                return item.layout.write(values[name], self.order)
            number = 0
            for name, layout in item.fields:
                bits = layout.write_bits(values[name]) if isinstance(layout, Bits) else 0
                number = number << layout.bits | bits
        except Refusal as refusal:
            raise refusal.inside(name) from None
        return number.to_bytes(item.bits // 8, item.order)

    def layout_at(self, name: str) -> Layout | None:
        """Return the layout of a field of whole bytes; None if there is no such field, or it consists of bits."""
        return next((item.layout for item in self._items if isinstance(item, Whole) and item.name == name), None)


_Part: TypeAlias = tuple[str, int, int, Convert | None]
"""A bit field: name, bits to its right, mask, and how its value is made."""
