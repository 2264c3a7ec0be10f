from __future__ import annotations

import pytest

from portcast.codecs import BytesCodec, Codec, JsonCodec, ModelCodec, TextCodec


@pytest.mark.parametrize(
    "codec", [BytesCodec(), TextCodec(), JsonCodec(), ModelCodec(int)], ids=lambda codec: codec.name
)
def test_every_codec_has_the_interface(codec: object) -> None:
    """A codec is anything with a name of one word, `decode` and `encode`."""
    assert isinstance(codec, Codec)
    assert codec.name.isalpha()


def test_something_else_is_no_codec() -> None:
    """`isinstance` tells a codec from a stranger, so that options can be checked at start."""
    assert not isinstance("json", Codec)
