"""Writing tables and figures: csv, md and tex, or svg and png, sealed with their provenance."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kdlib.analysis import plots  # noqa: F401  (sets the look that files are saved with)
from kdlib.study.seal import seal, temporary_beside, write_text


def write(value: pd.DataFrame | Figure, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write an artifact to `path` plus each ending, then its sealed provenance (`seal`) as json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = []
    if isinstance(value, Figure):
        # A fixed salt and no date: the same figure gives the same bytes.
        for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            temporary = temporary_beside(path, ending)
            value.savefig(temporary, format=ending, dpi=200, bbox_inches="tight", metadata=metadata)
            files.append(path.with_suffix(f".{ending}"))
            os.replace(temporary, files[-1])
    else:
        texts = {
            "csv": value.to_csv(index=False),
            "md": value.to_markdown(index=False) + "\n",
            "tex": value.to_latex(index=False, escape=True),
        }
        for ending, text in texts.items():
            files.append(path.with_suffix(f".{ending}"))
            write_text(files[-1], text)
    seal(path.with_suffix(".json"), files, provenance)
