"""The runs on complete real data: CIFAR-100 by the networks that its distillation papers print."""

from dataclasses import replace

from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
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
EPOCHS = 10
# The published recipe with a cosine in place of its steps at 150, 180 and 210 of 240 epochs.
RECIPE = Recipe(
    epochs=EPOCHS,
    learning_rate=0.05,
    batch_size=64,
    optimizer="sgd",
    nesterov=True,
    weight_decay=5e-4,
    decay_vectors=True,
    warmup_epochs=0.5,
)
LOW = 16  # pixels of the low resolution, of 32
RATIO = 0.5  # SAKD's share of images; for CIFAR-100 the paper does not say


def direct(name: str, seed: int, *, of: int = 1, epochs: int = EPOCHS) -> RunSpec:
    """The student (`of` 1) or the teacher (0) on labels alone: 45,000 images, 5,000 to validate."""
    data = DataSpec("cifar100", frames=1, size=32)
    recipe = replace(RECIPE, epochs=epochs)
    return RunSpec(data, PAIRS[name][of], recipe, seed=seed, precision="bf16-mixed")


def distilled(name: str, seed: int, method: str, *, epochs: int = EPOCHS, **options) -> RunSpec:
    """The student under its teacher, by a base method."""
    spec = MethodSpec(method, (direct(name, seed, of=0),), options)
    return replace(direct(name, seed, epochs=epochs), method=spec)


def adaptive(name: str, seed: int, **options) -> RunSpec:
    """The student under SAKD around KD."""
    options = {"ratio": RATIO, "interval": 5, **options}
    method = MethodSpec("adaptive", (direct(name, seed, of=0),), options, base=MethodSpec("kd"))
    return replace(direct(name, seed), method=method)


def selections(name: str, seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
    """Labels, KD, DKD, SAKD and its controls, for one pair."""
    makers = {
        "teacher": lambda s: direct(name, s, of=0),
        "student, labels alone": lambda s: direct(name, s),
        "KD, all samples": lambda s: distilled(name, s, "kd"),
        "DKD, all samples": lambda s: distilled(name, s, "dkd", **PAIRS[name][2]),
        "Ours*": lambda s: adaptive(name, s),
        "Ours*, random samples": lambda s: adaptive(name, s, pick="random"),
        "KD, steps of Ours*": lambda s: distilled(name, s, "kd", epochs=round(RATIO * EPOCHS)),
        "Ours": lambda s: adaptive(name, s, interval=1),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def resolutions(seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
    """ResKD with ResNet-20: a teacher at 32 pixels, students at 16."""
    name = "ResNet56 → ResNet20"
    full = [direct(name, seed) for seed in seeds]

    def low(spec: RunSpec, **options) -> RunSpec:
        method = MethodSpec("resolution", (spec,), {"resolution": LOW, **options})
        return replace(spec, method=method)

    labels = MethodSpec(options={"resolution": LOW})
    found = {
        "teacher": full,
        "direct": [replace(spec, method=labels) for spec in full],
        "direct, twice the epochs": [
            replace(direct(name, s, epochs=2 * EPOCHS), method=labels) for s in seeds
        ],
        "feature KD": [low(spec) for spec in full],
        "logit KD": [low(spec, target="logit") for spec in full],
        "pixel-level logit KD": [low(spec, target="pixel") for spec in full],
    }
    return {label: tuple(specs) for label, specs in found.items()}
