"""The one training loop. It runs a method and never asks which."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdlib.clips.batches import (
    Batch,
    ClipSource,
    batches_per_epoch,
    ordered_batches,
    training_batches,
)
from kdlib.clips.datasets import DatasetSource, source_of
from kdlib.errors import UserError, unknown
from kdlib.methods.base import Epoch, Method
from kdlib.training import checkpoint as checkpoints
from kdlib.training.evaluate import judged
from kdlib.training.mixing import mixed
from kdlib.training.precision import check_bfloat16, check_device
from kdlib.training.rand_augment import rand_augmented
from kdlib.training.recipe import Recipe, layers_of, make_optimizer, set_rate

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import Precision

State = dict[str, Tensor]


@dataclass
class History:
    """What a training left behind.

    epochs: a row an epoch: mean of every part of the loss, learning rate, samples, seconds, those
        of them before the first batch (the method's `before_epoch`), and the validation score, as
        the task judges, where a validation split was given.
    best_epoch, best_state, best_own: student and method's own state of the best validation epoch,
        the earliest among equals.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_state: State = field(default_factory=dict)
    best_own: State = field(default_factory=dict)


def fit(
    method: Method,
    training: ClipSource | DatasetSource | Dataset[Any],
    recipe: Recipe,
    *,
    seed: int,
    validation: ClipSource | DatasetSource | Dataset[Any] | None = None,
    keep: Literal["last", "best"] = "last",
    device: str = "cpu",
    precision: str = "32-true",
    checkpoint: Path | None = None,
    belongs_to: str = "",
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int], None] = lambda epoch: None,
) -> History:
    """Train the method's student in place and return its history.

    training, validation: also torch data sets of one's own, of (clip, label), as `DatasetSource`
        says.
    keep: what the student has at the end, the weights of the last epoch or of the best validation
        epoch.
    checkpoint: a file from which an interrupted training goes on exactly, as if never interrupted:
        all draws come from (seed, epoch). It is written at most every `checkpoint_seconds`, and
        removed at the end. belongs_to: names this training; the checkpoint of another, or a damaged
        one, is set aside, and the training starts again.
    progress: called with the number of finished epochs.
    """
    from lightning_fabric import Fabric  # seconds to import, and only workers train

    if keep not in ("last", "best"):
        raise unknown("keep", keep, ("last", "best"))
    if keep == "best" and validation is None:
        raise UserError("keep: the best epoch is found on validation clips; give some")
    check_device(device)
    classes = getattr(method.student, "classes", None)
    training = source_of(training, classes)
    validation = None if validation is None else source_of(validation, classes)
    if precision == "bf16-mixed":
        check_bfloat16(device)
    fabric = Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]
    method.freeze(recipe.freeze)
    head, layers = getattr(method.student, "head", None), layers_of(method.student, recipe)
    optimizer = make_optimizer(method, recipe, head, layers)
    module, optimizer = fabric.setup(method, optimizer)
    module.mark_forward_method("step")
    scaling = fabric.strategy.precision
    history, first = History(), 0
    state = checkpoint and checkpoints.load(checkpoint, belongs_to, fabric.device)
    if state:
        first, history = _restore(state, method, optimizer, scaling)
    saved = time.monotonic()
    for epoch in range(first, recipe.epochs):
        torch.manual_seed(seed * 100_003 + epoch)
        method.train()
        row = _train_epoch(fabric, module, optimizer, training, recipe, seed, epoch)
        if validation is not None:
            found = judged(method, validation, device=str(fabric.device))
            row["validation_score"] = found["score"]
            if history.best_epoch < 0 or row["validation_score"] > max(
                past["validation_score"] for past in history.epochs
            ):
                history.best_epoch = epoch
                history.best_state = _copy(method.student.state_dict())
                history.best_own = _copy(method.own_state())
        history.epochs.append(row)
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            checkpoints.save(checkpoint, _state(method, optimizer, scaling, history), belongs_to)
            saved = time.monotonic()
        progress(epoch + 1)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    if keep == "best":
        method.student.load_state_dict(history.best_state)
        method.load_own_state(history.best_own)
    return history


