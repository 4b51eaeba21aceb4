"""The runs on complete real data, by the networks that distillation papers print for CIFAR-100.

On clips the same networks look at every frame.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.training.recipe import Recipe

# DKD's constants for each pair are those of its own released code.
PAIRS = {
    "ResNet56 → ResNet20": (
        ModelSpec("resnet_cifar", {"depth": 56}),
        ModelSpec("resnet_cifar", {"depth": 20}),
        {"label_weight": 1.0, "alpha": 1.0, "beta": 2.0},
    ),
    "WRN-40-2 → WRN-16-2": (
        ModelSpec("wrn", {"depth": 40, "widen": 2}),
        ModelSpec("wrn", {"depth": 16, "widen": 2}),
        {"label_weight": 1.0, "alpha": 1.0, "beta": 6.0},
    ),
}
EPOCHS, BATCH = 4, 64  # of 240 epochs, so that an afternoon on one core is enough
LOW = 16  # pixels of the low resolution, of 32
RATIO = 0.5  # SAKD's share of images; for CIFAR-100 the paper does not say


@dataclass(frozen=True)
class Bed:
    """A data set, the recipe for it, and the bed that networks were trained on before, if any."""

    data: DataSpec
    recipe: Recipe
    pretrained: "Bed | None" = None
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"


def cifar(epochs: int = EPOCHS, batch: int = BATCH, **options: Any) -> Bed:
    """45,000 images to train on, 5,000 to validate.

    The published recipe, its rate in proportion to the batch, with a cosine in place of its steps
    at 150, 180 and 210 of 240 epochs. options: of the bed.
    """
    recipe = Recipe(
        epochs=epochs,
        learning_rate=0.05 * batch / BATCH,
        batch_size=batch,
        optimizer="sgd",
        nesterov=True,
        weight_decay=5e-4,
        decay_vectors=True,
        warmup_epochs=0.5,
    )
    return Bed(DataSpec("cifar100", frames=1, size=32), recipe, **options)


def on_clips(images: Bed) -> Bed:
    """JHMDB-21, by networks that were trained on images before: what ImageNet is to the papers."""
    epochs = 2 * images.recipe.epochs
    recipe = replace(images.recipe, epochs=epochs, batch_size=16, learning_rate=0.01)
    return Bed(DataSpec("jhmdb21", frames=4, size=32), recipe, images, images.precision)


CIFAR = cifar()


def direct(name: str, seed: int, *, bed: Bed = CIFAR, of: int = 1, share: float = 1.0) -> RunSpec:
    """The student (`of` 1) or the teacher (0) on labels alone, for a share of the epochs."""
    recipe = replace(bed.recipe, epochs=round(share * bed.recipe.epochs))
    # One pre-training for all seeds, as there is one ImageNet network.
    start = (
        Start(direct(name, 0, bed=bed.pretrained, of=of), "backbone") if bed.pretrained else None
    )
    model = PAIRS[name][of]
    return RunSpec(bed.data, model, recipe, seed=seed, precision=bed.precision, start=start)


def distilled(
    name: str, seed: int, method: str, *, bed: Bed = CIFAR, share: float = 1.0, **options
) -> RunSpec:
    """The student under its teacher, by a base method."""
    spec = MethodSpec(method, (direct(name, seed, bed=bed, of=0),), options)
    return replace(direct(name, seed, bed=bed, share=share), method=spec)


def adaptive(name: str, seed: int, *, bed: Bed = CIFAR, **options) -> RunSpec:
    """The student under SAKD around KD."""
    options = {"ratio": RATIO, "interval": 5, **options}
    teachers = (direct(name, seed, bed=bed, of=0),)
    method = MethodSpec("adaptive", teachers, options, base=MethodSpec("kd"))
    return replace(direct(name, seed, bed=bed), method=method)


def selections(name: str, seeds: tuple[int, ...], bed: Bed = CIFAR) -> dict[str, tuple]:
    """Labels, KD, DKD, SAKD and its controls, for one pair."""
    makers = {
        "teacher": lambda s: direct(name, s, bed=bed, of=0),
        "student, labels alone": lambda s: direct(name, s, bed=bed),
        "KD, all samples": lambda s: distilled(name, s, "kd", bed=bed),
        "DKD, all samples": lambda s: distilled(name, s, "dkd", bed=bed, **PAIRS[name][2]),
        "Ours*": lambda s: adaptive(name, s, bed=bed),
        "Ours*, random samples": lambda s: adaptive(name, s, bed=bed, pick="random"),
        "KD, steps of Ours*": lambda s: distilled(name, s, "kd", bed=bed, share=RATIO),
        "Ours": lambda s: adaptive(name, s, bed=bed, interval=1),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def resolutions(seeds: tuple[int, ...], bed: Bed = CIFAR) -> dict[str, tuple[RunSpec, ...]]:
    """ResKD with ResNet-20: a teacher at 32 pixels, students at 16."""
    name = next(iter(PAIRS))
    full = [direct(name, seed, bed=bed) for seed in seeds]
    twice = [direct(name, seed, bed=bed, share=2) for seed in seeds]
    labels = MethodSpec(options={"resolution": LOW})

    def low(spec: RunSpec, **options) -> RunSpec:
        return replace(
            spec, method=MethodSpec("resolution", (spec,), {"resolution": LOW, **options})
        )

    found = {
        "teacher": full,
        "direct": [replace(spec, method=labels) for spec in full],
        "direct, twice the epochs": [replace(spec, method=labels) for spec in twice],
        "feature KD": [low(spec) for spec in full],
        "logit KD": [low(spec, target="logit") for spec in full],
        "pixel-level logit KD": [low(spec, target="pixel") for spec in full],
    }
    return {label: tuple(specs) for label, specs in found.items()}
