"""Frames of JSON that become Pydantic models, dataclasses, typed dicts, or whatever else Pydantic validates."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails, PydanticSerializationError

from portcast.errors import CodecError, ConfigurationError

T = TypeVar("T")

_SHOWN_PROBLEMS = 3
_PATH_CHARACTERS = 80

# Pydantic's messages for these quote the input.
_QUOTING = {
    "union_tag_invalid": "Input does not have one of the expected tags",
    "uuid_parsing": "Input should be a valid UUID",
    "bytes_invalid_encoding": "Input should be validly encoded bytes",
}


class ModelCodec(Generic[T]):
    """The frame is JSON that Pydantic validates; values are encoded by Pydantic too.

    Exceptions other than `ValueError` and `AssertionError` from validators of your own are not the peer's fault and
    are not caught.

    Args:
        model: a Pydantic model, or any type that `pydantic.TypeAdapter` takes.

    Raises:
        ConfigurationError: Pydantic cannot validate this type, or one of its names is not defined.
    """

    __slots__ = ("_adapter", "_title", "_validate")

    def __init__(self, model: type[T]) -> None:
        annotation: object = model  # `list[Reading]` and `Reading | None` are no types at run time
        self._title = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(model)
            if not self._adapter.pydantic_complete:
                # Raises now what the first frame would raise otherwise.
                self._adapter.rebuild(raise_errors=True)
        except (PydanticUserError, NameError, TypeError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            hint = "annotate a model, dataclass, dict, str or bytes"
            raise ConfigurationError(self._title, f"Pydantic cannot validate this type ({reason})", hint) from error
        # Bound once, not looked up for each frame.
        self._validate = self._adapter.validate_json

    @property
    def name(self) -> str:
        """``model``."""
        return "model"

    def decode(self, frame: bytes) -> T:
        """Return the validated value.

        Raises:
            CodecError: the frame is not JSON, or not what the model wants. The text lists up to three problems as
                field path and message, and no values of the input; messages of your own validators are passed on.
        """
        try:
            return self._validate(frame)
        except ValidationError as error:
            # Without the cause: the text of a ValidationError quotes the input.
            raise CodecError("model", f"not a valid {self._title}: {problems_of(error)}", frame) from None

    def encode(self, value: T) -> bytes:
        """Return ``value`` as JSON.

        Raises:
            CodecError: it is not an instance of the model, or Pydantic cannot express it.
        """
        try:
            # A value of another type is a warning by default.
            return self._adapter.dump_json(value, warnings="error")
        except PydanticSerializationError:
            # Without the cause, which quotes the value.
            raise CodecError("model", f"cannot encode {type(value).__name__} as {self._title}") from None


def problems_of(error: ValidationError) -> str:
    """Return up to three problems as field paths and messages, without values of the input."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = "; ".join(map(describe_problem, problems[:_SHOWN_PROBLEMS]))
    more = len(problems) - _SHOWN_PROBLEMS
    return f"{shown}; and {more} more" if more > 0 else shown


def describe_problem(details: ErrorDetails) -> str:
    """Return one problem as field path and message, without values of the input."""
    message = _QUOTING.get(details["type"], details["msg"])
    path = ".".join(map(str, details["loc"]))
    if not path:
        return message
    # A path may hold keys of the input: cut it, and let nobody write lines of their own into a log.
    if len(path) > _PATH_CHARACTERS:
        path = path[:_PATH_CHARACTERS] + "…"
    return f"{path if path.isprintable() else ascii(path)}: {message}"
