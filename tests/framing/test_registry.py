"""Framings from the keys of a URL or a TOML table."""

from __future__ import annotations

from typing import get_args

import pytest

from portcast.errors import ConfigurationError
from portcast.framing.ascii_length import AsciiLengthFraming
from portcast.framing.base import Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.cobs import CobsFraming
from portcast.framing.delimiter import DelimiterFraming
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.json_values import JsonFraming
from portcast.framing.length_field import LengthFieldFraming
from portcast.framing.line import Ending, LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.raw import RawFraming
from portcast.framing.registry import FRAMING_NAMES, OptionValue, framing_from_options, framing_options
from portcast.framing.varint import VarintFraming


@pytest.mark.parametrize(
    ("name", "options", "framing"),
    [
        ("lines", {}, LineFraming()),
        ("lines", {"ending": "any", "strip": "true", "max_frame": "1000"}, LineFraming("any", True, max_frame=1000)),
        ("lines", {"skip_empty": "1", "keep_last": "FALSE"}, LineFraming(skip_empty=True)),
        ("lines", {"skip_empty": True, "max_frame": 9}, LineFraming(skip_empty=True, max_frame=9)),
        ("delimiter", {"delimiter": "#"}, DelimiterFraming(b"#")),
        ("delimiter", {"delimiter": r"\r\n,\n"}, DelimiterFraming((b"\r\n", b"\n"))),
        ("delimiter", {"delimiter": [r"\0", ","]}, DelimiterFraming((b"\0", b","))),
        ("delimiter", {"delimiter": ","}, DelimiterFraming(b",")),
        ("delimiter", {"delimiter": r"\,,\x2c;"}, DelimiterFraming((b",", b",;"))),
        (
            "delimiter",
            {"delimiter": "\u20ac", "start": r"\x7E\\\t"},
            DelimiterFraming("\u20ac".encode(), start=b"~\\\t"),
        ),
        ("delimiter", {"delimiter": b"##"}, DelimiterFraming(b"##")),
        ("fixed", {"size": "45"}, FixedLengthFraming(45)),
        (
            "length_field",
            {"length_adjustment": "-2", "byte_order": "little", "magic": "xy", "length_field_offset": "2"},
            LengthFieldFraming(length_adjustment=-2, byte_order="little", magic=b"xy", length_field_offset=2),
        ),
        ("ascii_length", {"separator": ":", "leading_zeros": "0"}, AsciiLengthFraming(b":", leading_zeros=False)),
        ("octet_counting", {}, AsciiLengthFraming.octet_counting()),
        ("netstring", {"max_frame": "100"}, AsciiLengthFraming.netstring(100)),
        (
            "marked",
            {"start": "~", "end": "~", "escape": "}", "escape_table": r"\x02~,\x01}", "escape_xor": "0x20"},
            MarkedFraming(b"~", b"~", b"}", (b"\x02~", b"\x01}"), 0x20),
        ),
        ("slip", {}, MarkedFraming.slip()),
        ("hdlc", {}, MarkedFraming.hdlc()),
        ("jt808", {}, MarkedFraming.jt808()),
        ("mllp", {}, MarkedFraming.mllp()),
        ("cobs", {}, CobsFraming()),
        ("varint", {}, VarintFraming()),
        ("json", {"max_depth": "8"}, JsonFraming(max_depth=8)),
        ("raw", {}, RawFraming()),
        ("lines", {"checksum": "nmea"}, ChecksumFraming(LineFraming(), "nmea")),
        (
            "fixed",
            {"size": "20", "checksum": "crc16_modbus", "checksum_byte_order": "big", "checksum_strip": "false"},
            ChecksumFraming(FixedLengthFraming(20), "crc16_modbus", byte_order="big", strip=False),
        ),
        (
            "mllp",
            {"checksum": "xor", "checksum_skip": "2", "checksum_tail": r"\r\n", "checksum_on_mismatch": "discard"},
            ChecksumFraming(MarkedFraming.mllp(), "xor", 2, tail=b"\r\n", on_mismatch="discard"),
        ),
    ],
)
def test_values(name: str, options: dict[str, OptionValue], framing: Framing) -> None:
    """Every type of option, as a URL and as TOML write it."""
    assert framing_from_options(name, options) == framing


