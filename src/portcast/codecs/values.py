"""From any value that can be published to the bytes that are."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from portcast.codecs.json_codec import JsonCodec
from portcast.codecs.text import TextCodec
from portcast.errors import CodecError

_TEXT = TextCodec()
_JSON = JsonCodec()


def encode_value(value: object) -> bytes:
    """Return ``value`` as a payload.

    Args:
        value: bytes, bytearray and memoryview are taken as they are; str becomes UTF-8; a Pydantic model becomes its
            own JSON; dict, list, tuple, int, float, bool, None and dataclasses become compact JSON.

    Raises:
        CodecError: it is none of these, or a part of it is not; the error names the type, never the value.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _TEXT.encode(value)
    if isinstance(value, BaseModel):
        try:
            return value.model_dump_json().encode()
        except (PydanticSerializationError, UnicodeEncodeError):
            # Without the cause, which may quote the value.
            raise CodecError("model", f"cannot encode {type(value).__name__}") from None
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return _JSON.encode(value)
