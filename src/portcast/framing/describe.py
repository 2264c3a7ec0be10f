"""A framing in a few words, for the start block, logs and the API."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass, replace

from portcast.framing.base import Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.first_byte import FirstByteFraming
from portcast.framing.registry import CLASSES, PRESETS
from portcast.framing.validation import size_text

_NAMES = {cls: name for name, cls in CLASSES.items()}
_SHOWN = {"ending", "size"}
"""Options whose value says enough without their name, and that are always shown."""

_ESCAPED = {0x0D: r"\r", 0x0A: r"\n", 0x09: r"\t", 0x00: r"\0", 0x5C: r"\\"}


def describe(framing: Framing) -> str:
    """Return a short text: ``lines, lf, max 64 KiB``.

    It names the framing as `framing_from_options` does, then the options that differ from their defaults as a URL
    writes them, then the bound. A user's own framing is named after its class.
    """
    if isinstance(framing, ChecksumFraming):
        options = [option for option in _options(framing, "checksum_") if not option.startswith("checksum_algorithm")]
        return ", ".join([describe(framing.inner), f"checksum={framing.algorithm}", *options])
    if isinstance(framing, FirstByteFraming):
        return _first_byte(framing)
    for name, preset in PRESETS.items():
        if isinstance(framing, type(preset)) and replace(preset, max_frame=framing.max_frame) == framing:
            return f"{name}, max {size_text(framing.max_frame)}"
    name = next((name for cls, name in _NAMES.items() if type(framing) is cls), "")
    if not name:
        return f"{type(framing).__name__}, max {size_text(framing.max_frame)}"
    parts = [name, *_options(framing, "")]
    if any(field.name == "max_frame" for field in fields(CLASSES[name])):
        parts.append(f"max {size_text(framing.max_frame)}")
    return ", ".join(parts)


def _first_byte(framing: FirstByteFraming) -> str:
    keys: dict[int, list[int]] = {}
    inner: dict[int, Framing] = {}
    for key, value in framing.framings.items():
        assert isinstance(key, int), "FirstByteFraming turns its keys into numbers"
        keys.setdefault(id(value), []).append(key)
        inner[id(value)] = value
    parts = [f"{bytes_text(bytes(keys[at]))} ({describe(inner[at])})" for at in inner]
    if framing.default is not None:
        parts.append(f"else ({describe(framing.default)})")
    return "first_byte, " + ", ".join(parts)


def _options(framing: Framing, prefix: str) -> list[str]:
    parts: list[str] = []
    assert is_dataclass(framing)
    for field in fields(framing):
        value = getattr(framing, field.name)
        if field.name in _SHOWN:
            parts.append(size_text(value) if isinstance(value, int) else str(value))
        elif field.name not in ("max_frame", "inner") and (field.default is MISSING or value != field.default):
            key = prefix + field.name
            parts.append(key if value is True else f"{key}={_value_text(value)}")
    return parts


def _value_text(value: object) -> str:
    if isinstance(value, bytes):
        return bytes_text(value)
    if isinstance(value, tuple):
        return ",".join(bytes_text(item).replace(",", r"\,") for item in value)
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return str(value).lower() if isinstance(value, bool) else str(value)


def bytes_text(value: bytes) -> str:
    r"""Return bytes as a URL key writes them: printable ASCII as it is, the rest as ``\r`` or ``\xNN``."""
    return "".join(_ESCAPED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in value)