def test_all_names_are_covered() -> None:
    """The names are those that the documentation lists."""
    assert FRAMING_NAMES == (
        "ascii_length",
        "cobs",
        "delimiter",
        "fixed",
        "hdlc",
        "json",
        "jt808",
        "length_field",
        "lines",
        "marked",
        "mllp",
        "netstring",
        "octet_counting",
        "raw",
        "slip",
        "varint",
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("line", {}, "framing: there is no framing 'line'; did you mean lines? use one of ascii_length, cobs, "),
        ("xyz", {}, "framing: there is no framing 'xyz'; use one of ascii_length"),
        ("checksum", {}, "framing: checksum cannot be written as text; write checksum=crc16_modbus beside"),
        ("first_byte", {}, "framing: first_byte cannot be written as text; build FirstByteFraming"),
        ("custom", {}, "framing: custom cannot be written as text; derive from CustomFraming"),
        ("lines", {"endig": "lf"}, "endig: framing=lines has no such option; did you mean ending? use one of checksum"),
        ("length_field", {"length": "3"}, "length: framing=length_field has no such option"),
        ("slip", {"end": "x"}, "end: framing=slip has no such option"),
        ("lines", {"ending": "crfl"}, "ending: 'crfl' is not a choice; did you mean crlf?"),
        ("lines", {"strip": "maybe"}, "strip: 'maybe' is neither true nor false"),
        ("lines", {"max_frame": "64k"}, "max_frame: '64k' is not a whole number"),
        ("lines", {"max_frame": "0xzz"}, "max_frame: '0xzz' is not a whole number"),
        ("lines", {"max_frame": True}, "max_frame: True is not a whole number"),
        ("lines", {"max_frame": "0"}, "max_frame: 0 is too small"),
        ("delimiter", {}, "delimiter: framing=delimiter needs it; add delimiter="),
        ("fixed", {}, "size: framing=fixed needs it"),
        ("delimiter", {"delimiter": ""}, "delimiter: is empty"),
        ("delimiter", {"delimiter": "a,"}, "delimiter: is empty"),
        ("delimiter", {"delimiter": "\\"}, "delimiter: unknown escape \\; write"),
        ("delimiter", {"delimiter": r"\q"}, r"delimiter: unknown escape \q"),
        ("delimiter", {"delimiter": r"\x4"}, r"delimiter: unknown escape \x"),
        ("delimiter", {"delimiter": 3}, "delimiter: 3 is not text"),
        ("delimiter", {"delimiter": "\udcff"}, "delimiter: '\\udcff' is not UTF-8; write other bytes as \\xNN"),
        ("lines", {"checksum": "md5"}, "checksum: 'md5' is not a choice"),
        ("lines", {"checksum_skip": "1"}, "checksum_skip: there is no checksum"),
        ("lines", {"checksum": "xor", "checksum_skip": "-1"}, "checksum_skip: -1 is too small"),
        ("lines", {"checksum": "crc32", "max_frame": "3"}, "max_frame: 3 has no room"),
        ("lines", {"checksum_inner": "raw"}, "checksum_inner: framing=lines has no such option"),
    ],
)
def test_errors(name: str, options: dict[str, OptionValue], message: str) -> None:
    """The key, what is wrong, what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        framing_from_options(name, options)
    assert str(caught.value).startswith(message)


def test_options_are_the_fields() -> None:
    """Others build command lines and reference pages from them."""
    options = {option.name: option for option in framing_options("lines")}
    assert list(options)[:3] == ["ending", "strip", "skip_empty"]
    assert get_args(options["ending"].type) == get_args(Ending)
    assert "checksum" in options
    assert not any(option.is_required for option in options.values())
    assert [option.name for option in framing_options("delimiter") if option.is_required] == ["delimiter"]
    assert [option.name for option in framing_options("mllp")][:2] == ["max_frame", "checksum"]
    with pytest.raises(ConfigurationError, match="no framing"):
        framing_options("lnes")
