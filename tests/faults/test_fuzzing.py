"""What `make fuzz` looks for with coverage, looked for in every run by chance; and that the harness itself can find."""

from __future__ import annotations

import pytest
from fuzzing import framings
from fuzzing.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from portcast.framing import FRAMING_NAMES, FrameDecoder, LineFraming
from portcast.framing.registry import CLASSES


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Seeds with a piece of another one, or of chance, in place of a piece of theirs."""
    piece = st.binary(max_size=6) | st.sampled_from(seeds)

    def put(seed: bytes, at: int, out: int, new: bytes) -> bytes:
        at %= len(seed) + 1
        return seed[:at] + new + seed[at + out :]

    return st.builds(put, st.sampled_from(seeds), st.integers(0, 500), st.integers(0, 12), piece) | st.binary(
        max_size=60
    )


@pytest.mark.row(7, 8, 64, 65)
@pytest.mark.parametrize("name", TARGETS)
def test_promises_hold_for_any_bytes(name: str) -> None:
    """Seeds as they are, and changed by chance."""
    target = TARGETS[name]
    for seed in target.seeds:
        target.run(seed)

    @settings(max_examples=150, deadline=None)
    @given(mutated(list(target.seeds)))
    def changed(data: bytes) -> None:
        target.run(data)

    changed()


def test_every_framing_is_fuzzed() -> None:
    """A framing that is added comes here, too."""
    presets = set(FRAMING_NAMES) - set(CLASSES)
    assert set(CLASSES) - set(framings.VARIANTS) == set()
    assert presets == {"octet_counting", "netstring", "slip", "hdlc", "jt808", "mllp"}


def test_a_decoder_that_depends_on_reads_is_found() -> None:
    """The harness can fail: this one loses a frame whose end is a read of its own."""

    class Forgetful(LineFraming):
        def decoder(self) -> FrameDecoder:
            decoder = super().decoder()
            feed = decoder.feed

            class Wrapped:
                error = property(lambda _: decoder.error)
                skipped_bytes = property(lambda _: decoder.skipped_bytes)
                buffered = property(lambda _: decoder.buffered)
                end = staticmethod(decoder.end)
                feed = staticmethod(lambda data: [] if data == b"\n" else feed(data))

            return Wrapped()

    run = framings.runner([Forgetful()])
    with pytest.raises(AssertionError):
        run(b"\0\0ab\ncd\n")
