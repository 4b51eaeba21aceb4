"""How a run is trained: optimiser, schedule, epochs. A frozen dataclass and what it makes."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.optim import SGD, AdamW, Optimizer

from kdlib.errors import UserError
from kdlib.options import says_why

# What multiplies what it is given by a matrix, and may add a bias.
_LAYERS = (_ConvNd, nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase)
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@says_why
@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Recipe:
    """The optimisation of one run.

    learning_rate: the peak, for a batch of batch_size clips.
    warmup_epochs: linear rise from 0; may be a fraction.
    milestones: epochs at which a "step" schedule divides the rate by 10.
    bias_multiplier: biases of convolutions and linear layers learn at this multiple of the rate,
        those of norms do not (2 in ResKD's ResNet recipe).
    backbone_multiplier: all but the student's head learn at this multiple, a method's own
        projectors too (0.1 for Video Swin).
    layer_decay: each layer of a transformer learns at this multiple of the rate of the layer behind
        it, its head at the full one (0.75 to fine-tune ViT-B).
    beta2: of AdamW, how slowly its mean of squared gradients forgets (0.95 in masked pre-training).
    rand_augment: magnitude of RandAugment, in tenths of its largest; 0 for none. repeats: clips of
        each video of a batch, which then has so many times batch_size clips.
    mixup, cutmix, label_smoothing: see `kdlib.training.mixing`; 0 for none.
    freeze: parts of the student ("backbone", "head") that stay as they start, as for a probe.
    weight_decay: of the weights that multiply what a layer is given: of convolutions, linear
        layers, attention. Tables (of positions, of tokens) and other parameters have none.
    decay_vectors: whether weight decay acts on biases and norms too.
    accumulate: batches whose gradients are averaged into one optimiser step, at the rate of its
        middle; the last step of an epoch takes what is left.
    clip_norm: largest norm of the gradient, None for no clipping.
    """

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    bias_multiplier: float = Field(default=1.0, gt=0)
    backbone_multiplier: float = Field(default=1.0, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    rand_augment: int = Field(default=0, ge=0, le=10)
    repeats: int = Field(default=1, ge=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    freeze: tuple[Literal["backbone", "head"], ...] = ()
    decay_vectors: bool = False
    accumulate: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs} must be below epochs={self.epochs}"
            )
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError('milestones go with schedule="step", and only with it')
        return self


def rate_factor(recipe: Recipe, epoch: float) -> float:
    """The learning rate over its peak, in [0, 1], at a time in epochs (fractions allowed)."""
    if epoch < recipe.warmup_epochs:
        return epoch / recipe.warmup_epochs
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "step":
        return 0.1 ** sum(epoch >= milestone for milestone in recipe.milestones)
    progress = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def layers_of(student: nn.Module, recipe: Recipe) -> Sequence[nn.Module]:
    """The layers of a student's backbone from input to output, where the recipe needs them.

    UserError if it needs them and the backbone does not name its `layers`.
    """
    if recipe.layer_decay == 1:
        return ()
    layers = getattr(getattr(student, "backbone", None), "layers", ())
    if not layers:
        raise UserError("recipe.layer_decay: 1 for this student, as only a vit has layers in order")
    return layers


def make_optimizer(
    module: nn.Module,
    recipe: Recipe,
    head: nn.Module | None = None,
    layers: Sequence[nn.Module] = (),
) -> Optimizer:
    """The optimiser over all parameters that take a gradient, in groups by decay and rate.

    head: the part that `backbone_multiplier` does not slow down. layers: from input to output, the
        parts that `layer_decay` slows down, the first one most.
    """
    full_rate = {id(parameter) for parameter in head.parameters()} if head else set()
    slowed = {
        id(parameter): recipe.layer_decay ** (len(layers) - place)
        for place, layer in enumerate(layers)
        for parameter in layer.parameters()
    }
    seen: set[int] = set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            decay, multiplier = _decay_and_rate(owner, parameter, recipe)
            if id(parameter) not in full_rate:
                multiplier *= recipe.backbone_multiplier * slowed.get(id(parameter), 1.0)
            groups.setdefault((decay, multiplier), []).append(parameter)
    parameter_groups = [
        {"params": parameters, "weight_decay": decay, "lr": recipe.learning_rate * multiplier}
        for (decay, multiplier), parameters in groups.items()
    ]
    for group in parameter_groups:
        group["peak"] = group["lr"]
    # One kernel for all parameters: a tenth of the time. Fabric clips no gradients in float16 that
    # such an optimiser scales back.
    fused = recipe.clip_norm is None
    if recipe.optimizer == "sgd":
        momentum, nesterov = recipe.momentum, recipe.nesterov
        return SGD(parameter_groups, momentum=momentum, nesterov=nesterov, fused=fused)
    return AdamW(parameter_groups, betas=(0.9, recipe.beta2), fused=fused)


def _decay_and_rate(
    owner: nn.Module, parameter: nn.Parameter, recipe: Recipe
) -> tuple[float, float]:
    """Weight decay, and the multiple of the rate, of a parameter by the kind of its module."""
    decay, vectors_decay = recipe.weight_decay, recipe.weight_decay if recipe.decay_vectors else 0.0
    if isinstance(owner, _NORMS):
        return vectors_decay, 1.0
    if isinstance(owner, _LAYERS):
        return (decay, 1.0) if parameter.ndim > 1 else (vectors_decay, recipe.bias_multiplier)
    return 0.0, 1.0


def set_rate(optimizer: Optimizer, recipe: Recipe, epoch: float) -> None:
    """Set every group's learning rate for this time in epochs."""
    factor = rate_factor(recipe, epoch)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
