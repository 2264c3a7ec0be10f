"""Messages of several kinds, told apart by a tag at a fixed place.

::

    Login:      78 78 0d 01 ...        the tag is the fourth byte: Annotated[Literal[0x01], UInt8()]
    Heartbeat:  78 78 0a 13 ...                                    Annotated[Literal[0x13], UInt8()]
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic.errors import PydanticUserError
from pydantic_core import CoreSchema

from portcast.codecs.binary_content import FixedContent
from portcast.codecs.binary_layout import PREFIXES, ByteOrder, Layout, Reader
from portcast.codecs.binary_lengths import bytes_text, left_text
from portcast.codecs.binary_program import Path, Program
from portcast.codecs.binary_run import FixedRun
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class BinaryUnion:
    """Picks one of several models by a field that all of them have at the same place.

    ``Annotated[Login | Position | Heartbeat, BinaryUnion("protocol")]`` as a handler's message, or as a field or an
    item of a list inside another model.

    Attributes:
        tag: the name of the field. In each model its annotation is a ``Literal`` with the value or values that mean
            this model; it begins at the same byte and has the same layout, of whole bytes.
        unknown: the model for all other tags, one of the union; there the tag is annotated with a plain type. None
            refuses them.
    """

    tag: str
    unknown: type[BaseModel] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # With a plain tag among the members Pydantic cannot tell them apart by it, and tries them instead.
        if self.unknown is not None:
            return handler(source)
        try:
            return handler.generate_schema(Annotated[source, Field(discriminator=self.tag)])
        except (TypeError, PydanticUserError):
            # Members without such a tag: the compiler finds them too, and says it in terms of this module.
            return handler(source)


class UnionElement:
    """Reads the tag, then what it stands for.

    Args:
        union: as declared.
        programs: of all members.
        where: names the union in errors.

    Raises:
        ConfigurationError: a member has no such tag, or at another place; two have the same; `BinaryUnion.unknown` is
            no member.
    """

    __slots__ = ("_by_model", "_by_tag", "_offset", "_reader", "_struct", "_tag", "_unknown")

    measure = None

    def __init__(self, union: BinaryUnion, programs: Sequence[Program], where: str) -> None:
        self._tag = union.tag
        self._by_model: dict[type, Program] = {program.model: program for program in programs}
        if union.unknown is not None and union.unknown not in self._by_model:
            raise ConfigurationError(where, f"{union.unknown.__name__} is not in the union", "add it with |")
        self._unknown = self._by_model[union.unknown] if union.unknown else None
        places = [_place(program, union.tag, where) for program in programs]
        for program, place in zip(programs, places, strict=True):
            if place != places[0]:
                shown = f"{_shown(programs[0], places[0])}; {_shown(program, place)}"
                hint = "give it the same layout, with the same options, at the same byte of both"
                raise ConfigurationError(where, f"{union.tag!r} is not at one place ({shown})", hint)
        self._offset, layout, order = places[0]
        self._reader: Reader = layout.reader(order)
        self._struct = struct.Struct(PREFIXES[order] + self._reader.code)
        self._by_tag: dict[object, Program] = {}
        for program in programs:
            if program is not self._unknown:
                self._add(program, where)

    def _add(self, program: Program, where: str) -> None:
        name = program.model.__name__
        annotation = program.model.model_fields[self._tag].annotation
        if get_origin(annotation) is not Literal:
            raise ConfigurationError(
                where, f"{name}.{self._tag} is no Literal", f"write Literal[…], or BinaryUnion(…, unknown={name})"
            )
        for value in get_args(annotation):
            value = value.value if isinstance(value, Enum) else value
            other = self._by_tag.setdefault(value, program)
            if other is not program:
                names = f"{other.model.__name__} and {name}"
                raise ConfigurationError(where, f"{names} have the same {self._tag} {value!r}", "change one")

    def pick(self, frame: bytes, at: int) -> Program:
        """Return the program of the message that begins at ``at``.

        Raises:
            Refusal: the frame ends before the tag, or nothing is known by it.
        """
        place = at + self._offset
        if place + self._struct.size > len(frame):
            raise Refusal(f"{bytes_text(self._struct.size)}, {left_text(frame, place)}", (self._tag,), place)
        (raw,) = self._struct.unpack_from(frame, place)
        try:
            tag = self._reader.convert(raw) if self._reader.convert is not None else raw
        except Refusal as refusal:
            raise refusal.inside(self._tag, place) from None
        program = self._by_tag.get(tag, self._unknown)
        if program is None:
            known = ", ".join(map(repr, self._by_tag))
            raise Refusal(f"one of {known}, not {tag!r}", (self._tag,), place)
        return program

    @property
    def least(self) -> int:
        """Of the shortest member."""
        return min(program.least for program in self._by_model.values())

    @property
    def is_open(self) -> bool:
        """If one of its members is."""
        return any(program.is_open for program in self._by_model.values())

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[object, int]:
        """Return an instance of the member: which it is must not be left to Pydantic to guess."""
        program = self.pick(frame, at)
        fields, end = program.read(frame, at)
        return program.validate(fields, frame, at), end

    def write(self, value: object) -> bytes:
        """Return the member as bytes."""
        program = self._by_model.get(type(value))
        if program is None:
            names = ", ".join(model.__name__ for model in self._by_model)
            raise Refusal(f"one of {names}, not {type(value).__name__}")
        return program.write(value)

    def size_of(self, value: object) -> int:
        """Never called: it has no measure."""
        raise NotImplementedError

    def locate(self, frame: bytes, at: int, path: Path, values: Mapping[str, object]) -> int:
        """Return ``at``: what is inside was validated when it was read."""
        return at


def _shown(program: Program, place: tuple[int, Layout, ByteOrder]) -> str:
    offset, layout, order = place
    kind = layout.content if isinstance(layout, FixedContent) else layout
    return (
        f"{program.model.__name__}: byte {offset}, {type(kind).__name__} of {bytes_text(layout.width)}, {order}-endian"
    )


def _place(program: Program, tag: str, where: str) -> tuple[int, Layout, ByteOrder]:
    """Return where the tag begins, and how it is read there."""
    run = program.steps[0] if program.steps else None
    layout = run.layout_at(tag) if isinstance(run, FixedRun) else None
    if not isinstance(run, FixedRun) or layout is None:
        name = program.model.__name__
        hint = f"declare {tag!r} in it, of whole bytes, with only fields of fixed width before it"
        raise ConfigurationError(where, f"{name} has no {tag!r} at a fixed place", hint)
    return run.offsets[tag], layout, run.order
