r"""Fossil deltas: a payload as its difference to the one before.

The format is that of Fossil's "delta file format", in which the Centrifuge SDKs expect publications of a channel with
``delta: "fossil"``. A delta is text around the inserted bytes::

    +--------+----+---------------- commands ----------------+----------+---+
    | size   | \n | count @ offset ,  |  count : count bytes  | checksum | ; |
    +--------+----+------------------------------------------+----------+---+
      of new        copy from old        insert                 of new

* An integer is unsigned, at most 32 bits, most significant digit first, in base 64 with the digits ``0-9 A-Z _ a-z ~``
  for 0 to 63 (not the alphabet of Base64).
* The commands write ``new`` from its first byte to its last. ``offset`` counts from 0 in ``old``.
* The checksum is the sum, modulo 2**32, of ``new`` as big-endian 32-bit words, the last one filled up with zeros.

`create` looks for common bytes at the beginning, at the end, where ``old`` and ``new`` seem to go on after an edit,
and last among the 16-byte blocks of ``old``. Its time is linear whatever the input: equal blocks are compared at
`MAX_PLACES` only, after many places without a match it looks at fewer and fewer, and after `MAX_COPIES` it stops.

One rule is ours. A JSON client gets the delta as a JSON string, which can hold whole UTF-8 characters only. So an
insertion never begins or ends inside a character: *if new is valid UTF-8, so is the delta*.
"""

from __future__ import annotations

from portcast.errors import DeltaError

BLOCK_BYTES = 16
"""Shortest run that the search between the ends can find; as in Fossil."""

MAX_PLACES = 4
"""Equal blocks of ``old`` that are tried for one match. Fossil tries 250, in C; 4 are enough for JSON, in which the
payloads before it rarely hold the same 16 bytes at the same distance from a block more than twice."""

MAX_COPIES = 2048
"""Copies in one delta, after which the rest is inserted. Short ones cost 9 µs each, so this keeps a megabyte that was
made to be slow at 30 ms, where it would take 550."""

MAX_FOLLOWED = 16
"""Edits after which `create` tries to go on in ``old`` without an index, which for 1 KiB would cost 10 µs more."""

FOLLOW_BYTES = 4096
"""How far in ``old`` it looks for where to go on. Bounds `bytes.find`, whose worst case is the product of the sizes."""

PATIENCE = 256
"""Places without a match after which the search looks at every third, then at every fifth and so on (odd, so that it
still meets every block of a long match). It turns 170 ms for a megabyte of noise into 19 ms, most of it the index."""

MIN_BYTES = 64
"""`smaller_delta` leaves shorter payloads alone: size, checksum and one copy are already 15 bytes."""

MAX_BYTES = 1_048_576
"""`smaller_delta` leaves longer payloads alone: a megabyte takes up to 35 ms, in which nothing else runs."""

_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_LARGEST = 0xFFFFFFFF

_Copy = tuple[int, int, int]
"""Offset in old, offset in new, count of bytes."""


def create(old: bytes, new: bytes) -> bytes:
    """Return the delta that turns ``old`` into ``new``.

    It may be longer than ``new`` (see `smaller_delta`), by at most 20 bytes.

    Args:
        old: what the receiver has; may be empty.
        new: what it shall have; less than 4 GiB.
    """
    size = len(new)
    shorter = min(len(old), size)
    head = _same_after(old, 0, new, 0, shorter)
    copies: list[_Copy] = []
    done = _add_copy(copies, new, 0, (0, 0, head))
    tail = _same_before(old, len(old), new, size, shorter - done)
    stop = size - tail
    if stop - done >= BLOCK_BYTES:
        done = _add_inner_copies(copies, old, new, done, stop)
    _add_copy(copies, new, done, (len(old) - tail, stop, tail))
    return _encode(new, copies)


def smaller_delta(old: bytes, new: bytes) -> bytes | None:
    """Return the delta from ``old`` to ``new`` if it is smaller than ``new``, else None.

    19 µs for 1 065 bytes of JSON in which two numbers differ, which become 34 bytes (CPython 3.11.7, one core of a
    small server, ``timeit``); `apply` takes 9 µs for them.

    Returns:
        None also if either is shorter than `MIN_BYTES` or longer than `MAX_BYTES`.
    """
    if not (MIN_BYTES <= len(old) <= MAX_BYTES and MIN_BYTES <= len(new) <= MAX_BYTES):
        return None
    delta = create(old, new)
    return delta if len(delta) < len(new) else None


