"""The shape of the source, checked: layers, purity, mirrored tests, sizes and exports.

Everything here is read with `ast`, so that imports inside functions and under ``if TYPE_CHECKING`` count too.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "portcast"
TESTS = ROOT / "tests"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

PURE = ("framing", "codecs", "topics", "history", "delivery", "devices", "recorder", "centrifuge", "proxy")
"""Packages that know no loop, socket, log or clock; independent of each other."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "process_events", "refusals", "store_errors", "types", "publication", "events", "version"),
    PURE,
    (
        "config",
        "http_options",
        "option_values",
        "address",
        "listen_url",
        "topic_table",
        "brokers.base",
        "centrifuge_options",
        "permissions",
        "api_keys",
    ),  # the design's "1+": may see the pure packages' options
    ("runtime", "brokers"),
    ("web", "handlers", "observability"),
    (
        *(
            "gateway",
            "settings",
            "device_table",
            "server",
            "http_socket",
            "http_tls",
            "http_entrance",
            "hangup",
            "process_end",
        ),
        *("signals", "hooks", "posture", "posture_devices", "posture_http", "posture_view"),
    ),
    ("cli", "dashboard", "testing"),
    ("portcast",),  # the root re-exports
)
"""Bottom first. A unit is a package or a module directly under ``portcast``; ``brokers.base`` stands alone because the
runtime may see the interface and never an implementation."""

TOGETHER = (0, 2, 5)
"""Layers whose units may import each other; in all others siblings are independent."""

IMPURE = frozenset(
    {
        *("asyncio", "anyio", "uvloop", "select", "selectors", "signal", "contextvars", "concurrent", "threading"),
        *("socket", "socketserver", "ssl", "fastapi", "starlette", "uvicorn", "websockets", "queue", "multiprocessing"),
        *("time", "sched", "random", "secrets", "uuid", "logging", "os", "sys", "subprocess"),
    }
)
"""What a pure package must not import: loops, sockets, logs, clocks, chance, threads, the environment."""

FORBIDDEN_IMPORTS = {
    "fastapi.dependencies.utils": "private to FastAPI; `Depends` is compiled by portcast.handlers",
    "fastapi._compat": "private to FastAPI",
    "asyncio.wait_for": "it may swallow a cancellation; use asyncio.timeout",
    "pickle": "runs code from data",
    "marshal": "crashes on foreign data",
    "shelve": "is pickle",
}
FORBIDDEN_CALLS = ("eval", "exec", "compile", "__import__")

WITHOUT_TEST_FILE = {
    "types": "names for ids; nothing runs",
    "devices.presence": "values; nothing runs",
    "version": "one constant; nothing runs",
    "runtime.session": "interfaces; tested through portcast.handlers and runtime.connection",
}
"""Modules that need no test file of their own, and why. Kept honest by a test below."""


def _modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _name(path: Path) -> str:
    """``src/portcast/framing/lines.py`` -> ``portcast.framing.lines``; a package is named without ``__init__``."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and full name of everything imported: ``from a.b import c`` is ``a.b.c``."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def _unit(name: str) -> str:
    """The entry of LAYERS that ``portcast.…`` belongs to; ``from portcast import Gateway`` is the root's."""
    parts = name.split(".")[1:]
    if not parts or not ((SOURCE / parts[0]).is_dir() or (SOURCE / f"{parts[0]}.py").exists()):
        return "portcast"
    return "brokers.base" if parts[:2] == ["brokers", "base"] else parts[0]


def _rank(unit: str) -> int | None:
    return next((rank for rank, units in enumerate(LAYERS) if unit in units), None)


def _is_allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    low, high = _rank(imported), _rank(importer)
    if low is None or high is None:
        return False
    return low < high or (low == high and high in TOGETHER)


@pytest.mark.parametrize(
    ("importer", "imported", "is_allowed"),
    [
        ("runtime", "framing", True),
        ("runtime", "brokers.base", True),
        ("runtime", "brokers", False),
        ("runtime", "web", False),
        ("runtime", "handlers", False),
        ("framing", "codecs", False),
        ("framing", "errors", True),
        ("errors", "framing", False),
        ("config", "framing", True),
        ("history", "config", False),
        ("devices", "types", True),
        ("devices", "topics", False),
        ("devices", "codecs", False),
        ("config", "devices", True),
        ("runtime", "devices", True),
        ("web", "handlers", False),
        ("gateway", "web", True),
        ("cli", "gateway", True),
        ("gateway", "cli", False),
        ("gateway", "portcast", False),
    ],
)
def test_the_layer_rule_itself(importer: str, imported: str, is_allowed: bool) -> None:
    """The rule forbids what the design forbids, so that a quiet layer test means something."""
    assert _is_allowed(importer, imported) is is_allowed


def test_every_module_has_a_layer() -> None:
    """A new package or top module must say where it stands before anything imports it."""
    homeless = {_unit(_name(path)) for path in _modules() if _rank(_unit(_name(path))) is None}
    assert not homeless - {"__main__"}, "give these a place in LAYERS"


