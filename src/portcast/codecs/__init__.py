"""Codecs: frames to values and back."""

from portcast.codecs.base import Codec
from portcast.codecs.binary import BinaryCodec, BinaryModel, BinaryUnionCodec
from portcast.codecs.binary_content import Bcd, Bytes, Text
from portcast.codecs.binary_groups import Repeat, Sized
from portcast.codecs.binary_layout import ByteOrder, Constant, Padding, PaddingBits
from portcast.codecs.binary_lengths import REST
from portcast.codecs.binary_numbers import (
    Bits,
    Bool,
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int24,
    Int32,
    Int40,
    Int48,
    Int56,
    Int64,
    UInt8,
    UInt16,
    UInt24,
    UInt32,
    UInt40,
    UInt48,
    UInt56,
    UInt64,
)
from portcast.codecs.binary_scale import Rounding
from portcast.codecs.binary_times import BcdDateTime, ByteDateTime, UnixTime
from portcast.codecs.binary_union import BinaryUnion
from portcast.codecs.choose import codec_for
from portcast.codecs.construct_codec import ConstructCodec
from portcast.codecs.json_codec import MAX_JSON_DEPTH, JsonCodec
from portcast.codecs.kaitai_codec import KaitaiCodec
from portcast.codecs.model import ModelCodec
from portcast.codecs.raw import BytesCodec
from portcast.codecs.text import TextCodec
from portcast.codecs.union_members import check_union, members_of
from portcast.codecs.values import encode_value

__all__ = [
    "MAX_JSON_DEPTH",
    "REST",
    "Bcd",
    "BcdDateTime",
    "BinaryCodec",
    "BinaryModel",
    "BinaryUnion",
    "BinaryUnionCodec",
    "Bits",
    "Bool",
    "ByteDateTime",
    "ByteOrder",
    "Bytes",
    "BytesCodec",
    "Codec",
    "Constant",
    "ConstructCodec",
    "Float16",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int24",
    "Int32",
    "Int40",
    "Int48",
    "Int56",
    "Int64",
    "JsonCodec",
    "KaitaiCodec",
    "ModelCodec",
    "Padding",
    "PaddingBits",
    "Repeat",
    "Rounding",
    "Sized",
    "Text",
    "TextCodec",
    "UInt8",
    "UInt16",
    "UInt24",
    "UInt32",
    "UInt40",
    "UInt48",
    "UInt56",
    "UInt64",
    "UnixTime",
    "check_union",
    "codec_for",
    "encode_value",
    "members_of",
]
