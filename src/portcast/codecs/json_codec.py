"""Frames of JSON (RFC 8259), by the standard library, with its loose ends tied.

The standard library takes ``NaN`` and ``Infinity``, which are not JSON; makes an infinity of ``1e999``, which nobody
can send on; and answers deep nesting with `RecursionError`. All three are codec errors here.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, NoReturn

from pydantic import BaseModel

from portcast.errors import CodecError

MAX_JSON_DEPTH = 64
"""Arrays and objects inside each other. Real messages have fewer than ten; .NET's and Go's readers stop at 64 and
10 000, browsers have no limit."""

_JSON_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


class JsonCodec:
    """The frame is one JSON value in UTF-8, without a byte order mark.

    Args:
        kind: ``dict`` or ``list`` to take objects or arrays only; ``object`` (the default) takes any value.
    """

    __slots__ = ("_kind",)

    def __init__(self, kind: type[object] = object) -> None:
        self._kind = kind

    @property
    def name(self) -> str:
        """``json``."""
        return "json"

    def decode(self, frame: bytes) -> object:
        """Return the value: dict, list, str, int, float, bool or None.

        The last of several equal keys counts. Lone surrogates, which only an escape can express, are kept.

        Raises:
            CodecError: it is not UTF-8 or not JSON, is nested deeper than 64, has a number that is not finite or an
                integer of more than 4300 digits, or is not of the kind asked for.
        """
        try:
            value: object = _DECODER.decode(frame.decode())
        except UnicodeDecodeError as error:
            raise CodecError("json", f"not valid utf-8 at byte {error.start}", frame) from error
        except json.JSONDecodeError as error:
            problem = error.msg.partition(":")[0]
            raise CodecError("json", f"{problem} at character {error.pos}", frame) from error
        except RecursionError:
            # Without the cause: its traceback has a thousand entries.
            raise CodecError("json", _TOO_DEEP, frame) from None
        except ValueError as error:
            problem = "NaN and Infinity are not JSON" if isinstance(error, _NotFiniteError) else "an integer too long"
            raise CodecError("json", problem, frame) from error
        # Counting brackets is far cheaper than walking the value, and nearly always enough.
        if frame.count(b"[") + frame.count(b"{") > MAX_JSON_DEPTH and _is_too_deep(value):
            raise CodecError("json", _TOO_DEEP, frame)
        if not isinstance(value, self._kind):
            wanted = _JSON_NAMES.get(self._kind, self._kind.__name__)
            raise CodecError("json", f"expected {wanted}, got {_JSON_NAMES.get(type(value), 'a number')}", frame)
        return value

    def encode(self, value: object) -> bytes:
        """Return ``value`` as compact JSON in UTF-8.

        Dataclasses become objects of their fields, Pydantic models what they dump to; tuples become arrays.

        Raises:
            CodecError: a part of it has no JSON form (the error names the type), is not finite, contains itself or is
                nested deeper than 64.
        """
        try:
            frame = _ENCODER.encode(value).encode()
        except CodecError:  # from `_plain`; it is a ValueError too
            raise
        except UnicodeEncodeError as error:
            raise CodecError("json", "cannot encode a lone surrogate") from error
        except RecursionError:
            raise CodecError("json", _TOO_DEEP) from None
        except ValueError as error:
            problem = "a value contains itself" if "Circular" in str(error) else "NaN and Infinity are not JSON"
            raise CodecError("json", f"cannot encode {type(value).__name__}: {problem}") from error
        except TypeError as error:
            # Our own `_plain` speaks for values, so this is about a key.
            problem = "keys must be str, int, float, bool or None"
            raise CodecError("json", f"cannot encode {type(value).__name__}: {problem}") from error
        if frame.count(b"[") + frame.count(b"{") > MAX_JSON_DEPTH and _is_too_deep(_DECODER.decode(frame.decode())):
            raise CodecError("json", _TOO_DEEP)
        return frame


class _NotFiniteError(ValueError):
    """Thrown through the parser by its hooks."""


_TOO_DEEP = f"nested deeper than {MAX_JSON_DEPTH} levels"


def _refuse(constant: str) -> NoReturn:
    raise _NotFiniteError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotFiniteError
    return number


def _plain(value: object) -> object:
    """Return what stands for ``value`` in JSON; called for what the encoder does not know."""
    if isinstance(value, BaseModel):
        dumped: object = value.model_dump(mode="json")
        return dumped
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise CodecError("json", f"cannot encode {type(value).__name__}")


def _is_too_deep(value: object) -> bool:
    """Walk level by level, so that depth costs no stack."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            return True
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
    return False


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
