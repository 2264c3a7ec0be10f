"""What functions of the app raise to say no to a client; see `portcast.hooks`."""

from __future__ import annotations

import json

from portcast.errors import ConfigurationError, PortcastError


class Refuse(PortcastError):
    """Raise it in a hook to refuse what an SDK client asks; the connection goes on.

    Attributes:
        code: 100 to 113, those of the protocol (`portcast.centrifuge.codes`), or 400 to 1999, the app's own.
        message: what the client is told; empty for the protocol's own text.
        temporary: True if the client may try again.
    """

    def __init__(self, code: int, message: str = "", *, temporary: bool = False) -> None:
        if not (100 <= code <= 113 or 400 <= code <= 1999):
            raise ConfigurationError(f"Refuse({code})", "no client expects this code", "use 100 to 113, or 400 to 1999")
        self.code = code
        self.message = message
        self.temporary = temporary
        super().__init__(f"refused with {code}" + (f": {message}" if message else ""))


class DisconnectClient(PortcastError):
    """Raise it in a hook to end the connection of an SDK client.

    Attributes:
        code: 3000 to 3499 and 4000 to 4499 let the client connect again; after 3500 to 3999 and 4500 to 4999 it stays
            away. From 4000 on they are the app's own.
        reason: plain words, 1 to 123 bytes in UTF-8.
    """

    def __init__(self, code: int, reason: str) -> None:
        if not 3000 <= code <= 4999:
            raise ConfigurationError(f"DisconnectClient({code})", "no client expects this code", "use 3000 to 4999")
        # RFC 6455 §5.5.1; and centrifuge-js takes a reason that is JSON for advice, and an empty one for none.
        if not 1 <= len(reason.encode()) <= 123 or _is_json(reason):
            raise ConfigurationError(
                f"DisconnectClient({code})", f"{reason[:80]!r} is not a reason", "use 1 to 123 bytes of plain words"
            )
        self.code = code
        self.reason = reason
        super().__init__(f"disconnected with {code}: {reason}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
