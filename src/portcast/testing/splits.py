"""The ways in which a network may cut what a device sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Literal

from portcast.errors import ConfigurationError

Split = Literal["whole", "every-byte"] | Sequence[int] | int
"""How to cut data into reads:

* ``"whole"``: one read;
* ``"every-byte"``: one byte at a time;
* sizes, as ``[3, 5]``: the first read has 3 bytes, the second 5, the last what is left;
* a number: cut at random places, the same ones for the same number.
"""

MOST_SPLITS = 200
"""Splits of one stream that are tried unless told otherwise: each place of a stream of up to 199 bytes."""


def pieces(data: bytes, split: Split = "whole") -> list[bytes]:
    """Return ``data`` cut into reads, none of them empty.

    Args:
        data: what is sent; none of it gives no pieces.
        split: see `Split`.

    Raises:
        ConfigurationError: ``split`` is none of its forms, or a size is below 1.
    """
    if not data:
        return []
    if split == "whole":
        return [data]
    if split == "every-byte":
        return [data[at : at + 1] for at in range(len(data))]
    if isinstance(split, str):
        raise ConfigurationError("split", f"{split!r} is not a way to cut", "use whole, every-byte, sizes or a seed")
    if isinstance(split, int):
        random = Random(split)  # noqa: S311 - cuts, not secrets
        places = random.sample(range(1, len(data)), k=random.randint(0, min(len(data) - 1, 8))) if data[1:] else []
        return _cut(data, sorted(places))
    if any(size < 1 for size in split):
        raise ConfigurationError("split", f"{list(split)} has a size below 1", "each read has at least one byte")
    places, at = [], 0
    for size in split:
        at += size
        places.append(at)
    return _cut(data, places)


def _cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    borders = [0, *(place for place in places if place < len(data)), len(data)]
    return [data[begin:end] for begin, end in pairwise(borders)]


def splits(data: bytes, *, limit: int = MOST_SPLITS) -> Iterator[list[bytes]]:
    """Yield the pieces of ``data``: whole, one byte at a time, and cut in two at every place.

    A decoder that keeps nothing but what it has not used yet can only go wrong in one of these ways; three pieces and
    more are tried with a seed (see `Split`).

    Args:
        data: what is sent.
        limit: at most so many ways. In a longer stream the places are spread evenly, with the first and the last.
    """
    ways = [[data]] if data else []
    if len(data) > 1:
        ways.append(pieces(data, "every-byte"))
    yield from ways[:limit]
    places = range(1, len(data))
    for place in evenly(places, limit - len(ways)) if len(data) > 2 else ():
        yield [data[:place], data[place:]]


def evenly(places: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of the places, spread over all of them, with the first and the last."""
    if len(places) <= most:
        return list(places)
    if most < 2:
        return list(places[:1])[: max(0, most)]
    return [places[round(index * (len(places) - 1) / (most - 1))] for index in range(most)]


async def every_split(
    data: bytes, scenario: Callable[[list[bytes]], Awaitable[object]], *, limit: int = MOST_SPLITS
) -> int:
    r"""Run a scenario once for each way of `splits`, one after the other; return how often.

    ```python
    async def login(pieces):
        async with TestDevice(app) as device:
            await device.send(pieces)
            await device.expect(b"OK\r\n")

    await every_split(b"LOGIN 4711\r\n", login)
    ```

    Args:
        data: what the device sends.
        scenario: is given the pieces, for `TestDevice.send`.
        limit: at most so many ways.

    Raises:
        Exception: what the scenario raised, with a note that says which pieces it was given. Whatever it raises ends
            the run.
    """
    runs = 0
    for way in splits(data, limit=limit):
        try:
            await scenario(way)
        except Exception as error:
            error.add_note(f"with the data in {len(way)} pieces: {_shown(way)}")
            raise
        runs += 1
    return runs


def _shown(way: Sequence[bytes]) -> str:
    return "one byte at a time" if len(way) > 2 else " | ".join(repr(one) for one in way)
