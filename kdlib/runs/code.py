"""A hash of the code a run uses, blind to comments and docstrings: prose never retrains."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_hash(modules: Iterable[str]) -> str:
    """SHA-256 over these modules and all `kdlib` modules they import, directly or not."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _imports(name)
    text = "".join(f"{name}\n{_tree(name)}\n" for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()


def _file(name: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


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
    found = []
    for node in ast.walk(_parse(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(m for m in found if m.split(".")[0] == PACKAGE.name and _file(m))