def apply(old: bytes, delta: bytes, *, max_bytes: int) -> bytes:
    """Return what ``delta`` makes of ``old``.

    Stricter than the SDKs, which take a missing integer for 0 and ignore what follows the checksum. The time is linear
    in ``delta`` and the result.

    Args:
        old: what the delta was made from.
        delta: see the module.
        max_bytes: longest result that is accepted; checked before anything is written.

    Raises:
        DeltaError: ``delta`` is malformed, does not belong to ``old``, or announces more than ``max_bytes``.
    """
    size, mark, at = _read_integer(delta, 0)
    if mark != b"\n":
        raise DeltaError("the size must end in a newline", at)
    if size > max_bytes:
        raise DeltaError(f"it announces {size} bytes, more than the limit of {max_bytes}", at)
    pieces: list[bytes] = []
    written = 0
    while True:
        start = at
        count, mark, at = _read_integer(delta, at)
        if mark == b";":
            break
        if mark == b"@":
            offset, mark, at = _read_integer(delta, at)
            if mark != b",":
                raise DeltaError("a copy must end in ','", at)
            source, what = old, "copies"
        elif mark == b":":
            offset, at = at, at + count
            source, what = delta, "inserts"
        else:
            raise DeltaError("expected '@', ':' or ';' after a number", at)
        if offset + count > len(source):
            raise DeltaError(f"it {what} bytes that are not there", start)
        written += count
        if written > size:
            raise DeltaError(f"it {what} more than the {size} bytes that it announces", start)
        pieces.append(source[offset : offset + count])
    new = b"".join(pieces)
    if at != len(delta):
        raise DeltaError("something follows the checksum", at)
    if written != size:
        raise DeltaError(f"it writes {written} of the {size} bytes that it announces", start)
    if count != checksum(new):
        raise DeltaError("the checksum does not match; it belongs to another old payload", start)
    return new


def checksum(data: bytes) -> int:
    """Return the sum of the big-endian 32-bit words of ``data``, modulo 2**32; the last is filled up with zeros."""
    # By columns: twice as fast as unpacking the words, and the last word needs no filling.
    columns = (sum(data[0::4]) << 24) + (sum(data[1::4]) << 16) + (sum(data[2::4]) << 8) + sum(data[3::4])
    return columns & _LARGEST


