"""Portcast as it is measured here: ``python -m benchmarks.fan_out.portcast_server [OPTION=VALUE …]``.

One relay of lines to one topic, with the options given, served by `portcast.server` as ``portcast serve`` does.
"""

from __future__ import annotations

import sys
from typing import Any

from fastapi import FastAPI

from benchmarks.serve import end_with_parent, ready
from portcast import server
from portcast.config import Address
from portcast.gateway import Gateway


def main(options: dict[str, Any]) -> int:
    end_with_parent()
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:0", topic="lines", **options)
    app = FastAPI()
    app.include_router(gateway)
    return server.serve(
        app,
        gateway,
        http=Address("tcp", "127.0.0.1", 0),
        drain_timeout_s=2.0,
        on_ready=lambda http: ready(http.port, [one.address.port for one in gateway.listeners], "portcast"),
    )


if __name__ == "__main__":
    sys.exit(main(dict(argument.split("=", 1) for argument in sys.argv[1:])))
