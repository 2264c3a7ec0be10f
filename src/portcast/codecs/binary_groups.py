"""Repeated groups in binary frames, and parts that are cut off by a number of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portcast.codecs.binary_layout import ByteOrder
from portcast.codecs.binary_lengths import Measure, Measured, bytes_text, left_text
from portcast.codecs.binary_program import Element, LayoutElement, Path
from portcast.codecs.binary_scale import Refusal


@dataclass(frozen=True, slots=True)
class Repeat(Measured):
    """A list: of models, or of anything that has a layout, as in ``list[Annotated[int, UInt16()]]``.

    Attributes:
        length: how many items: a number, the name of an earlier field, the layout of a number in front, or `REST` for
            as many as there are.
        adjust: added to what a field or a number in front says.
    """


@dataclass(frozen=True, slots=True)
class Sized(Measured):
    """A part that knows its size in bytes, before the layout that it is about.

    Inside it the end of the part counts as the end of the frame: `REST` goes so far, optional fields may be missing,
    and what is left over is an error::

        records: Annotated[list[Record], Sized(UInt16()), Repeat(REST)]

    Attributes:
        length: in bytes: a number, the name of an earlier field, or the layout of a number in front.
        adjust: added to what a field or a number in front says.
    """


class ListElement:
    """The items of a `Repeat`."""

    __slots__ = ("_item", "measure")

    def __init__(self, repeat: Repeat, item: Element, order: ByteOrder) -> None:
        assert item.least, "the compiler refuses items of no bytes: their count would cost nothing to claim"
        self.measure: Measure = Measure(repeat, order)
        self._item = item

    @property
    def least(self) -> int:
        """The number in front, and the fewest items."""
        return self.measure.prefix_size + self.measure.least * self._item.least

    @property
    def is_open(self) -> bool:
        """If its length is `REST`."""
        return self.measure.is_rest

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return the items as a list. A count that the frame cannot hold is refused before the first."""
        count, at = self.measure.read(frame, at, values)
        item = self._item
        if self.is_open:
            if isinstance(item, LayoutElement) and count % item.least == 0:
                return item.read_many(frame, at, count // item.least), len(frame)
            return self._read_items(frame, at, values, -1)
        if count * item.least > len(frame) - at:
            raise Refusal(f"{count} items of at least {bytes_text(item.least)}, {left_text(frame, at)}")
        if isinstance(item, LayoutElement):
            return item.read_many(frame, at, count), at + count * item.least
        return self._read_items(frame, at, values, count)

    def _read_items(self, frame: bytes, at: int, values: Mapping[str, object], count: int) -> tuple[list[object], int]:
        """Read ``count`` items, or up to the end if it is negative."""
        items: list[object] = []
        try:
            while len(items) != count and (count >= 0 or at < len(frame)):
                value, at = self._item.read(frame, at, values)
                items.append(value)
        except Refusal as refusal:
            raise refusal.inside(len(items), at) from None
        return items, at

    def write(self, value: object) -> bytes:
        """Return the items one after the other, their number in front if that is where it is said."""
        number = self.measure.write(self.size_of(value))
        assert isinstance(value, list | tuple)
        parts = [number]
        try:
            for item in value:
                parts.append(self._item.write(item))  # noqa: PERF401 - the refusal says which
        except Refusal as refusal:
            raise refusal.inside(len(parts) - 1) from None
        return b"".join(parts)

    def size_of(self, value: object) -> int:
        """Return the number of items."""
        if not isinstance(value, list | tuple):
            raise Refusal(f"a list, not {type(value).__name__}")
        return len(value)

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Read the items before the one that is asked for."""
        if not path or not isinstance(path[0], int):
            return at
        _, at = self.measure.read(frame, at, values)
        for _ in range(path[0]):
            _, at = self._item.read(frame, at, values)
        return self._item.locate(frame, at, path[1:], values)


class SizedElement:
    """The part of a `Sized`."""

    __slots__ = ("_inner", "measure")

    is_open = False

    def __init__(self, sized: Sized, inner: Element, order: ByteOrder) -> None:
        self.measure: Measure = Measure(sized, order)
        self._inner = inner

    @property
    def least(self) -> int:
        """The number in front, and the size if that is fixed."""
        return self.measure.prefix_size + (self.measure.least or self._inner.least)

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return what the part holds, which must fill it."""
        size, start = self.measure.read(frame, at, values)
        end = start + size
        if end > len(frame):
            raise Refusal(f"{bytes_text(size)}, {left_text(frame, start)}")
        # Cut off at both ends: with the beginning left on, a list of small parts would copy the frame once for each.
        try:
            value, at = self._inner.read(frame[start:end], 0, values)
        except Refusal as refusal:
            raise refusal.moved(start) from None
        if at != size:
            raise Refusal(f"the end of this part ({bytes_text(size - at)} more)", (), start + at)
        return value, end

    def write(self, value: object) -> bytes:
        """Return the part, its size in front if that is where it is said."""
        data = self._inner.write(value)
        return self.measure.write(len(data)) + data

    def size_of(self, value: object) -> int:
        """Return the bytes of the part."""
        return len(self._inner.write(value))

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Ask what is inside."""
        size, start = self.measure.read(frame, at, values)
        return start + self._inner.locate(frame[start : start + size], 0, path, values)
