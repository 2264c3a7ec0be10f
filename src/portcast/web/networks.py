"""Refuses clients by their network, request by request: the networks of ``[http] allow`` and ``deny``.

`portcast serve` asks the same of a socket before anything is read (`portcast.http_entrance`). Here it is asked of the
address for which a trusted proxy speaks, and in applications that another server serves.
"""

from __future__ import annotations

from typing import Any

from fastapi import Depends, HTTPException
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection

from portcast.address import real_address
from portcast.config import HttpOptions
from portcast.events import ConnectionRefused, Emit
from portcast.runtime.admission import Networks
from portcast.web.hosts import CLOSE_POLICY
from portcast.web.peer import peer_of


def network_guards(options: HttpOptions, emit: Emit) -> list[Any]:
    """Return the dependencies of a gateway's router: none where no network is named.

    A client whose server gives no address is let in.
    """
    networks = Networks(options.allow, options.deny)

    async def check_network(connection: HTTPConnection) -> None:
        client = connection.client
        try:
            is_allowed = client is None or networks.allows(real_address(client.host))
        except ValueError:  # no address: a Unix socket, or a test
            return
        if is_allowed:
            return
        emit(ConnectionRefused("http", peer_of(connection.scope), "denied", ""))
        if connection.scope["type"] == "websocket":
            raise WebSocketException(CLOSE_POLICY, "network not allowed")
        raise HTTPException(403, "network not allowed")

    return [Depends(check_network)] if networks else []
