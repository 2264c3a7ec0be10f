"""`python -m fuzzing SECONDS [TARGET…]`: fuzz all targets, two at a time, in so many seconds altogether.

atheris has wheels for CPython 3.11 alone. It is installed into ``.cache/fuzzing/`` and reused, as is the corpus that it
finds. What breaks a promise is kept in ``.cache/fuzzing/findings/``, and ``python -m fuzzing TARGET FILE`` replays it.
Exit status 1: something was found.
"""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "fuzzing"
CORPUS, FINDINGS, LOGS = CACHE / "corpus", CACHE / "findings", CACHE / "logs"
ATHERIS = "atheris==3.0.0"
PYTHON = (3, 11)
TOGETHER = 2
"""Targets that run at the same time."""
INPUT_BYTES = 4096
INPUT_LIMIT_S = 10
MEMORY_MIB = 600
"""Of the whole process; it begins with about 150."""
INSTALL_LIMIT_S = 240


def main(arguments: list[str]) -> int:
    """Fuzz, or replay, or be the process of one target."""
    # The targets use the kits of our own tests.
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(CACHE / "atheris")]
    if arguments[0] == "--one":
        return _one(arguments[1], float(arguments[2]))
    if len(arguments) == 2 and Path(arguments[1]).is_file():
        from fuzzing.targets import TARGETS

        TARGETS[arguments[0]].run(Path(arguments[1]).read_bytes())
        return 0
    if reason := _install():
        print(f"fuzz: not run: {reason}")
        return 0
    return _all(float(arguments[0]), arguments[1:])


def _install() -> str:
    """Install atheris unless that has happened; return why it is not there, or nothing."""
    if sys.version_info[:2] != PYTHON:
        return f"atheris has wheels for CPython 3.11 only, and this is {sys.version.split()[0]}"
    folder = CACHE / "atheris"
    if (folder / "atheris").exists():
        return ""
    uv = max((ROOT / ".tools").glob("uv-*/bin/uv"))
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder, "--no-deps", ATHERIS]
    try:
        subprocess.run(command, check=True, timeout=INSTALL_LIMIT_S, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        return f"{ATHERIS} could not be installed: {error.stderr.strip().splitlines()[-1]}"
    except subprocess.TimeoutExpired:
        return f"{ATHERIS} could not be installed within {INSTALL_LIMIT_S} s"
    return ""


def _all(seconds: float, names: list[str]) -> int:
    from fuzzing.targets import TARGETS

    waiting = names or list(TARGETS)
    each = seconds * min(TOGETHER, len(waiting)) / len(waiting)
    print(f"fuzz: {len(waiting)} targets, {each:.0f} s each: {', '.join(waiting)}", flush=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    found = []
    try:
        while waiting or running:
            while waiting and len(running) < TOGETHER:
                name = waiting.pop(0)
                with (LOGS / f"{name}.txt").open("wb") as log:
                    command = [sys.executable, "-m", "fuzzing", "--one", name, str(each)]
                    running[name] = subprocess.Popen(
                        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
            for name in [name for name, one in running.items() if one.poll() is not None]:
                status = running.pop(name).returncode
                found += [name] if status else []
                print(f"fuzz: {name}: {_said(name, status)}", flush=True)
            time.sleep(0.2)
    finally:
        for one in running.values():
            one.kill()
            one.wait()
    return 1 if found else 0


def _said(name: str, status: int) -> str:
    log = LOGS / f"{name}.txt"
    lines = log.read_text("utf-8", "replace").splitlines()
    if status:
        what = next((line for line in lines if "Test unit written to" in line), lines[-1] if lines else "")
        return f"FAILED, see {log.relative_to(ROOT)}: {what.strip()}"
    return next((line for line in reversed(lines) if line.startswith("Done ")), "done")


def _one(name: str, seconds: float) -> int:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["portcast", "fuzzing"]):
        from fuzzing.targets import TARGETS
    target = TARGETS[name]
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # of this process alone: every other input is an error
    for folder in (corpus := CORPUS / name, FINDINGS):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(
        [
            "fuzzing",
            str(corpus),
            f"-max_total_time={seconds:.0f}",
            f"-max_len={INPUT_BYTES}",
            f"-timeout={INPUT_LIMIT_S}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-artifact_prefix={FINDINGS}{os.sep}{name}-",
        ],
        target.run,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["600"]))