def _add_inner_copies(copies: list[_Copy], old: bytes, new: bytes, done: int, stop: int) -> int:
    """Append what ``new[done:stop]`` shares with ``old``; return where the last copy ends."""
    # An edit rarely moves anything, so what follows it in new mostly follows in old too, and the index is not needed.
    for _ in range(MAX_FOLLOWED):
        source = copies[-1][0] + copies[-1][2] if copies else 0
        copy = _follow(old, source, new, done, stop)
        if copy[2] < 2 * BLOCK_BYTES:
            break
        done = _add_copy(copies, new, done, copy)
    if stop - done < 2 * BLOCK_BYTES:
        return done
    places_of = _index(old)
    at = done
    last = stop - BLOCK_BYTES
    misses = 0
    while at <= last and len(copies) < MAX_COPIES:
        places = places_of.get(new[at : at + BLOCK_BYTES])
        if places is None:
            misses += 1
            at += 1 + 2 * (misses // PATIENCE)
            continue
        best = max((_extend(old, place, new, at, done, stop) for place in places), key=_count)
        end = _add_copy(copies, new, done, best)
        if end > done:
            done = at = end
            misses = 0
        else:
            at += 1
    return done


def _follow(old: bytes, source: int, new: bytes, done: int, stop: int) -> _Copy:
    """Return the common run with which ``old`` and ``new`` seem to go on soon after ``source`` and ``done``."""
    for at in (done + BLOCK_BYTES, done + 3 * BLOCK_BYTES):
        if at + BLOCK_BYTES > stop:
            break
        place = old.find(new[at : at + BLOCK_BYTES], source, source + FOLLOW_BYTES)
        if place >= 0:
            return _extend(old, place, new, at, done, stop)
    return 0, 0, 0


def _index(old: bytes) -> dict[bytes, tuple[int, ...]]:
    """Return where each whole block of ``old`` is found, the first `MAX_PLACES` places."""
    places_of: dict[bytes, tuple[int, ...]] = {}
    for place in range(0, len(old) - BLOCK_BYTES + 1, BLOCK_BYTES):
        block = old[place : place + BLOCK_BYTES]
        places = places_of.get(block)
        if places is None:
            places_of[block] = (place,)
        elif len(places) < MAX_PLACES:
            places_of[block] = (*places, place)
    return places_of


def _extend(old: bytes, place: int, new: bytes, at: int, done: int, stop: int) -> _Copy:
    """Return the longest common run around a common block, within ``new[done:stop]``."""
    before = _same_before(old, place, new, at, min(place, at - done))
    after = _same_after(old, place + BLOCK_BYTES, new, at + BLOCK_BYTES, min(len(old) - place, stop - at) - BLOCK_BYTES)
    return place - before, at - before, before + BLOCK_BYTES + after


def _count(copy: _Copy) -> int:
    return copy[2]


def _add_copy(copies: list[_Copy], new: bytes, done: int, copy: _Copy) -> int:
    """Append ``copy``, cut to whole characters, if that is shorter than inserting; return where the copies end."""
    source, target, count = copy
    if not count:
        return done
    # At most 3 bytes on each side belong to a character that is cut (RFC 3629 §3); in binary data it does not matter.
    end = target + count
    for _ in range(3):
        if target < end and _is_continuation(new, target):
            source += 1
            target += 1
    for _ in range(3):
        if end > target and _is_continuation(new, end):
            end -= 1
    count = end - target
    # What it costs: its own integers and marks, and those of the insertion that it ends.
    if count < len(_integer(count)) + len(_integer(source)) + len(_integer(target - done)) + 3:
        return done
    copies.append((source, target, count))
    return end


def _is_continuation(data: bytes, at: int) -> bool:
    return at < len(data) and data[at] & 0xC0 == 0x80


def _encode(new: bytes, copies: list[_Copy]) -> bytes:
    """Return the delta that consists of ``copies`` and insertions between them."""
    parts = [_integer(len(new)), b"\n"]
    done = 0
    for source, target, count in (*copies, (0, len(new), 0)):
        if target > done:
            parts += (_integer(target - done), b":", new[done:target])
        if count:
            parts += (_integer(count), b"@", _integer(source), b",")
        done = target + count
    parts += (_integer(checksum(new)), b";")
    return b"".join(parts)


def _same_after(a: bytes, i: int, b: bytes, j: int, limit: int) -> int:
    """Return how many bytes from ``a[i]`` and ``b[j]`` on are equal, at most ``limit``."""
    done, step = 0, 128
    while done < limit:
        step = min(step, limit - done)
        one, two = a[i + done : i + done + step], b[j + done : j + done + step]
        if one != two:
            # The first different byte is the highest that is not 0 in the difference: no loop over bytes.
            difference = int.from_bytes(one, "big") ^ int.from_bytes(two, "big")
            return done + step - (difference.bit_length() + 7) // 8
        done += step
        step *= 2  # so that the work stays linear in the result, however long it is
    return done


def _same_before(a: bytes, i: int, b: bytes, j: int, limit: int) -> int:
    """Return how many bytes before ``a[i]`` and ``b[j]`` are equal, at most ``limit``."""
    done, step = 0, 128
    while done < limit:
        step = min(step, limit - done)
        one, two = a[i - done - step : i - done], b[j - done - step : j - done]
        if one != two:
            difference = int.from_bytes(one, "little") ^ int.from_bytes(two, "little")
            return done + step - (difference.bit_length() + 7) // 8
        done += step
        step *= 2
    return done


def _integer(value: int) -> bytes:
    if value < 64:
        return _DIGITS[value : value + 1]
    digits = bytearray()
    while value:
        digits.append(_DIGITS[value & 63])
        value >>= 6
    digits.reverse()
    return bytes(digits)


def _read_integer(delta: bytes, at: int) -> tuple[int, bytes, int]:
    """Return an integer, the byte after it, and the offset after both."""
    start, value = at, 0
    while at < len(delta) and (digit := _VALUES.get(delta[at])) is not None:
        value = value * 64 + digit
        if value > _LARGEST:
            raise DeltaError("a number is larger than 32 bits", start)
        at += 1
    if at == len(delta):
        raise DeltaError("it ends too early", at)
    if at == start:
        raise DeltaError("expected a number", at)
    return value, delta[at : at + 1], at + 1
