"""Framing: cutting a byte stream into frames, and frames into a byte stream.

A `Framing` says how frames lie in a stream and makes one `FrameDecoder` per connection. Pure: bytes in, frames out.
"""

from portcast.framing.ascii_length import AsciiLengthFraming
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder, Framing
from portcast.framing.checksum import Algorithm, CheckByteOrder, ChecksumFraming, OnMismatch
from portcast.framing.cobs import CobsFraming
from portcast.framing.custom import CustomFraming
from portcast.framing.delimited import OnOversize
from portcast.framing.delimiter import DelimiterFraming
from portcast.framing.describe import describe
from portcast.framing.first_byte import FirstByteFraming
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.json_values import JsonFraming
from portcast.framing.length_field import ByteOrder, LengthFieldFraming
from portcast.framing.line import Ending, LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.raw import RawFraming
from portcast.framing.registry import (
    FRAMING_NAMES,
    FramingOption,
    OptionValue,
    framing_from_options,
    framing_options,
)
from portcast.framing.varint import VarintFraming

__all__ = [
    "DEFAULT_MAX_FRAME",
    "FRAMING_NAMES",
    "Algorithm",
    "AsciiLengthFraming",
    "ByteOrder",
    "CheckByteOrder",
    "ChecksumFraming",
    "CobsFraming",
    "CustomFraming",
    "DelimiterFraming",
    "Ending",
    "FirstByteFraming",
    "FixedLengthFraming",
    "FrameDecoder",
    "Framing",
    "FramingOption",
    "JsonFraming",
    "LengthFieldFraming",
    "LineFraming",
    "MarkedFraming",
    "OnMismatch",
    "OnOversize",
    "OptionValue",
    "RawFraming",
    "VarintFraming",
    "describe",
    "framing_from_options",
    "framing_options",
]
