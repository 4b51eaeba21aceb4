"""The one training loop. It runs a method and never asks which."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kdlib.analysis.metrics import quality, video_logits
from kdlib.clips.batches import (
    ClipSource,
    batches_per_epoch,
    plain_batches,
    training_batches,
)
from kdlib.methods.base import Epoch, Method
from kdlib.training.evaluate import predict
from kdlib.training.precision import check_bfloat16
from kdlib.training.recipe import Recipe, make_optimizer, set_rate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

State = dict[str, Tensor]


@dataclass
class History:
    """What a training left behind.

    epochs: a row an epoch: mean of every part of the loss, learning rate, samples, seconds, those
        of them before the first batch (the method's `before_epoch`), and validation accuracy (mAP
        for multi-hot labels) where a validation split was given.
    best_epoch, best_state: the student of the best validation epoch, the earliest among equals.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_state: State = field(default_factory=dict)


def fit(
    method: Method,
    training: ClipSource,
    recipe: Recipe,
    *,
    seed: int,
    validation: ClipSource | None = None,
    device: str = "cpu",
    precision: str = "32-true",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int], None] = lambda epoch: None,
) -> History:
    """Train the method's student in place and return its history.

    checkpoint: a file from which an interrupted training goes on exactly, as if never interrupted:
        all draws come from (seed, epoch). It is written at most every `checkpoint_seconds`, and
        removed at the end. progress is called with the number of finished epochs.
    """
    from lightning_fabric import Fabric  # seconds to import, and only workers train

    if precision == "bf16-mixed":
        check_bfloat16(device)
    fabric = Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]
    optimizer = make_optimizer(method, recipe)
    module, optimizer = fabric.setup(method, optimizer)
    module.mark_forward_method("step")
    history, first = History(), 0
    if checkpoint is not None and checkpoint.exists():
        first, history = _restore(checkpoint, method, optimizer, fabric.device)
    saved = time.monotonic()
    for epoch in range(first, recipe.epochs):
        torch.manual_seed(seed * 100_003 + epoch)
        method.train()
        row = _train_epoch(fabric, module, optimizer, training, recipe, seed, epoch)
        if validation is not None:
            logits = predict(method, validation, device=str(fabric.device))
            row["validation_accuracy"] = quality(video_logits(logits), validation.videos.labels)
            if history.best_epoch < 0 or row["validation_accuracy"] > max(
                past["validation_accuracy"] for past in history.epochs
            ):
                history.best_epoch = epoch
                history.best_state = _copy(method.student.state_dict())
        history.epochs.append(row)
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            _save(checkpoint, method, optimizer, history)
            saved = time.monotonic()
        progress(epoch + 1)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return history


def _train_epoch(
    fabric: "Fabric",
    module: Any,
    optimizer: torch.optim.Optimizer,
    training: ClipSource,
    recipe: Recipe,
    seed: int,
    epoch: int,
) -> dict[str, float]:
    started, count, samples = time.perf_counter(), 0, 0
    device, size = fabric.device, recipe.batch_size
    method: Method = module.module
    indices = method.before_epoch(
        Epoch(epoch, recipe.epochs, len(training.videos), partial(plain_batches, training, device))
    )
    prepared = time.perf_counter() - started
    steps = batches_per_epoch(len(training.videos) if indices is None else len(indices), size)
    sums: dict[str, Tensor] = {}
    for batch in training_batches(
        training, size, seed=seed, epoch=epoch, device=device, indices=indices
    ):
        set_rate(optimizer, recipe, epoch + (count + 0.5) / steps)
        output = module.step(batch, epoch)
        fabric.backward(output.loss / recipe.accumulate)
        for name, value in output.parts.items():
            sums[name] = sums[name] + value if name in sums else value
        count, samples = count + 1, samples + len(batch.labels)
        if count % recipe.accumulate == 0 or count == steps:
            if recipe.clip_norm is not None:
                fabric.clip_gradients(module, optimizer, max_norm=recipe.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
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


def _save(path: Path, method: Method, optimizer: torch.optim.Optimizer, history: History) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    torch.save(
        {
            "student": method.student.state_dict(),
            "own": method.own_state(),
            "optimizer": optimizer.state_dict(),
            "epochs": history.epochs,
            "best_epoch": history.best_epoch,
            "best_state": history.best_state,
        },
        temporary,
    )
    os.replace(temporary, path)


def _restore(
    path: Path, method: Method, optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[int, History]:
    state = torch.load(path, map_location=device, weights_only=True)
    method.student.load_state_dict(state["student"])
    method.load_own_state(state["own"])
    optimizer.load_state_dict(state["optimizer"])
    best = _copy(state["best_state"])
    return len(state["epochs"]), History(state["epochs"], state["best_epoch"], best)


def samples_per_second(history: History) -> float:
    """Median over the epochs after the first, which carries warm-up and compilation."""
    rows = history.epochs[1:] or history.epochs
    return float(np.median([row["samples"] / row["seconds"] for row in rows]))
