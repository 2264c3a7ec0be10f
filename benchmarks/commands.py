"""The other half of `benchmarks.children`: a process that takes one command a line and answers with one line.

A command is ``{"do": name, …arguments}``; the answer is the result, or ``{"error": text}``. The process ends when its
standard input does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[..., dict[str, Any]]


def answer_commands(commands: Mapping[str, Command]) -> None:
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            result = commands[arguments.pop("do")](**arguments)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)
