"""The interfaces hold for every framing that Portcast has."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from framing_helpers import idle_size
from portcast.framing import (
    DEFAULT_MAX_FRAME,
    AsciiLengthFraming,
    ChecksumFraming,
    CobsFraming,
    CustomFraming,
    DelimiterFraming,
    FirstByteFraming,
    FixedLengthFraming,
    Framing,
    JsonFraming,
    LengthFieldFraming,
    LineFraming,
    MarkedFraming,
    RawFraming,
    VarintFraming,
)

ALL: list[Framing] = [
    LineFraming(),
    LineFraming(ending="any"),
    DelimiterFraming(b"#"),
    DelimiterFraming((b"\r\n", b"\n"), start=b"$"),
    FixedLengthFraming(32),
    LengthFieldFraming(magic=b"xx", length_field_offset=2),
    AsciiLengthFraming.netstring(),
    MarkedFraming.jt808(),
    CobsFraming(),
    VarintFraming(),
    JsonFraming(),
    RawFraming(),
    FirstByteFraming({b"*": DelimiterFraming(b"#")}),
    CustomFraming(),
    ChecksumFraming(LineFraming(), "nmea"),
]


@pytest.mark.parametrize("framing", ALL, ids=lambda framing: type(framing).__name__)
class TestEveryFraming:
    def test_is_a_framing(self, framing: Framing) -> None:
        """`Framing` is what listeners ask for."""
        assert isinstance(framing, Framing)

    def test_decoder_begins_empty(self, framing: Framing) -> None:
        """A fresh decoder holds nothing, has skipped nothing, and an empty stream is whole."""
        decoder = framing.decoder()
        assert (decoder.error, decoder.skipped_bytes, decoder.buffered) == (None, 0, 0)
        assert decoder.feed(b"") == []
        assert decoder.end() == []
        assert decoder.error is None

    def test_decoders_are_separate(self, framing: Framing) -> None:
        """Two connections share no state."""
        first, second = framing.decoder(), framing.decoder()
        first.feed(b"*")
        assert second.buffered == 0

    def test_idle_decoder_is_small(self, framing: Framing) -> None:
        """There are tens of thousands of idle connections. A checksum's pair of decoders may take more."""
        assert idle_size(framing) < (600 if isinstance(framing, ChecksumFraming) else 400)


@pytest.mark.parametrize("framing", [f for f in ALL if not isinstance(f, CustomFraming)], ids=repr)
def test_framing_is_a_frozen_value(framing: Framing) -> None:
    """A framing is shared by all connections, so nobody can change it, and equal ones are interchangeable."""
    assert hash(framing) == hash(framing)
    assert not hasattr(framing, "__dict__")
    assert is_dataclass(framing)
    for field in fields(framing):
        with pytest.raises(FrozenInstanceError):
            setattr(framing, field.name, None)


def test_default_bound() -> None:
    """64 KiB, as documented."""
    assert DEFAULT_MAX_FRAME == 65_536