def _train_epoch(
    fabric: "Fabric",
    module: Any,
    optimizer: torch.optim.Optimizer,
    training: ClipSource | DatasetSource,
    recipe: Recipe,
    seed: int,
    epoch: int,
) -> dict[str, float]:
    started, count, samples = time.perf_counter(), 0, 0
    device, size = fabric.device, recipe.batch_size
    method: Method = module.module
    indices = method.before_epoch(
        Epoch(epoch, recipe.epochs, len(training.videos), partial(_plain_batches, training, device))
    )
    prepared = time.perf_counter() - started
    steps = batches_per_epoch(len(training.videos) if indices is None else len(indices), size)
    sums: dict[str, Tensor] = {}
    for batch in training_batches(
        training,
        size,
        seed=seed,
        epoch=epoch,
        device=device,
        indices=indices,
        repeats=recipe.repeats,
    ):
        # An optimiser step at the rate of its middle, on the mean of its batches: of the last step
        # of an epoch there may be fewer.
        first = count // recipe.accumulate * recipe.accumulate
        group = min(recipe.accumulate, steps - first)
        set_rate(optimizer, recipe, epoch + (first + group / 2) / steps)
        batch = mixed(rand_augmented(batch, recipe), recipe, method.student)
        output = module.step(batch, epoch)
        fabric.backward(output.loss / group)
        for name, value in output.parts.items():
            sums[name] = sums[name] + value if name in sums else value
        count, samples = count + 1, samples + len(batch.indices)
        if count % recipe.accumulate == 0 or count == steps:
            if recipe.clip_norm is not None:
                fabric.clip_gradients(module, optimizer, max_norm=recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            method.after_step()
    means = {name: float(value) / count for name, value in sums.items()}
    rate = optimizer.param_groups[0]["lr"]
    seconds = time.perf_counter() - started
    return {
        **means,
        "learning_rate": rate,
        "seconds": seconds,
        "seconds_before": prepared,
        "samples": float(samples),
    }


def _copy(state: State) -> State:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _plain_batches(
    source: ClipSource | DatasetSource,
    device: torch.device,
    indices: np.ndarray | None = None,
    videos: int = 64,
) -> Iterator[Batch]:
    """Training videos, one clip each, at the test frames and the centre crop: see `Epoch`."""
    if isinstance(source, ClipSource):
        source = replace(source, sampling=replace(source.sampling, views=1))
    return ordered_batches(source, device, videos, indices)


def _state(
    method: Method, optimizer: torch.optim.Optimizer, scaling: "Precision", history: History
) -> dict[str, Any]:
    return {
        "student": method.student.state_dict(),
        "own": method.own_state(),
        "more": method.more_state(),
        "optimizer": optimizer.state_dict(),
        "scaling": scaling.state_dict(),  # of gradients in float16; of others it is empty
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "best_state": history.best_state,
        "best_own": history.best_own,
    }


def _restore(
    state: dict[str, Any],
    method: Method,
    optimizer: torch.optim.Optimizer,
    scaling: "Precision",
) -> tuple[int, History]:
    method.student.load_state_dict(state["student"])
    method.load_own_state(state["own"])
    method.load_more_state(state["more"])
    optimizer.load_state_dict(state["optimizer"])
    scaling.load_state_dict(state["scaling"])
    best, own = _copy(state["best_state"]), _copy(state["best_own"])
    return len(state["epochs"]), History(state["epochs"], state["best_epoch"], best, own)


def samples_per_second(history: History) -> float:
    """Median over the epochs after the first, which carries warm-up and compilation."""
    rows = history.epochs[1:] or history.epochs
    return float(np.median([row["samples"] / row["seconds"] for row in rows]))
