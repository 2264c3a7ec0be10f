r"""The tutorial that everything started from: three TCP ports into one live WebSocket, finished.

```sh
uvicorn examples.tutorial_ports:app
printf 'hello\n' | nc -q1 127.0.0.1 8001        # appears on ws://127.0.0.1:8000/ws and on the page
```
"""

from fastapi import FastAPI

from portcast import Gateway, LineFraming

gateway = Gateway()
for port in (8001, 8002, 8003):
    gateway.relay(f"tcp://127.0.0.1:{port}", framing=LineFraming(), topic=f"tcp/{port}")

app = FastAPI(title="Three ports")
app.include_router(gateway)
