"""Suites that others wrote, against our source and our HTTP API: bandit and schemathesis.

They are installed into ``.cache/audits/`` (pinned in ``tests/audits/requirements.txt``) and reused. What they find and
is not listed here with its reason fails; so does an exception for bandit that nothing needs any more.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

from conformance import NotThere, _run, _uv

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "audits"
WANTED = ROOT / "tests" / "audits" / "requirements.txt"
SSLYZE = ROOT / ".cache" / "sslyze"
SSLYZE_WANTED = ROOT / "tests" / "audits" / "sslyze.txt"
BIN = Path(sys.executable).parent
LIMIT_S = 150
KEY = "operator-key-of-the-audit"

BANDIT = {
    ("B101", "src/*"): "assert guards our own invariants; what users and peers do wrong raises (CONTRIBUTING)",
    ("B104", "src/portcast/address.py"): "compared, to see whether two addresses overlap; nothing is bound",
    ("B104", "src/portcast/cli/summary.py"): "compared, to show an address that a client can connect to",
    ("B105", "src/portcast/centrifuge_options.py"): "the word True of is_secret, which hides an option's value",
    ("B105", "src/portcast/config.py"): "as above",
    ("B105", "src/portcast/settings.py"): "the name of a variable",
    ("B107", "src/portcast/web/sdk_rules.py"): "the empty text: no token was shown",
    ("B311", "src/portcast/cli/backoff.py"): "jitter of reconnects",
    ("B311", "src/portcast/cli/fleet.py"): "simulated readings",
    ("B311", "src/portcast/testing/*"): "seeded, so that a test that fails fails again",
    ("B311", "src/portcast/web/keepalive.py"): "spreads pings over time",
    ("B311", "src/portcast/web/sdk_node.py"): "spreads deadlines over time",
}
"""Findings by test and file that are no faults, with the reason."""

SCHEMATHESIS = {
    "positive_data_acceptance": "a schema cannot say what topics and positions are",
    "unsupported_method": "a topic may end in history, so POST /api/topics/a/history publishes (web/api.py)",
    "allow_header_conformance": "Starlette answers 405 with the methods of the first route of a path only",
}
"""Checks that are left out, with the reason."""

STREAMS = "^/events"
"""Paths that never end, which schemathesis would wait for."""


def install() -> None:
    """Install the suites unless that has happened.

    Raises:
        NotThere: a package index could not be reached.
    """
    _install(CACHE, WANTED)


def install_sslyze() -> Path:
    """Install sslyze unless that has happened, and return its program; for `make hostile`.

    Raises:
        NotThere: a package index could not be reached.
    """
    _install(SSLYZE, SSLYZE_WANTED)
    return SSLYZE / "venv" / "bin" / "sslyze"


def _install(folder: Path, requirements: Path) -> None:
    done = folder / "installed.txt"
    wanted = requirements.read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    _run([_uv(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder / "venv"])
    _run([_uv(), "pip", "install", "--quiet", "--python", python, "-r", requirements])
    done.write_text(wanted, "utf-8")


def bandit() -> list[str]:
    """Return what bandit finds in our source that is not excepted, and exceptions that nothing needs."""
    found = _output([CACHE / "venv/bin/bandit", "--quiet", "--recursive", "--format", "json", "src"])
    wrong = []
    used = set()
    for one in json.loads(found)["results"]:
        key = next((key for key in BANDIT if key[0] == one["test_id"] and fnmatch(one["filename"], key[1])), None)
        if key is None:
            wrong.append(f"bandit: {one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}")
        used.add(key)
    return wrong + [f"bandit: the exception {key} is not needed any more" for key in BANDIT if key not in used]


def schemathesis() -> list[str]:
    """Return what schemathesis finds: as installed, with keys as an operator, and with keys as nobody."""
    guarded = f'[keys.audit]\nsecret = "sha256:{sha256(KEY.encode()).hexdigest()}"\nrole = "operator"\n'
    runs = {"as installed": ("", ""), "as an operator": (guarded, KEY), "as nobody": (guarded, "")}
    wrong = []
    for name, (settings, key) in runs.items():
        with _gateway(settings) as url:
            wrong += [f"schemathesis, {name}: {line}" for line in _schemathesis(url, key, CACHE / f"report {name}.txt")]
    return wrong


def _schemathesis(url: str, key: str, report: Path) -> Iterator[str]:
    command = [
        CACHE / "venv/bin/schemathesis",
        "run",
        f"{url}/openapi.json",
        *("--checks", "all", "--exclude-checks", ",".join(SCHEMATHESIS), "--exclude-path-regex", STREAMS),
        *("--max-examples", "20", "--seed", "1", "--request-timeout", "20", "--no-color", "--workers", "1"),
        *(("--header", f"Authorization: Bearer {key}") if key else ()),
    ]
    done = subprocess.run(  # noqa: S603 - a fixed command
        [str(one) for one in command], cwd=CACHE, env=_environment(), capture_output=True, text=True, timeout=LIMIT_S
    )
    report.write_text(done.stdout + done.stderr, "utf-8")
    if done.returncode:
        found = [line.strip() for line in done.stdout.splitlines() if line.startswith("- ")]
        yield from found or [done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()]
        yield f"the whole report is in {report.relative_to(ROOT)}"


def _environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("PORTCAST_")}, "NO_PROXY": "127.0.0.1"}


@contextmanager
def _gateway(settings: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = CACHE / "gateway.toml"
    file.write_text("listen = []\n" + settings, "utf-8")
    command = [str(BIN / "portcast"), "serve", "--http", f"127.0.0.1:{port}", str(file)]
    process = subprocess.Popen(  # noqa: S603 - a fixed command
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health/ready", process)
        yield f"http://127.0.0.1:{port}"
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with status {process.returncode}")
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    if "Traceback" in log:
        raise RuntimeError(f"the gateway logged a traceback:\n{log[-2000:]}")


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(200):
        try:
            direct.open(url, timeout=2).close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None:
                raise RuntimeError("the gateway did not start") from None
            time.sleep(0.05)
    raise RuntimeError("the gateway did not become ready")


def _output(command: Sequence[str | Path]) -> str:
    return subprocess.run(  # noqa: S603 - a fixed command
        [str(one) for one in command], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    ).stdout


__all__ = ["NotThere", "bandit", "install", "install_sslyze", "schemathesis"]
