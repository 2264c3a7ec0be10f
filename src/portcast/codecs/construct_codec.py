"""Frames described with the library construct: a `construct.Struct`, or any other construct, as a codec."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from portcast.codecs.base import HOSTILE
from portcast.codecs.model import problems_of
from portcast.errors import CodecError, ConfigurationError, MissingDependencyError

_PROBLEMS = {
    "StreamError": "the frame ends too early",
    "ConstError": "it is not the constant",
    "TerminatedError": "the frame goes on",
    "ChecksumError": "the checksum is wrong",
    "MappingError": "there is no such value",
    "SwitchError": "there is no such case",
    "ValidationError": "the value is not valid",
    "StringError": "the text is not valid",
}


class ConstructCodec:
    """The frame is what a construct parses, all of it.

    Messages are what the construct returns, `construct.Container` for a ``Struct``; without the streams that construct
    leaves in them (``_io``), so that they can be published as JSON. With a model they are that.

    A frame bounds what is parsed, as far as each item takes a byte at least: an ``Array`` of nothing, or a
    ``Compressed``, is for you to bound.

    Args:
        subject: the construct.
        model: a Pydantic model or a union of models with a discriminator, made of what was parsed.

    Raises:
        MissingDependencyError: construct is not installed (``portcast[construct]``).
        ConfigurationError: ``subject`` is no construct.
    """

    __slots__ = ("_adapter", "_container", "_error", "_items", "_subject")

    def __init__(self, subject: object, model: object = None) -> None:
        try:
            import construct
        except ImportError as error:
            raise MissingDependencyError("portcast[construct]", "ConstructCodec") from error
        if not isinstance(subject, construct.Construct):
            raise ConfigurationError("ConstructCodec", f"{subject!r} is no construct", "pass a construct.Struct")
        self._subject: Any = subject
        self._error: type[Exception] = construct.ConstructError
        self._container, self._items = construct.Container, construct.ListContainer
        self._adapter: TypeAdapter[Any] | None = None if model is None else TypeAdapter(cast("Any", model))

    @property
    def name(self) -> str:
        """``construct``."""
        return "construct"

    def decode(self, frame: bytes) -> Any:
        """Return the message.

        Raises:
            CodecError: the construct cannot parse the frame, or leaves some of it; names the field. Or what it parsed
                is not what the model wants.
        """
        stream = BytesIO(frame)
        try:
            value = self._subject.parse_stream(stream)
        except self._error as error:
            raise CodecError("construct", _problem(error), frame) from None
        except RecursionError:
            raise CodecError("construct", "nested too deep", frame) from None
        except HOSTILE as error:
            raise CodecError("construct", type(error).__name__, frame) from error
        if (left := len(frame) - stream.tell()) > 0:
            raise CodecError("construct", f"{left} bytes are left", frame)
        self._without_streams(value)
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            # Without the cause: the text of a ValidationError quotes the input.
            raise CodecError("construct", problems_of(error), frame) from None

    def encode(self, value: Any) -> bytes:
        """Return ``value``, a mapping or a model, as a frame.

        Raises:
            CodecError: the construct cannot build it; names the field.
        """
        if isinstance(value, BaseModel):
            value = value.model_dump()
        try:
            return cast("bytes", self._subject.build(value))
        except self._error as error:
            raise CodecError("construct", _problem(error)) from error
        except (*HOSTILE, TypeError) as error:
            raise CodecError("construct", f"cannot encode {type(value).__name__} ({error!r:.80})") from error

    def _without_streams(self, value: Any) -> None:
        """Take ``_io`` out of each container. Lazy ones, which need it, are of another class."""
        if type(value) is self._container:
            value.pop("_io", None)
            for item in value.values():
                self._without_streams(item)
        elif type(value) is self._items:
            for item in value:
                self._without_streams(item)


def _problem(error: Exception) -> str:
    """Return the field and what is wrong, without values of the frame, which construct's own texts quote."""
    name = type(error).__name__
    path = (getattr(error, "path", None) or "").partition(" -> ")[2].replace(" -> ", ".")
    problem = _PROBLEMS.get(name, name)
    return f"{path}: {problem}" if path else problem
