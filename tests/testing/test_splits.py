"""Every way in which a network may cut what is sent, within a bound."""

from __future__ import annotations

from typing import Any

import pytest

from portcast.errors import ConfigurationError
from portcast.testing import every_split, pieces, splits
from portcast.testing.splits import evenly


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("whole", [b"abcdef"]),
        ("every-byte", [b"a", b"b", b"c", b"d", b"e", b"f"]),
        ([2, 3], [b"ab", b"cde", b"f"]),
        ([2, 4], [b"ab", b"cdef"]),
        ([9], [b"abcdef"]),
        ((), [b"abcdef"]),
    ],
    ids=str,
)
def test_the_forms_of_a_split(split: Any, expected: list[bytes]) -> None:
    """See `Split`."""
    assert pieces(b"abcdef", split) == expected
    assert pieces(b"", split) == []


def test_a_seed_is_chance_that_repeats_itself() -> None:
    """The same number gives the same pieces, whole in content and none of them empty."""
    data = bytes(range(200))
    ways = [pieces(data, seed) for seed in range(50)]
    assert ways == [pieces(data, seed) for seed in range(50)]
    assert all(b"".join(way) == data and all(way) for way in ways)
    assert len({len(way) for way in ways}) > 3
    assert pieces(b"a", 1) == [b"a"]


@pytest.mark.parametrize("split", ["bytes", [0], [3, -1]], ids=str)
def test_what_is_no_split(split: Any) -> None:
    """Said at once."""
    with pytest.raises(ConfigurationError):
        pieces(b"abc", split)


def test_splits_are_all_ways_in_two() -> None:
    """Whole, byte by byte, and every place."""
    assert list(splits(b"abc")) == [[b"abc"], [b"a", b"b", b"c"], [b"a", b"bc"], [b"ab", b"c"]]
    assert list(splits(b"ab")) == [[b"ab"], [b"a", b"b"]]
    assert list(splits(b"a")) == [[b"a"]]
    assert list(splits(b"")) == []
    assert len(list(splits(bytes(199)))) == 200


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 50])
def test_splits_are_bounded(limit: int) -> None:
    """Spread over a long stream, with its first and last place."""
    ways = list(splits(bytes(10_000), limit=limit))
    assert len(ways) == limit
    if limit >= 4:
        assert [len(ways[2][0]), len(ways[-1][0])] == [1, 9999]


def test_places_are_spread_evenly() -> None:
    """All of them when there is room."""
    assert evenly(range(5), 9) == [0, 1, 2, 3, 4]
    assert evenly(range(101), 3) == [0, 50, 100]
    assert evenly(range(5), 1) == [0]
    assert evenly(range(5), -1) == []


@pytest.mark.anyio
async def test_a_scenario_runs_with_every_split_until_one_fails() -> None:
    """The error says with which."""
    seen: list[list[bytes]] = []

    async def scenario(way: list[bytes]) -> None:
        seen.append(way)

    assert await every_split(b"abc", scenario) == 4
    assert seen == list(splits(b"abc"))

    async def failing(way: list[bytes]) -> None:
        assert len(way) == 1 or way[0] != b"ab"

    with pytest.raises(AssertionError) as caught:
        await every_split(b"abc", failing)
    assert caught.value.__notes__ == ["with the data in 2 pieces: b'ab' | b'c'"]

    async def bytewise(way: list[bytes]) -> None:
        assert len(way) < 3

    with pytest.raises(AssertionError) as caught:
        await every_split(b"abc", bytewise)
    assert caught.value.__notes__ == ["with the data in 3 pieces: one byte at a time"]
