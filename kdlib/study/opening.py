"""How a notebook opens its chapter: with the parameters of its first cell, and no others.

What it shows gets its look here too, since JupyterLab has no style sheet of the book's.
"""

import ast
import os
import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import HTML, display

from kdlib.errors import unknown
from kdlib.study.chapter import BOOK, Chapter, check_roles
from kdlib.study.setting import ROOT, Setting

PARAMETERS = ("profile", "dataset", "data", "seeds", "device")
INJECTED = "# Parameters\n"  # how the cell begins that papermill adds


def open_chapter(
    name: str,
    profile: str = "laptop",
    dataset: str = "generated",
    data: str = "",
    seeds: int = 0,
    device: str = "cpu",
) -> Chapter:
    """A chapter at these parameters, which are fields of `Setting`.

    UserError for a name that papermill was given and no notebook has (papermill itself only warns),
    and for a real set that the chapter does not read.
    """
    if shell := get_ipython():
        check_names(shell.user_ns["In"])
        look = (BOOK / "_site" / "static" / "artifacts.css").read_text(encoding="utf-8")
        display(HTML(f"<style>\n{look}</style>"))
        warnings.showwarning = partial(_shown, otherwise=warnings.showwarning)
    chapter = Chapter(name, Setting(profile, dataset, data, seeds, device))
    # `reproduce` has checked the roles of all its chapters: another one may be who reads a set.
    if os.environ.get("KDLIB_TRAIN") != "never":
        check_roles([chapter])
    return chapter


def _shown(
    message: Warning | str, category: type[Warning], file: str, *more: Any, otherwise: Any
) -> None:
    """A warning of this library's, on a page, in words alone; of others as they are."""
    if Path(file).is_relative_to(ROOT / "kdlib"):
        _note(str(message))
    else:
        otherwise(message, category, file, *more)


@cache
def _note(text: str) -> None:
    """Once a notebook, and not by stderr, which looks like an error there."""
    print(f"note: {text}")


def check_names(cells: list[str]) -> None:
    """Refuse what the last cell of papermill among these sets besides `PARAMETERS`."""
    injected = [cell for cell in cells if cell.startswith(INJECTED)]
    for node in ast.walk(ast.parse(injected[-1] if injected else "")):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if ast.unparse(target) not in PARAMETERS:
                    raise unknown("parameter", ast.unparse(target), PARAMETERS)
