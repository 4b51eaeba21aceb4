"""How alike a batch's clips are in each layer of a network: Gram matrices, taken as it runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

# Features multiplied at once: of 32 clips 1 MB, which stays in a core's cache; a GPU would spend
# its time on starting so many small products.
COLUMNS, GPU_COLUMNS = 8192, 262_144

# How far, in steps of the features' own rounding, equal features of two clips may come out apart:
# rows of a matrix product are not all summed in one order.
ROUNDINGS = 4

Gram = tuple[Tensor, Tensor]


def layer_grams(network: nn.Module, clips: Tensor, names: Iterable[str]) -> dict[str, Gram]:
    """What these modules make of clips (B, ...), by name, in the order in which they are done.

    Of each the Gram matrix, float64 (B, B), of its features less their mean over the batch (as
    float32 has it: centre the matrix again), and its floor, float64 (): the trace that rounding
    alone could give it. A trace at or below it says that the features are the same for all clips.

    One forward pass in eval mode, without gradients; modes are put back, hooks are taken away. A
    Gram matrix is taken as soon as its module is done, so that an operation in place behind it (a
    ReLU) does not change it, and no feature outlives its use. A container hands on the output of
    its last module; that matrix is not computed twice.

    Features are all floating-point tensors of a module's output, in whatever tuples, lists and
    dicts, with a first axis of B, or of a multiple of B: frames (or windows) in the batch axis, a
    clip's one after another. Modules without such a tensor are left out, and those that never run.
    Of a module that runs more than once, the last output counts.
    """
    modules = dict(network.named_modules())
    found: dict[str, Gram] = {}
    last: dict[object, tuple[Tensor, Gram]] = {}

    def see(name: str, module: nn.Module, inputs: object, output: object) -> None:
        nonlocal last
        grams = {}
        for tensor in _tensors(output):
            if not tensor.is_floating_point() or not tensor.ndim or len(tensor) % len(clips):
                continue
            # The tensor is kept as long as its key, so that its place in memory is not given away.
            key = _identity(tensor)
            grams[key] = last.get(key) or (tensor, _gram(_rows(tensor, len(clips))))
        if grams:
            parts = [gram for _, gram in grams.values()]
            found.pop(name, None)
            found[name] = parts[0] if len(parts) == 1 else _sum(parts)
        last = grams

    with _evaluating(network), _hooks(modules, names, see), torch.no_grad():
        network(clips)
    return found


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode; behind it every module is back in its own."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _hooks(
    modules: Mapping[str, nn.Module], names: Iterable[str], see: Callable[..., None]
) -> Iterator[None]:
    handles = [modules[name].register_forward_hook(partial(see, name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping | list | tuple):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors(part)


def _identity(tensor: Tensor) -> object:
    """Equal for two tensors only if they are the same numbers in the same places."""
    if tensor.is_inference():  # counts no writes
        return object()
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version


def _rows(tensor: Tensor, count: int) -> Tensor:
    """Features (count, ...) as a matrix, those of a row in the order in which they lie in memory.

    A Gram matrix does not depend on their order, and a map that lies channel last need not be
    copied.
    """
    axes = sorted(range(1, tensor.ndim), key=tensor.stride, reverse=True)
    return tensor.permute(0, *axes).reshape(count, -1)


def _gram(rows: Tensor) -> Gram:
    """Of rows (n, p) less their mean, with its floor.

    What is common to all clips would cost float32 products the digits of what is not: it is taken
    off first. So their error stays near 1e-7; pieces are added in float64.
    """
    count, kind = len(rows), _kind(rows)
    total = rows.new_zeros(count, count, dtype=torch.float64)
    mean = rows.new_full((1, count), 1 / count, dtype=kind)
    for piece in rows.split(GPU_COLUMNS if rows.is_cuda else COLUMNS, dim=1):
        piece = piece.to(kind)
        piece = piece - mean @ piece
        total += piece @ piece.T
    first = rows[0].to(kind)
    rounding = ROUNDINGS * torch.finfo(rows.dtype).eps
    return total, count * rounding**2 * first.dot(first).double()


def _kind(rows: Tensor) -> torch.dtype:
    """float32 where it is fast and multiplied as such, else float64.

    A GPU may round float32 to TF32, some CPUs to bfloat16, and autocast rounds it on either.
    """
    precision = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    rounded = (
        rows.is_cuda
        or torch.is_autocast_enabled(rows.device.type)
        or precision not in ("none", "ieee")
    )
    return torch.float64 if rounded or rows.dtype == torch.float64 else torch.float32


def _sum(grams: list[Gram]) -> Gram:
    """Of features side by side: their Gram matrices add."""
    matrices, floors = zip(*grams, strict=True)
    return torch.stack(matrices).sum(0), torch.stack(floors).sum()