def test_imports_go_down_the_layers() -> None:
    """Imports go down, siblings are independent; typing imports count (design: layers)."""
    wrong = []
    for path in _modules():
        importer = _unit(_name(path))
        if importer == "__main__":
            continue
        for line, name in _imports(path):
            if name != "portcast.__version__" and (name == "portcast" or name.startswith("portcast.")):
                imported = _unit(name)
                if not _is_allowed(importer, imported):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {importer} must not import {imported} ({name})")
    assert not wrong, "\n".join(wrong)


def test_pure_packages_know_no_loop_socket_log_or_clock() -> None:
    """Time, chance and I/O arrive as arguments, so every decision can be tested without waiting."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for package in PURE
        for path in sorted((SOURCE / package).rglob("*.py"))
        for line, name in _imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.row(24, 67)
def test_nothing_imports_what_is_forbidden() -> None:
    """Private FastAPI modules, unsafe deserialisers and `asyncio.wait_for` stay out."""
    wrong = []
    for path in _modules():
        names = [*_imports(path), *_attributes(path)]
        for line, name in names:
            for forbidden, why in FORBIDDEN_IMPORTS.items():
                if name == forbidden or name.startswith(f"{forbidden}."):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {name}: {why}")
    assert not wrong, "\n".join(wrong)


def _attributes(path: Path) -> Iterator[tuple[int, str]]:
    """Yield ``module.name`` for each attribute taken from a plain name: ``asyncio.wait_for``."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def test_nothing_makes_code_from_text() -> None:
    """No eval, exec, compile or __import__."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.func.id}()"
        for path in _modules()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
    ]
    assert not wrong, "\n".join(wrong)


def _test_file(path: Path) -> Path:
    relative = path.relative_to(SOURCE)
    return TESTS / relative.parent / f"test_{relative.name}"


def _mirrored_modules() -> list[Path]:
    return [path for path in _modules() if path.name not in {"__init__.py", "__main__.py"}]


def test_each_module_has_its_test_file_in_the_mirrored_place() -> None:
    """``src/portcast/a/b.py`` is tested by ``tests/a/test_b.py``."""
    missing = [
        str(_test_file(path).relative_to(ROOT))
        for path in _mirrored_modules()
        if _name(path).removeprefix("portcast.") not in WITHOUT_TEST_FILE and not _test_file(path).exists()
    ]
    assert not missing, "missing: " + ", ".join(missing)


@pytest.mark.parametrize("module", WITHOUT_TEST_FILE)
def test_exemptions_from_the_mirror_have_nothing_to_run(module: str) -> None:
    """A module that may do without a test file has nothing to run: no function with a body."""
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    assert path.exists()
    with_body = [
        node.name
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_stub(node)
    ]
    assert not with_body, f"{module} has something to test: {with_body}"


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) for child in node.body)


def _written_files(*folders: str) -> list[Path]:
    kinds = ("*.py", "*.js", "*.css")
    return sorted(path for folder in folders for kind in kinds for path in (ROOT / folder).rglob(kind))


def test_files_are_short() -> None:
    """A file has one subject and at most 400 lines. Tests are exempt: one module's tests stay in one file."""
    files = _written_files("src", "scripts", "examples", "benchmarks", "fuzzing")
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    wrong = [f"{path.relative_to(ROOT)}: {length}" for path, length in lengths.items() if length > MAX_FILE_LINES]
    assert not wrong, "\n".join(wrong)


def test_functions_are_short() -> None:
    """A function has at most 60 lines, docstring included."""
    wrong = []
    for path in _written_files("src", "scripts", "examples", "benchmarks", "fuzzing", "tests"):
        if path.suffix != ".py":
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {length}")
    assert not wrong, "\n".join(wrong)


def _packages() -> list[Path]:
    return sorted(SOURCE.rglob("__init__.py"))


@pytest.mark.parametrize("path", _packages(), ids=_name)
def test_init_only_re_exports(path: Path) -> None:
    """A package's ``__init__`` holds imports and an ``__all__`` that names exactly these; it computes nothing."""
    body = _tree(path).body
    exported: set[str] = set()
    declared: list[str] | None = None
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # docstring
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), "name what is exported"
            if node.module != "__future__":
                exported |= {alias.asname or alias.name for alias in node.names}
            continue
        assert isinstance(node, ast.Assign), f"line {node.lineno}: only imports and __all__ belong here"
        (target,) = node.targets
        assert isinstance(target, ast.Name)
        if target.id == "__version__":
            assert isinstance(node.value, ast.Constant), "hatch reads the version as text"
            exported.add("__version__")
        else:
            assert target.id == "__all__", f"line {node.lineno}: only imports and __all__ belong here"
            declared = ast.literal_eval(node.value)
    if declared is None:
        assert not exported - {"__version__"}, "__all__ is missing"
        return
    assert len(declared) == len(set(declared)), "__all__ names something twice"
    assert set(declared) | {"__version__"} == exported | {"__version__"}
    module = importlib.import_module(_name(path))
    assert all(hasattr(module, name) for name in declared)
