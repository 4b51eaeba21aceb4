"""Writing tables and figures: csv, md and tex, or svg and png, with their provenance."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kdlib.analysis import plots  # noqa: F401  (sets the look that files are saved with)


def write(value: pd.DataFrame | Figure, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write an artifact to `path` plus each ending; every file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, Figure):
        # A fixed salt and no date: the same figure gives the same bytes.
        for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            temporary = _temporary(path, ending)
            value.savefig(temporary, format=ending, dpi=200, bbox_inches="tight", metadata=metadata)
            os.replace(temporary, path.with_suffix(f".{ending}"))
    else:
        write_text(path.with_suffix(".csv"), value.to_csv(index=False))
        write_text(path.with_suffix(".md"), value.to_markdown(index=False) + "\n")
        write_text(path.with_suffix(".tex"), value.to_latex(index=False, escape=True))
    write_text(path.with_suffix(".json"), json.dumps(dict(provenance), indent=1))


def write_text(path: Path, text: str) -> None:
    """Write a text file through a temporary one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path, "txt")
    temporary.write_text(text)
    os.replace(temporary, path)


def _temporary(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")
