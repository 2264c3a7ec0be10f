"""Between the whole numbers of a frame and the quantities they stand for: ``value = raw * scale + offset``.

Scale and offset are kept as fractions with one denominator, so a value is one integer product and one division, which
Python rounds correctly. ``raw * 0.1`` makes 12.3 of no raw number; ``raw / 10`` makes it of 123, and that is also what
reaches a browser as JSON.

::

    value = (raw * numerator + addend) / denominator
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias

from portcast.errors import ConfigurationError

Rounding: TypeAlias = Literal["nearest", "down", "up", "exact"]
"""What becomes of a value between two raw numbers when it is written:

* ``nearest``: the nearer one; the even one in the middle, as `round` does.
* ``down``, ``up``: the one that stands for the smaller, the larger value.
* ``exact``: it is refused.

A value that a raw number decodes to is always written as that number, whatever the rule.
"""

_LONGEST_DENOMINATOR = 10**12
"""``0.03`` and ``1/1_800_000`` mean 3/100 and one in 1 800 000; with so many digits no float is taken for another."""


class Refusal(ValueError):
    """What a field cannot hold; the program that asked adds which field it was, and where.

    Attributes:
        expected: what the field holds, in words.
        path: names and indexes that lead to the field, outermost first.
        offset: the byte of the frame at which the field begins; None when encoding.
    """

    def __init__(self, expected: str, path: tuple[str | int, ...] = (), offset: int | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.path = path
        self.offset = offset

    def inside(self, name: str | int, offset: int | None = None) -> Refusal:
        """Return itself, one step further out: it happened in ``name``, which begins at ``offset`` unless it knows."""
        self.path = (name, *self.path)
        if self.offset is None:
            self.offset = offset
        return self

    def moved(self, by: int) -> Refusal:
        """Return itself: what it is about begins ``by`` bytes into the frame."""
        if self.offset is not None:
            self.offset += by
        return self


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear conversion with rational coefficients, made by `scale_of`."""

    numerator: int
    denominator: int
    addend: int

    @property
    def is_identity(self) -> bool:
        """True if values are the raw numbers themselves."""
        return (self.numerator, self.denominator, self.addend) == (1, 1, 0)

    def to_value(self, raw: int) -> int | float:
        """Return what ``raw`` stands for: an int if the denominator is 1, else the nearest float."""
        product = raw * self.numerator + self.addend
        return product if self.denominator == 1 else product / self.denominator

    def to_raw(self, value: float | Decimal | Fraction, rounding: Rounding) -> int:
        """Return the raw number for ``value``.

        Raises:
            Refusal: it is not finite, or lies between two raw numbers and ``rounding`` is ``exact``.
        """
        if isinstance(value, int) and self.is_identity:
            return int(value)
        try:
            # Nearly every value lies on a step, and floats find it in a twentieth of the time of fractions.
            guess = round((value * self.denominator - self.addend) / self.numerator)
            if self.to_value(guess) == value:
                return guess
            exact = (Fraction(value) * self.denominator - self.addend) / self.numerator
        except (ValueError, OverflowError):
            raise Refusal(f"a finite number, not {value}") from None
        # What follows is exact: half a step must not depend on how a product of floats was rounded.
        nearest = round(exact)
        # Before rounding: 0.3 as a float is a little less than three tenths, and `down` must not make two of it.
        if rounding == "nearest" or self.to_value(nearest) == value:
            return nearest
        if rounding == "exact":
            step = abs(Fraction(self.numerator, self.denominator))
            raise Refusal(f"a multiple of {float(step):g}, not {value}")
        is_floor = (rounding == "down") == (self.numerator > 0)
        return math.floor(exact) if is_floor else math.ceil(exact)


def scale_of(scale: float | Fraction, offset: float | Fraction) -> Scale:
    """Return the conversion ``value = raw * scale + offset``.

    Args:
        scale: what one step of the raw number is worth; may be negative. A float is taken for the simplest fraction
            that it can have been written as: ``0.1`` is one tenth.
        offset: the value of raw 0.

    Raises:
        ConfigurationError: one of them is not finite, or the scale is 0 or so large that values overflow.
    """
    factor, start = _fraction("scale", scale), _fraction("offset", offset)
    if not factor:
        raise ConfigurationError("scale", "0 loses every value", "use what one step of the raw number is worth")
    denominator = math.lcm(factor.denominator, start.denominator)
    made = Scale(int(factor * denominator), denominator, int(start * denominator))
    try:
        # The largest raw number of 8 bytes: what works for it works for all.
        float(made.to_value(1 << 64)), float(made.to_value(-(1 << 64)))
    except OverflowError:
        raise ConfigurationError("scale", f"{scale} makes values too large for a float", "use a smaller one") from None
    return made


def _fraction(key: str, number: float | Fraction) -> Fraction:
    if not math.isfinite(number):
        raise ConfigurationError(key, f"{number} is not a finite number")
    exact = Fraction(number)
    simple = exact.limit_denominator(_LONGEST_DENOMINATOR)
    return simple if isinstance(number, float) and float(simple) == number else exact
