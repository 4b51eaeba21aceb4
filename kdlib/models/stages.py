"""Inner maps of a network, by the names of its modules: for probes, feature KD and CKA."""

import difflib
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from kdlib.errors import UserError


def stage_maps(
    backbone: nn.Module, run: Callable[[Tensor], object], clips: Tensor, names: Sequence[str]
) -> dict[str, Tensor]:
    """The maps (B, C, T', h, w) that modules of a backbone make while `run` sees the clips.

    names: dotted names of modules, "" is the backbone. Frames that a 2-D network holds in the
    batch axis come back as T'; of a backbone with `channels_last` the inner maps are (B, T, h, w,
    C) and are turned. Of a module that runs more than once, the last map counts.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: object, output: object) -> None:
        found[name] = _as_map(name, output, clips, last=name and _channels_last(backbone))

    hooks = []
    try:
        for name in names:
            module = find_module("stages: the backbone", backbone, name)
            hooks.append(module.register_forward_hook(partial(keep, name)))
        run(clips)
    finally:
        for hook in hooks:
            hook.remove()
    for name in names:
        if name not in found:
            raise UserError(f"stages: the module {name!r} never runs")
    return {name: found[name] for name in names}


def _channels_last(backbone: nn.Module) -> bool:
    return bool(getattr(backbone, "channels_last", False))


def _as_map(name: str, output: object, clips: Tensor, last: object) -> Tensor:
    if isinstance(output, Tensor) and output.ndim == 5:
        return output.movedim(-1, 1) if last else output
    frames = clips.shape[2]
    if isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(clips) * frames:
        output = output.movedim(-1, 1) if last else output
        return output.unflatten(0, (-1, frames)).transpose(1, 2)
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise UserError(f"stages: the module {name!r} gives no map (B, C, T, h, w) but {shape}")


def find_module(what: str, network: nn.Module, name: str) -> nn.Module:
    """The module of a network by its dotted name; UserError, which begins with `what` it is."""
    modules = dict(network.named_modules())
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        parts = ", ".join(part for part, _ in network.named_children())
        raise UserError(f"{what} has no module {name!r}; its parts: {parts}.{hint}")
    return modules[name]
