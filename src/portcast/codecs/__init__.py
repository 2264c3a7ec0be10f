"""Codecs: frames to values and back."""

from portcast.codecs.base import Codec
from portcast.codecs.choose import codec_for
from portcast.codecs.json_codec import MAX_JSON_DEPTH, JsonCodec
from portcast.codecs.model import ModelCodec
from portcast.codecs.raw import BytesCodec
from portcast.codecs.text import TextCodec
from portcast.codecs.values import encode_value

__all__ = [
    "MAX_JSON_DEPTH",
    "BytesCodec",
    "Codec",
    "JsonCodec",
    "ModelCodec",
    "TextCodec",
    "codec_for",
    "encode_value",
]
