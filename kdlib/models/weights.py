"""Weights of a file, as projects publish them: tensors by name, and nothing of it is run."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdlib.errors import UserError

# Under which a checkpoint may hold its tensors, beside an epoch, arguments and the like.
_INSIDE = ("model", "module", "state_dict", "model_state", "model_state_dict")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors by name of a `.safetensors` file or of one that torch saved, on the CPU.

    They may lie one level deeper, as in a checkpoint, and be named for DataParallel ("module.").
    UserError for what holds no tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: no checkpoint of weights: {reason}") from None
    if isinstance(content, Mapping):
        content = next((content[key] for key in _INSIDE if key in content), content)
    named = isinstance(content, Mapping) and all(isinstance(v, Tensor) for v in content.values())
    if not named or not content:
        raise UserError(f"{path}: no checkpoint of weights: it holds no tensors by name")
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def check_weights(
    what: str, found: Mapping[str, Tensor], ours: Mapping[str, Tensor], why: str
) -> None:
    """UserError unless both have the same names and shapes; it says `what`, `why`, and the first
    four faults."""
    faults = [f"{name} is missing" for name in ours if name not in found]
    faults += [f"{name} has no place" for name in found if name not in ours]
    faults += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(ours[name].shape)}"
        for name in ours
        if name in found and found[name].shape != ours[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise UserError(f"{what}: {why}: {'; '.join(faults[:4])}{more}")
