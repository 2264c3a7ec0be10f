"""How much it costs to send one message to many WebSockets, beside servers that users could take instead."""
