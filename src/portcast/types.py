"""Ids and small aliases that several layers share."""

from __future__ import annotations

from typing import NewType

ConnectionId = NewType("ConnectionId", str)
"""Names one accepted socket for its whole life: 12 lower-case hexadecimal digits, never reused in a process."""

ListenerName = NewType("ListenerName", str)
"""Names a listener: its address as a URL, ``tcp://127.0.0.1:8001``, unless the user gave a name."""

DeviceId = NewType("DeviceId", str)
"""Names a device for its whole life, across connections: one topic level of 1 to 128 bytes in UTF-8."""

CommandId = NewType("CommandId", str)
"""Names a command for its whole life, never reused in a process; the shell or the caller makes it up."""
