"""A Python client with the SDK `centrifuge-python`: prints a topic, and after a break what it missed.

```sh
pip install centrifuge-python
python examples/python_client.py ws://127.0.0.1:8000/portcast/connection/websocket sensors/boiler-1
```

`examples.browser_sdk:app` is a server for it. Stop it with Ctrl-C.
"""

import asyncio
import contextlib
import json
import sys

from centrifuge import Client, PublicationContext, SubscribedContext, SubscriptionEventHandler


class Printer(SubscriptionEventHandler):
    """Prints what it is told, one JSON value per line."""

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        """Called after each connection; what was missed follows, if the server still has all of it."""
        if ctx.was_recovering and not ctx.recovered:
            print("something was missed, and is gone", file=sys.stderr)
        print("subscribed", file=sys.stderr, flush=True)

    async def on_publication(self, ctx: PublicationContext) -> None:
        """Called once per publication, in order."""
        print(ctx.pub.offset, json.dumps(ctx.pub.data), flush=True)


async def main(address: str, topic: str) -> None:
    """Follow one topic for ever; the SDK connects again by itself."""
    client = Client(address)
    subscription = client.new_subscription(topic, events=Printer())
    await client.connect()
    await subscription.subscribe()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:3]))
