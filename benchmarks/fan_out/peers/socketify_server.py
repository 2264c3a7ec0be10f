"""uWebSockets through `socketify`: WebSocket messages in at ``/in``, out to a topic. ``python … HTTP_PORT``.

Publishing is uWebSockets' own ``publish``, which collects what one turn of its loop brings and writes it to each
subscriber at once. Messages come in over its own WebSockets and not over TCP: a TCP server in the same Python process
would share uWebSockets' loop with asyncio's and be dearer. Run by the interpreter of the peers' environment.
"""

from __future__ import annotations

import sys
from typing import Any

from socketify import App, OpCode  # type: ignore[import-not-found]  # it is in the peers' own environment

UNBOUNDED = 1 << 30


def opened(ws: Any) -> None:
    ws.subscribe("lines")


def main(http: int) -> None:
    app = App()
    app.ws("/ws", {"open": opened, "idle_timeout": 0, "max_backpressure": UNBOUNDED})
    app.ws(
        "/in",
        {
            "message": lambda ws, message, opcode: app.publish("lines", message, OpCode.TEXT),
            "idle_timeout": 0,
            "max_payload_length": 65536,
        },
    )
    app.listen({"port": http, "host": "127.0.0.1"}, lambda config: None)
    app.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
