"""The gateway of ``gateway.toml``, in an app that has what no file can say: ``app.py --http HOST:PORT``.

* Calls: ``echo`` gives back its data, ``refuse`` fails with error 1234, ``wait`` takes 300 ms.
* ``POST /tagged/{topic}?key=value`` publishes the body with the query as tags, and returns the offset.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from fastapi import FastAPI, Request

from portcast import server
from portcast.cli.serve import make_gateway
from portcast.refusals import Refuse
from portcast.settings import load_settings

WAIT_S = 0.3

settings = load_settings(Path(__file__).with_name("gateway.toml"), os.environ, http=sys.argv[-1])
gateway = make_gateway(settings)
app = FastAPI()


@gateway.rpc("echo")
def echo(data: bytes) -> bytes:
    return data


@gateway.rpc("refuse")
def refuse() -> None:
    raise Refuse(1234, "refused")


@gateway.rpc("wait")
async def wait() -> None:
    await asyncio.sleep(WAIT_S)


@app.post("/tagged/{topic:path}")
async def tagged(topic: str, request: Request) -> int:
    return (await gateway.publish(topic, await request.body(), tags=dict(request.query_params))).offset


# The routes of the app come first: the gateway has some that match anything.
app.include_router(gateway)

if __name__ == "__main__":
    sys.exit(server.serve(app, gateway, http=settings.http, options=settings.http_options))
