"""The classes below are in the form in which the compiler writes them (0.11), which is a Java program.

meta: {id: reading, endian: be}
seq:
  - {id: magic, contents: [0x78, 0x78]}
  - {id: count, type: u1}
  - {id: values, type: u2, repeat: expr, repeat-expr: count}
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from kaitaistruct import ConsistencyError, KaitaiStream, KaitaiStruct, ReadWriteKaitaiStruct, ValidationNotEqualError

from portcast.codecs import KaitaiCodec
from portcast.errors import CodecError, ConfigurationError, MissingDependencyError
from portcast.testing import check_codec

FRAME = bytes.fromhex("7878 02 0005 0006")


class Reading(KaitaiStruct):  # type: ignore[misc]  # kaitaistruct is not typed
    """Compiled for reading only."""

    magic: bytes
    count: int
    values: list[int]

    def __init__(self, _io: Any, _parent: Any = None, _root: Any = None) -> None:
        super().__init__(_io)
        self._parent = _parent
        self._root = _root or self
        self._read()

    def _read(self) -> None:
        self.magic = self._io.read_bytes(2)
        if not self.magic == b"\x78\x78":
            raise ValidationNotEqualError(b"\x78\x78", self.magic, self._io, "/seq/0")
        self.count = self._io.read_u1()
        self.values = []
        for _ in range(self.count):
            self.values.append(self._io.read_u2be())

    @property
    def mean(self) -> float:
        """An instance: read when it is asked for."""
        return sum(self.values) / self.count


class Writable(ReadWriteKaitaiStruct):  # type: ignore[misc]  # kaitaistruct is not typed
    """The same with --read-write."""

    magic: bytes
    count: int
    values: list[int]

    def __init__(self, _io: Any = None, _parent: Any = None, _root: Any = None) -> None:
        super().__init__(_io)
        self._parent = _parent
        self._root = _root or self

    def _read(self) -> None:
        Reading._read(self)
        self._dirty = False

    def _fetch_instances(self) -> None: ...

    def _write__seq(self, io: Any = None) -> None:
        super()._write__seq(io)
        self._io.write_bytes(self.magic)
        self._io.write_u1(self.count)
        for value in self.values:
            self._io.write_u2be(value)

    def _check(self) -> None:
        if len(self.values) != self.count:
            raise ConsistencyError("values", self.count, len(self.values))
        self._dirty = False


class Rest(ReadWriteKaitaiStruct):  # type: ignore[misc]  # kaitaistruct is not typed
    """With ``size-eos: true``: what is written must reach the end of the stream."""

    body: bytes

    def __init__(self, _io: Any = None) -> None:
        super().__init__(_io)

    def _read(self) -> None:
        self.body = self._io.read_bytes_full()
        self._dirty = False

    def _fetch_instances(self) -> None: ...

    def _write__seq(self, io: Any = None) -> None:
        super()._write__seq(io)
        self._io.write_bytes(self.body)
        if not self._io.is_eof():
            raise ConsistencyError("body", 0, self._io.size() - self._io.pos())

    def _check(self) -> None:
        self._dirty = False


@pytest.mark.parametrize("kind", [Reading, Writable])
def test_messages_are_instances(kind: type[Any]) -> None:
    """Whether the class reads by itself or not."""
    codec: KaitaiCodec[Any] = KaitaiCodec(kind)
    message = codec.decode(FRAME)
    assert type(message) is kind
    assert (codec.name, message.values) == ("kaitai", [5, 6])


@pytest.mark.parametrize("kind", [Reading, Writable])
@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ("7877 00", "ValidationNotEqualError at byte 2 (/seq/0)"),
        ("7878 02 0005 00", "the frame ends too early"),
        ("", "the frame ends too early"),
        ("7878 00 aabb", "2 bytes are left"),
    ],
)
def test_a_bad_frame_is_refused_by_its_place(kind: type[Any], frame: str, problem: str) -> None:
    """Without what the frame says: the runtime's own text quotes it."""
    with pytest.raises(CodecError) as error:
        KaitaiCodec(kind).decode(bytes.fromhex(frame))
    assert error.value.problem == problem


def test_round_trip() -> None:
    """What was decoded, or changed, or made anew, is written."""
    codec = KaitaiCodec(Writable)
    assert codec.encode(codec.decode(FRAME)) == FRAME
    message = Writable()
    message.magic, message.count, message.values = b"\x78\x78", 1, [7]
    assert codec.encode(message) == bytes.fromhex("7878 01 0007")
    check_codec(codec, valid=[FRAME], invalid=[FRAME[:n] for n in range(len(FRAME))], round_trip=False)


@pytest.mark.parametrize(("count", "values"), [(2, [1]), (1, [70_000]), (1, ["x"]), (40_000, [1] * 40_000)])
def test_what_cannot_be_written(count: int, values: list[Any]) -> None:
    """It contradicts itself, a field cannot hold its value, or it is larger than any frame."""
    message = Writable()
    message.magic, message.count, message.values = b"\x78\x78", count, values
    with pytest.raises(CodecError, match="cannot encode Writable"):
        KaitaiCodec(Writable).encode(message)


def test_a_class_that_fills_its_stream_needs_its_size() -> None:
    """`size=` says it."""
    codec = KaitaiCodec(Rest, size=lambda message: len(message.body))
    assert codec.encode(codec.decode(b"abc")) == b"abc"
    with pytest.raises(CodecError, match="ConsistencyError"):
        KaitaiCodec(Rest).encode(codec.decode(b"abc"))


def test_a_class_that_only_reads() -> None:
    """The error says how to compile it."""
    codec = KaitaiCodec(Reading)
    with pytest.raises(CodecError, match="compile it with --read-write"):
        codec.encode(codec.decode(FRAME))


class Divides(KaitaiStruct):  # type: ignore[misc]  # kaitaistruct is not typed
    """An expression that not every frame can satisfy; and nesting without end."""

    def __init__(self, _io: Any) -> None:
        super().__init__(_io)
        self.by = _io.read_u1()
        if self.by > 1:
            self.divisor = self.by
        if self.by == 1:
            _io.read_bytes(self.divisor)
        self.part = 6 // self.by if self.by != 255 else Divides(_io)


def test_expressions_meet_values_that_nobody_expected() -> None:
    """They cost the frame, and so does nesting as deep as the frame says."""
    codec = KaitaiCodec(Divides)
    assert codec.decode(b"\x02").part == 3
    with pytest.raises(CodecError, match="ZeroDivisionError at byte 1"):
        codec.decode(b"\x00")
    with pytest.raises(CodecError, match="AttributeError at byte 1"):  # a field that this frame does not have
        codec.decode(b"\x01")
    with pytest.raises(CodecError, match="nested too deep"):
        codec.decode(b"\xff" * 10_000)


def test_without_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "kaitaistruct", None)
    with pytest.raises(MissingDependencyError, match=r"pip install portcast\[kaitai\]"):
        KaitaiCodec(Reading)


def test_only_generated_classes() -> None:
    """Neither streams nor instances."""
    kinds: list[Any] = [KaitaiStream, FRAME]
    for kind in kinds:
        with pytest.raises(ConfigurationError, match="not generated by Kaitai Struct"):
            KaitaiCodec(kind)
