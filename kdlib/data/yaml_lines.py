"""YAML files of plain values, with the line of every key; what would take gigabytes is refused."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kdlib.errors import UserError

# The longest list of classes there is, 22,000 of ImageNet, takes half of this.
_MOST_BYTES = 1_000_000
_MOST_EVENTS = 100_000
_DEEPEST = 20

# Written in C where PyYAML was built so: ten times as fast on the long lists of classes.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text(path: Path) -> str:
    """The text of a YAML file; UserError if it is none, or too long."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"manifest {path}: not a plain file")
        if found.st_size > _MOST_BYTES:
            raise UserError(f"manifest {path}: larger than {_MOST_BYTES:,} bytes; not read")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"manifest {path}: {' '.join(str(error).split())}") from error


def parsed(path: Path, text: str) -> tuple[dict[str, Any], dict[tuple, int]]:
    """The mapping that a YAML text holds, and the line, from 1, of every key and item by its place.

    UserError with file and line for damage, aliases, tags, keys that are no text or stand twice,
    and for more than 100,000 entries or 20 levels.
    """
    try:
        _look_through(text)
        node = yaml.compose(text, Loader=_Loader)
        lines = dict(_lines(node))
        content = _Loader("").construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"manifest {path}, line {line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"manifest {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"manifest {path}: not a mapping of keys to values")
    return content, lines


def _look_through(text: str) -> None:
    """Refuse, before anything is built, aliases, and what is too deep or too much."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases (*name) are not read; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or number > _MOST_EVENTS:
            raise ValueError(f"more than {_DEEPEST} levels or {_MOST_EVENTS:,} entries; not read")


def _lines(node: yaml.Node | None, path: tuple = ()) -> Iterator[tuple[tuple, int]]:
    """The line, from 1, of every key and item of a document."""
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a word"
            elif key.tag != "tag:yaml.org,2002:str":
                problem = f"the key {key.value} is no text to YAML; quote it"
            else:
                problem = f"{key.value}: stands twice" if key.value in seen else ""
            if problem:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*path, index))
