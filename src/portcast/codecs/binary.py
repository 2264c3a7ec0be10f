"""Binary messages declared as Pydantic models: the annotations are the format, and there is no parsing code.

::

    class Position(BinaryModel):
        at: Annotated[datetime, ByteDateTime()]                        #  0  18 06 1e 17 3b 3a
        satellites: Annotated[int, PaddingBits(4), Bits(4)]            #  6  cb
        latitude: Annotated[float, UInt32(scale=1 / 1_800_000)]        #  7  02 6b 3f 3e
        speed: Annotated[int, UInt8(unit="km/h")]                      # 11  2a

    Position.from_bytes(frame).latitude        22.54609666…
    Position(…).to_bytes()                     the same bytes

A model is compiled once, when the class is made (`portcast.codecs.binary_compile`): consecutive fields of fixed width
become one `struct.Struct` (`binary_run`), what varies an element each (`binary_program`). Decoding fills a dictionary
and has Pydantic validate it, so a model's own constraints and validators hold.

A message of 12 fields, five of them converted (scales, 24 bits, BCD), on CPython 3.11 and one core of a shared 2-core
virtual machine, best of 7 runs of ``python -m benchmarks.binary_codec``: `struct.unpack` takes 0.15 µs, making a plain
Pydantic model of the values 1.5 µs, decoding 3.4 µs: 2.1 times the two, where three is the bound that we set ourselves.
Encoding takes 12 µs, since each field checks its own value.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict
from pydantic.errors import PydanticUserError

from portcast.codecs.binary_compile import compile_model, compile_union
from portcast.codecs.binary_layout import ByteOrder
from portcast.codecs.binary_program import Program
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError, FieldError

M = TypeVar("M", bound="BinaryModel")


class BinaryModel(BaseModel):
    """A message whose annotations say how its fields lie in a frame.

    Each field has a layout in its ``Annotated``; a field that is another `BinaryModel` needs none. Bytes are
    hexadecimal digits in JSON. A last field that may be ``None``, with that default, is missing if the frame ends
    before it.

    ``class Position(BinaryModel, byte_order="little")`` sets the byte order of numbers that do not say their own; it is
    inherited, and ``big`` unless said.

    Raises:
        ConfigurationError: when the class is made, if a field has no layout or one that cannot work.
    """

    # Fields are filled by name, and named in errors, aliases or not. Bytes are seldom UTF-8, which Pydantic would make
    # of them.
    model_config = ConfigDict(populate_by_name=True, loc_by_alias=False, ser_json_bytes="hex", val_json_bytes="hex")

    __binary_order__: ClassVar[ByteOrder] = "big"
    __binary_program__: ClassVar[Program | None] = None
    __binary_is_compiling__: ClassVar[bool] = False

    def __init_subclass__(cls, *, byte_order: ByteOrder | None = None, **config: Any) -> None:
        super().__init_subclass__(**config)
        # What is inherited is that of the fields of the parent only.
        cls.__binary_program__ = None
        if byte_order not in ("big", "little", None):
            raise ConfigurationError(f"{cls.__name__}.byte_order", f"{byte_order!r}", "use big or little")
        if byte_order is not None:
            cls.__binary_order__ = byte_order

    @classmethod
    def __pydantic_init_subclass__(cls, **config: Any) -> None:
        super().__pydantic_init_subclass__()
        # A model with names that are defined further down is compiled when it is first used.
        if cls.__pydantic_complete__:
            cls.binary_program()

    @classmethod
    def binary_program(cls) -> Program:
        """Return what the model compiles to.

        Raises:
            ConfigurationError: a layout cannot work, the model contains itself, or a name is not defined yet.
        """
        if cls.__binary_program__ is None:
            if cls.__binary_is_compiling__:
                raise ConfigurationError(cls.__name__, "contains itself", "nest only as deep as the format does")
            cls.__binary_is_compiling__ = True
            try:
                cls.model_rebuild()
                cls.__binary_program__ = compile_model(cls, cls.__binary_order__)
            except (PydanticUserError, NameError) as error:
                reason = str(error).partition("\n")[0].rstrip(".")
                raise ConfigurationError(cls.__name__, reason, "define what it names before using it") from error
            finally:
                cls.__binary_is_compiling__ = False
        return cls.__binary_program__

    @classmethod
    def from_bytes(cls, frame: bytes) -> Self:
        """Return the message in ``frame``, which holds nothing else.

        Raises:
            FieldError: it is not what the model declares; names the field and where it begins.
        """
        return cast("Self", _decode(cls.binary_program(), frame))

    def to_bytes(self) -> bytes:
        """Return the message as bytes; a field that says the length of another is written from that one.

        Raises:
            FieldError: a field cannot hold its value; names it.
        """
        return _encode(self.binary_program(), self)


class BinaryCodec(Generic[M]):
    """The frame is one message of a `BinaryModel`.

    Args:
        model: the class.

    Raises:
        ConfigurationError: it cannot be compiled, or is no `BinaryModel`.
    """

    __slots__ = ("_program",)

    def __init__(self, model: type[M]) -> None:
        annotation: object = model  # users without a type checker pass anything
        if not (isinstance(annotation, type) and issubclass(annotation, BinaryModel)):
            raise ConfigurationError(str(annotation), "is no BinaryModel", "derive it from BinaryModel")
        self._program = model.binary_program()

    @property
    def name(self) -> str:
        """``binary``."""
        return "binary"

    def decode(self, frame: bytes) -> M:
        """Return the message.

        Raises:
            FieldError: the frame is not what the model declares; names the field and where it begins.
        """
        return cast("M", _decode(self._program, frame))

    def encode(self, value: M) -> bytes:
        """Return ``value`` as a frame.

        Raises:
            FieldError: it is not of this model, or a field cannot hold its value.
        """
        return _encode(self._program, value)


class BinaryUnionCodec:
    """The frame is one message of several models, told apart by a tag.

    Args:
        annotation: ``Annotated[Login | Position, BinaryUnion("protocol")]``.

    Raises:
        ConfigurationError: it is not of this form, or the tag cannot tell the models apart.
    """

    __slots__ = ("_union",)

    def __init__(self, annotation: object) -> None:
        union = compile_union(annotation)
        if union is None:
            hint = 'use Annotated[Login | Position, BinaryUnion("protocol")]'
            raise ConfigurationError(str(annotation), "has no BinaryUnion", hint)
        self._union = union

    @property
    def name(self) -> str:
        """``binary``."""
        return "binary"

    def decode(self, frame: bytes) -> BinaryModel:
        """Return the message, an instance of the model that its tag stands for.

        Raises:
            FieldError: the tag is not known, or the frame is not what its model declares.
        """
        try:
            program = self._union.pick(frame, 0)
        except Refusal as refusal:
            raise _field_error(refusal, frame) from refusal
        return cast("BinaryModel", _decode(program, frame))

    def encode(self, value: BinaryModel) -> bytes:
        """Return ``value`` as a frame.

        Raises:
            FieldError: it is of none of the models, or a field cannot hold its value.
        """
        try:
            return self._union.write(value)
        except Refusal as refusal:
            raise _field_error(refusal, b"") from refusal


def _decode(program: Program, frame: bytes) -> BaseModel:
    try:
        return program.validate(program.read_whole(frame), frame, 0)
    except Refusal as refusal:
        raise _field_error(refusal, frame) from refusal


def _encode(program: Program, value: BaseModel) -> bytes:
    try:
        return program.write(value)
    except Refusal as refusal:
        raise _field_error(refusal, b"") from refusal


def _field_error(refusal: Refusal, frame: bytes) -> FieldError:
    return FieldError("binary", ".".join(map(str, refusal.path)), refusal.offset, refusal.expected, frame)
