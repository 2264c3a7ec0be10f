from __future__ import annotations

import base64
import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portcast.centrifuge import fossil
from portcast.centrifuge.fossil import MAX_BYTES, MAX_COPIES, MIN_BYTES, apply, checksum, create, smaller_delta
from portcast.errors import DeltaError

# What other implementations said. ``reference`` is what the npm package fossil-delta 2.0.0 makes of old and new;
# ``delta`` is what ours makes, and the decoders of fossil-delta, centrifuge-js 5.8.0 and centrifuge-python 0.7.0 have
# turned it into new. Whoever changes what `create` writes lets these three decode the new file.
VECTORS = [
    pytest.param(*(base64.b64decode(case[key]) for key in ("old", "new", "delta", "reference")), id=case["name"])
    for case in json.loads((Path(__file__).parent / "fossil_vectors.json").read_text("utf-8"))
]

LIMIT = 1_000_000
MEGABYTE = 1_048_576


def reading(low: float, high: float) -> bytes:
    channels = [{"name": f"ch{i}", "unit": "bar", "min": 0.0, "max": 16.0, "alarm": False} for i in range(14)]
    channels[4]["max"], channels[9]["max"] = low, high
    return json.dumps({"device": "boiler-17", "channels": channels}).encode()


def edited(old: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return ``old`` with some pieces replaced: (where, how many bytes, by what)."""
    new = old
    for at, count, insert in edits:
        start = at % (len(new) + 1)
        new = new[:start] + insert + new[start + count :]
    return new


OLD = st.binary(max_size=300) | st.text("ab", max_size=300).map(str.encode) | st.text(max_size=100).map(str.encode)
EDITS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 60), st.binary(max_size=40)), max_size=5)


@pytest.mark.parametrize(("old", "new", "delta", "reference"), VECTORS)
def test_deltas_are_those_that_other_decoders_have_read(old: bytes, new: bytes, delta: bytes, reference: bytes) -> None:
    """What we send is what the SDKs were seen to decode, and we decode what others make."""
    assert create(old, new) == delta
    assert apply(old, delta, max_bytes=LIMIT) == new
    assert apply(old, reference, max_bytes=LIMIT) == new


@given(OLD, st.binary(max_size=300))
def test_a_delta_between_any_two_payloads_gives_the_new_one(old: bytes, new: bytes) -> None:
    """`create` has no input that it may refuse, and never costs more than 20 bytes."""
    delta = create(old, new)
    assert apply(old, delta, max_bytes=len(new)) == new
    assert len(delta) <= len(new) + 20


@given(OLD, EDITS)
def test_a_delta_to_an_edited_payload_gives_the_edited_one(old: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    """The same with payloads that share much, where copies are found."""
    new = edited(old, edits)
    assert apply(old, create(old, new), max_bytes=len(new)) == new
    shuffled = new[len(new) // 2 :] + old[: len(old) // 2] + new
    assert apply(old, create(old, shuffled), max_bytes=len(shuffled)) == shuffled


@given(st.text("aé温🚰", max_size=200), st.text("aéè温度🚰🚱", max_size=12), st.integers(0, 200), st.integers(0, 30))
@example("é" * 40, "è", 20, 1)
@example("🚰" * 40, "🚱", 20, 1)
def test_a_delta_between_texts_is_text(old: str, insert: str, at: int, count: int) -> None:
    """JSON clients get it as a string, so no insertion may cut a UTF-8 character."""
    new = old[:at] + insert + old[at + count :] + insert
    delta = create(old.encode(), new.encode())
    assert apply(old.encode(), delta.decode().encode(), max_bytes=LIMIT) == new.encode()


def test_two_numbers_in_a_kilobyte_become_a_few_bytes() -> None:
    """The case for which deltas exist: three copies, two insertions."""
    delta = create(reading(15.25, 14.5), reading(15.75, 101.5))
    assert len(delta) < 40
    assert delta.count(b"@") == 3


def test_equal_payloads_become_one_copy() -> None:
    """Nothing is inserted, not even the last partial block."""
    # 100 is 1 * 64 + 36, and the digit for 36 is '_'; the checksum is 25 times 0x61616161, modulo 2**32.
    assert create(b"a" * 100, b"a" * 100) == b"1_\n1_@0,22Wd9u;"


def test_many_edits_are_all_found() -> None:
    """After the edits that are followed without an index, the index finds the others."""
    old = b"".join(b'{"channel":%04d,"value":%05d},' % (n, n * n) for n in range(60))
    new = edited(old, [(n * 29 + 20, 1, b"9.5") for n in range(59, -1, -2)])
    delta = create(old, new)
    assert 31 <= delta.count(b"@") <= 35
    assert len(delta) < len(new) // 5
    assert apply(old, delta, max_bytes=LIMIT) == new


def test_a_moved_block_is_found() -> None:
    """Beyond both ends the blocks of old are looked up wherever they went."""
    parts = [bytes(random.Random(n).randbytes(64)) for n in range(6)]  # fixed noise
    old, new = b"".join(parts), b"".join(parts[::-1])
    delta = create(old, new)
    assert delta.count(b"@") == 6
    assert apply(old, delta, max_bytes=LIMIT) == new


def test_of_equal_blocks_the_one_with_the_longest_match_is_taken() -> None:
    """The first place of a block is not always the best one."""
    block, rest = b"0123456789abcdef", b"the rest of the second one, much longer."
    old = block + b"-" * 16 + block + rest[:16] + rest[16:] + b"-" * 16
    new = b"#" * 100 + block + rest + b"#" * 100
    assert create(old, new).count(b"@") == 1


def test_a_match_that_a_cut_character_makes_too_short_is_inserted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of 16 equal bytes after cutting at whole characters may not pay for the copy."""
    monkeypatch.setattr(fossil, "PATIENCE", LIMIT)  # so that the one block is surely looked at
    shared = b"\x80\x80\x80" + b"abcdefg" + b"\x80" * 6
    old = b"-" * MEGABYTE + shared + b"-" * MEGABYTE
    new = b"#" * 4200 + shared + b"\x80" * 3 + b"#" * 70
    delta = create(old, new)
    assert b"@" not in delta
    assert apply(old, delta, max_bytes=LIMIT) == new


def noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(MEGABYTE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(noise(1), noise(2), id="noise"),
        pytest.param(b"a" * MEGABYTE, b"b" * MEGABYTE, id="no byte in common"),
        pytest.param(b"a" * MEGABYTE, (b"a" * 31 + b"b") * (MEGABYTE // 32), id="every block alike"),
        pytest.param(b"a" * MEGABYTE, (b"a" * 16 + b"b") * (MEGABYTE // 17), id="only short matches"),
    ],
)
def test_no_megabyte_takes_long(old: bytes, new: bytes) -> None:
    """Places without a match are skipped and copies are counted; without these bounds each takes 100 to 600 ms."""
    delta = create(old, new)
    assert delta.count(b"@") <= MAX_COPIES + 1 + new.count(b"@")
    assert apply(old, delta, max_bytes=len(new)) == new


def test_a_long_match_is_found_after_a_long_stretch_without() -> None:
    """The search looks at fewer places but never passes over a long match."""
    old = noise(1)
    new = noise(2)[:500_000] + old[123_457:623_457]
    assert len(create(old, new)) < 502_000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"a" * (MIN_BYTES - 1), b"a" * 1000, id="old too short"),
        pytest.param(b"a" * 1000, b"a" * (MIN_BYTES - 1), id="new too short"),
        pytest.param(b"a" * (MAX_BYTES + 1), b"a" * 1000, id="old too long"),
        pytest.param(b"a" * 1000, b"a" * (MAX_BYTES + 1), id="new too long"),
        pytest.param(b"a" * 1000, b"b" * 1000, id="nothing in common"),
    ],
)
def test_where_a_delta_is_no_gain_there_is_none(old: bytes, new: bytes) -> None:
    """The caller sends the payload itself."""
    assert smaller_delta(old, new) is None


def test_where_a_delta_is_a_gain_it_is_returned() -> None:
    """The limits are inclusive."""
    for size in (MIN_BYTES, MAX_BYTES):
        delta = smaller_delta(b"a" * size, b"a" * (size - 1) + b"b")
        assert delta is not None
        assert apply(b"a" * size, delta, max_bytes=size) == b"a" * (size - 1) + b"b"


@given(st.binary(max_size=100))
def test_the_checksum_is_the_sum_of_big_endian_words(data: bytes) -> None:
    """The definition, word by word."""
    padded = data + bytes(-len(data) % 4)
    assert checksum(data) == sum(word for (word,) in struct.iter_unpack(">I", padded)) % 2**32


OLD_TEXT = b"0123456789"


@pytest.mark.parametrize(
    ("delta", "problem", "position"),
    [
        pytest.param(b"", "ends too early", 0, id="empty"),
        pytest.param(b"5", "ends too early", 1, id="only a size"),
        pytest.param(b"\n", "expected a number", 0, id="no size"),
        pytest.param(b"5;", "newline", 2, id="size without newline"),
        pytest.param(b"5\n", "ends too early", 2, id="no command"),
        pytest.param(b"5\n5", "ends too early", 3, id="count without command"),
        pytest.param(b"5\n@0,", "expected a number", 2, id="copy without count"),
        pytest.param(b"5\n5@,", "expected a number", 4, id="copy without offset"),
        pytest.param(b"5\n5@0;", r"end in ','", 6, id="copy without comma"),
        pytest.param(b"5\n5@0", "ends too early", 5, id="copy cut"),
        pytest.param(b"5\n5@6,0;", "copies bytes that are not there", 2, id="copy past the end of old"),
        pytest.param(b"5\n5:abcd", "inserts bytes that are not there", 2, id="insertion past the end of the delta"),
        pytest.param(b"5\n6@0,0;", "copies more than the 5 bytes", 2, id="copy longer than announced"),
        pytest.param(b"1\n2:ab0;", "inserts more than the 1 bytes", 2, id="insertion longer than announced"),
        pytest.param(b"5\n4@0,0;", "writes 4 of the 5 bytes", 6, id="shorter than announced"),
        pytest.param(b"0\n1;", "checksum", 2, id="wrong checksum"),
        pytest.param(b"0\n0;0", "follows", 4, id="something after the end"),
        pytest.param(b"5\n5!", "expected '@'", 4, id="unknown command"),
        pytest.param(b"50\n", "announces 320 bytes, more than the limit of 100", 3, id="announces too much"),
        pytest.param(b"4000000\n", "larger than 32 bits", 0, id="number too large"),
        pytest.param(b"0" * 50 + b"z~~~~~\n", "larger than 32 bits", 0, id="number too large behind zeros"),
    ],
)
def test_a_malformed_delta_is_an_error_that_says_where(delta: bytes, problem: str, position: int) -> None:
    """One error, without the payload, whatever is wrong."""
    with pytest.raises(DeltaError, match=problem) as caught:
        apply(OLD_TEXT, delta, max_bytes=100)
    assert caught.value.position == position
    assert len(str(caught.value)) < 100


def test_a_delta_to_another_payload_does_not_go_unnoticed() -> None:
    """A client that missed a publication must not show a mixture."""
    delta = create(reading(1.0, 2.0), reading(1.5, 2.5))
    with pytest.raises(DeltaError, match="another old payload"):
        apply(reading(9.0, 2.0).replace(b"boiler", b"cooler"), delta, max_bytes=LIMIT)


@pytest.mark.parametrize("cut", range(len(create(reading(1.0, 2.0), reading(1.5, 2.5)))))
def test_a_truncated_delta_is_an_error(cut: int) -> None:
    """Every proper beginning of a delta is malformed."""
    old = reading(1.0, 2.0)
    with pytest.raises(DeltaError):
        apply(old, create(old, reading(1.5, 2.5))[:cut], max_bytes=LIMIT)


TOKENS = st.sampled_from([b"@", b":", b";", b",", b"\n", b"0", b"5", b"A", b"~", b"5\n", b"1@0,", b"1:x", b"zzzzzz"])


@given(st.binary(max_size=60) | st.lists(TOKENS, max_size=20).map(b"".join))
def test_garbage_gives_bytes_or_the_error(delta: bytes) -> None:
    """No other exception, and never more than the limit, however often a copy is repeated."""
    try:
        new = apply(OLD_TEXT, delta, max_bytes=50)
    except DeltaError:
        return
    assert len(new) <= 50


@given(EDITS, st.integers(0, 10_000), st.binary(max_size=4))
def test_a_damaged_delta_gives_bytes_or_the_error(edits: list[tuple[int, int, bytes]], at: int, by: bytes) -> None:
    """Nearly valid input reaches further than garbage does."""
    old = reading(1.0, 2.0)
    delta = create(old, edited(old, edits))
    try:
        new = apply(old, edited(delta, [(at, len(by), by)]), max_bytes=LIMIT)
    except DeltaError:
        return
    assert isinstance(new, bytes)
