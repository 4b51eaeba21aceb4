"""A hash of the code a run uses, blind to comments and docstrings: prose never retrains."""

import ast
import hashlib
import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

# What only moves runs about, or says what happened: no number in a record can change with these.
ORCHESTRATORS = frozenset(
    {
        "kdlib.data.disk",  # words for what a disk refuses
        "kdlib.notes",
        "kdlib.runs.code",
        "kdlib.runs.datasets",  # the data have a key of their own
        "kdlib.runs.signals",
        "kdlib.runs.store",
        "kdlib.runs.worker",
    }
)


@cache
def code_hash(modules: frozenset[str]) -> str:
    """SHA-256 over `reached(modules)`."""
    names = sorted(reached(modules))
    return hashlib.sha256("".join(f"{n}\n{_tree(n)}\n" for n in names).encode()).hexdigest()


def reached(modules: Iterable[str]) -> set[str]:
    """These modules and all that they import, directly or not, without `ORCHESTRATORS`.

    Of imported packages those of `kdlib` count, and the ones that the given modules belong to: a
    method of one's own may have helpers beside it.
    """
    modules = list(modules)
    packages = frozenset({"kdlib", *(name.split(".")[0] for name in modules)})
    seen: set[str] = set()
    waiting = modules
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in ORCHESTRATORS:
            seen.add(name)
            waiting += [m for m in _imports(name) if m.split(".")[0] in packages and _file(m)]
    return seen


@cache
def _file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):  # a name inside a module, or __main__
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@cache
def _parse(name: str) -> ast.Module:
    path = _file(name)
    if path is None:
        raise ModuleNotFoundError(name)
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                item
                for item in body
                if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ]
    return tree


@cache
def _tree(name: str) -> str:
    return ast.dump(_parse(name))


@cache
def _imports(name: str) -> tuple[str, ...]:
    """What a module imports, anywhere in it, and the packages it lies in."""
    parts = name.split(".")
    found = [".".join(parts[:length]) for length in range(1, len(parts))]
    inside = parts if _file(name) and _file(name).name == "__init__.py" else parts[:-1]  # type: ignore[union-attr]
    for node in ast.walk(_parse(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            if base.split(".")[0] == "kdlib" and _is_lazy(base):
                found += [_owner(base, alias.name) for alias in node.names]
    return tuple(found)


@cache
def _is_lazy(package: str) -> bool:
    """Whether a package looks for names in its modules as they are asked for."""
    if _file(package) is None:
        return False
    functions = (node for node in _parse(package).body if isinstance(node, ast.FunctionDef))
    return any(function.name == "__getattr__" for function in functions)


def _owner(package: str, name: str) -> str:
    """The module in which a name of a package is defined."""
    return getattr(getattr(importlib.import_module(package), name, None), "__module__", package)
