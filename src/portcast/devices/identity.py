"""Which device ids are allowed, and what happens to a device that nobody knows or that is there already.

An id is one level of a topic, because presence is published on ``$devices/<id>/status`` and commands on
``$devices/<id>/commands``: no ``/``, no wildcards of MQTT 5.0 §4.7.1, no control characters.

People let devices in by their ids, so nothing may stand in one that cannot be seen or that changes how the rest is
shown: Unicode's general categories Cf, Zl and Zp.
"""

from __future__ import annotations

from typing import Literal
from unicodedata import category

from portcast.errors import DeviceIdError
from portcast.types import DeviceId

Takeover = Literal["replace", "reject", "allow"]
"""What happens when a device appears on a second connection:

* ``replace``: the old connection loses it, and is closed if it has no other. A device that lost its network comes back
  long before its old connection is found dead.
* ``reject``: the new connection is refused as long as the old one lives.
* ``allow``: it has both.
"""

UnknownDevice = Literal["accept", "reject", "quarantine"]
"""What happens to a device that is neither configured, nor approved, nor found by a lookup:

* ``accept``: it becomes a device like any other.
* ``reject``: its connection is refused.
* ``quarantine``: it stays connected and is listed, but its messages go nowhere until somebody approves it.
"""

MAX_DEVICE_ID_BYTES = 128
"""UTF-8 bytes of a device id; leaves half of a topic's 255 for what stands around it."""


def validate_device_id(text: str) -> DeviceId:
    """Return ``text`` as a device id.

    Args:
        text: 1 to 128 bytes in UTF-8, no ``/``, ``+`` or ``#``, no control characters (U+0000 to U+001F, U+007F to
            U+009F), no invisible ones (Unicode's categories Cf, Zl and Zp, such as U+200B, U+202E, U+2028 and U+FEFF),
            neither ``.`` nor ``..``.

    Raises:
        DeviceIdError: it breaks one of these rules; says what to do.
    """
    if not text:
        raise DeviceIdError(text, "it is empty", "identify the device by its IMEI, serial number or client certificate")
    # Characters first: an id of a megabyte must not be encoded to learn that it is too long.
    size = len(text)
    if size <= MAX_DEVICE_ID_BYTES and not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise DeviceIdError(text, "it contains a surrogate, which UTF-8 cannot express", _DECODE) from None
    if size > MAX_DEVICE_ID_BYTES:
        hint = "identify the device by something shorter, or by a hash of it"
        raise DeviceIdError(text, f"it is longer than {MAX_DEVICE_ID_BYTES} bytes", hint)
    for character in "/+#":
        if character in text:
            hint = "replace it, for example by '-': the id is one level of a topic"
            raise DeviceIdError(text, f"it contains {character!r}", hint)
    if text in (".", ".."):
        hint = "write something before it: URLs take it for a folder, encoded or not (WHATWG URL, dot segments)"
        raise DeviceIdError(text, f"it is {text!r}", hint)
    if not text.isprintable():
        for character in text:
            kind = category(character)
            if kind == "Cc":
                raise DeviceIdError(text, "it contains a control character", _DECODE)
            if kind in _INVISIBLE:
                hint = "strip it: the id would look like another's, which somebody might let in for it"
                raise DeviceIdError(text, f"it contains the invisible character U+{ord(character):04X}", hint)
    return DeviceId(text)


def validate_device_pattern(text: str) -> str:
    """Return ``text``: a device id, or the beginning of some and a final ``*``, none at all included.

    Raises:
        DeviceIdError: no device id can match it; says why, and what to do.
    """
    if text not in ("*", ".*", "..*"):
        validate_device_id(text.removesuffix("*"))
    return text


_INVISIBLE = frozenset({"Cf", "Zl", "Zp"})
_DECODE = "decode the bytes of the frame first: as text, as BCD digits or as hexadecimal"
