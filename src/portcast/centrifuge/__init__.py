"""The Centrifuge client protocol, version 2, as a server speaks it: messages, codes, codecs, session. Pure."""
