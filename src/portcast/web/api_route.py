"""Headers of every answer of ``/api``, whatever it says: refusals and faults of parameters included."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope, Send

HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What is told is of now, and may be for this client alone (RFC 9111 §5.2.2.5); and it is the type that it says."""


class ApiRoute(APIRoute):
    """A route whose answers nobody keeps or takes for something else."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see Starlette."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await super().handle(scope, receive, send_with_headers)
