"""A handler per connection: people who type into `nc` talk to each other and to the browsers.

```sh
uvicorn examples.chat:app
nc 127.0.0.1 8001
```
"""

from fastapi import FastAPI

from portcast import Connection, Gateway, LineFraming

gateway = Gateway()
room: set[Connection] = set()


@gateway.listen("tcp://127.0.0.1:8001", framing=LineFraming(ending="any", strip=True, skip_empty=True))
async def on_visitor(connection: Connection) -> None:
    """Called once per connection, for as long as it lasts."""
    await connection.send(b"your name?")
    try:
        name = (await anext(connection)).decode(errors="replace")[:40]
    except StopAsyncIteration:
        return
    room.add(connection)
    try:
        await say(f"{name} is here")
        async for line in connection:
            await say(f"{name}: {line.decode(errors='replace')}")
    finally:
        room.discard(connection)
        await say(f"{name} has left")


async def say(text: str) -> None:
    """Tell everybody; who does not keep up misses the line and holds nobody up."""
    for visitor in list(room):
        if visitor.is_open:
            visitor.send_nowait(text.encode())
    await gateway.publish("chat", text)


app = FastAPI(title="Chat")
app.include_router(gateway)
