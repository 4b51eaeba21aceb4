"""The runs of the adaptive chapter at each profile."""

from dataclasses import dataclass, replace
from functools import partial

from kdlib.errors import UserError
from kdlib.study.setting import Setting
from kdlib.study.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.recipe import Recipe

BASES = {
    "KD": "kd",
    "DKD": "dkd",
    "CTKD": "ctkd",
    "GKD": "gkd",
    "CrossKD": "crosskd",
    "DualKD": "dualkd",
}
# The formulas of these two are not public in full, see their files in kdlib/methods.
STAND_INS = ("GKD", "DualKD")
VIDEO, IMAGE = ("SlowFast", "VideoST", "TPN"), ("ResNet", "WRN")
IMAGENET = "ResNet34→18"
ABLATED = ("SlowFast", "VideoST", "ResNet", "WRN")
STARRED = 5  # "Ours*" selects every fifth epoch, "Ours" every one


@dataclass(frozen=True)
class Scale:
    """The size of a profile: training, validation and test samples, epochs, widths.

    pretrain, pretrain_epochs: clips and epochs of the counterpart of Kinetics. Images start from
    random weights, as in the paper.
    """

    train: int
    validation: int
    test: int
    epochs: int
    pretrain: int
    pretrain_epochs: int
    images: int
    image_epochs: int
    width: int
    size: int = 32
    frames: int = 4
    image_size: int = 16


SCALES = {
    "smoke": Scale(40, 24, 24, 2, 24, 1, 40, 2, 4),
    "laptop": Scale(480, 96, 480, 15, 960, 10, 640, 15, 12),
    "gpu": Scale(4800, 600, 2400, 50, 14_400, 30, 9600, 60, 32, size=64, frames=8, image_size=32),
}


@dataclass(frozen=True)
class Pair:
    """A teacher and its student, and the share of samples that SAKD selects for it."""

    teacher: ModelSpec
    student: ModelSpec
    ratio: float


class Runs:
    """The specs at one setting; a spec that two artifacts name is trained once."""

    def __init__(self, setting: Setting) -> None:
        if setting.profile == "paper":
            raise UserError(
                "PROFILE: the adaptive chapter has no paper profile; leave it out by CHAPTERS"
            )
        self.setting, self.scale = setting, SCALES[setting.profile]

    def pair(self, name: str) -> Pair:
        """Small siblings of the paper's pairs; features of both sides have one size, as there."""
        width = self.scale.width
        model = {
            "SlowFast": ("slowfast", {"stride": 2}, {"stride": 4}),
            "VideoST": ("swin3d", {"blocks": 3}, {"blocks": 1}),
            "TPN": ("tpn", {"pooled": 2}, {"pooled": 4}),
            "ResNet": ("resnet_cifar", {"depth": 20}, {"depth": 8}),
            "WRN": ("wrn", {"depth": 16}, {"depth": 10}),
            IMAGENET: ("resnet_cifar", {"depth": 14}, {"depth": 8}),
        }
        kind, teacher, student = model[name]
        narrow = {
            "swin3d": {"width": 2 * width},
            "wrn": {"stem": max(width // 2, 2), "widen": 2},
        }
        common = narrow.get(kind, {"width": width})
        # 10 % on UCF101 and 50 % on ImageNet in the paper; for CIFAR-100 it says nothing.
        ratio = 0.1 if name in VIDEO else 0.5
        return Pair(ModelSpec(kind, common | teacher), ModelSpec(kind, common | student), ratio)

    def data(self, name: str, seed: int) -> DataSpec:
        """The clips or images of a pair; generated ones differ by seed."""
        scale, real = self.scale, self.setting.roles
        role = "target" if name in VIDEO else "image"
        video = role == "target"
        frames, size = (scale.frames, scale.size) if video else (1, scale.image_size)
        if role in real:
            # CIFAR's images have 32 pixels, whatever the profile.
            return DataSpec(real[role], frames=frames, size=size if video else 32, flip=True)
        return DataSpec(
            "generated/mix12" if video else "generated/image",
            seed=seed,
            train=scale.train if video else scale.images,
            validation=scale.validation,
            test=scale.test,
            frames=frames,
            size=size,
            domain="shifted" if video else "source",
        )

    def recipe(self, epochs: int, batch_size: int = 16) -> Recipe:
        """AdamW on a cosine; the same for every row."""
        return Recipe(
            epochs=epochs,
            learning_rate=2e-3,
            batch_size=batch_size,
            weight_decay=0.02,
            warmup_epochs=min(1, epochs / 2),
        )

    def training(self, name: str, share: float = 1.0) -> Recipe:
        """The recipe of every row of a pair; a share cuts its epochs, for the controls."""
        epochs = self.scale.epochs if name in VIDEO else self.scale.image_epochs
        return self.recipe(max(1, round(share * epochs)), 16 if name in VIDEO else 32)

    def pretrained(self, name: str, model: ModelSpec, seed: int) -> RunSpec | None:
        """The run that a video network starts from: like clips of another world, as Kinetics is."""
        if name not in VIDEO:
            return None
        scale = self.scale
        data = DataSpec(
            "generated/mix12",
            seed=seed,
            train=scale.pretrain,
            validation=24,
            test=24,
            frames=scale.frames,
            size=scale.size,
        )
        return RunSpec(data, model, self.recipe(scale.pretrain_epochs), seed=seed)

    def direct(self, name: str, seed: int, *, of: str = "student") -> RunSpec:
        """The student, or the teacher, on labels alone."""
        model = getattr(self.pair(name), of)
        start = self.pretrained(name, model, seed)
        return RunSpec(self.data(name, seed), model, self.training(name), seed=seed, start=start)

    def vanilla(self, name: str, base: str, seed: int, *, share: float = 1.0) -> RunSpec:
        """A base method on all samples, for a share of the epochs."""
        method = MethodSpec(base, (self.direct(name, seed, of="teacher"),))
        return replace(self.direct(name, seed), method=method, recipe=self.training(name, share))

    def ours(
        self, name: str, base: str, seed: int, *, interval: int = STARRED, **options: float | str
    ) -> RunSpec:
        """SAKD around a base method; options other than its defaults."""
        method = MethodSpec(
            "adaptive",
            (self.direct(name, seed, of="teacher"),),
            {"base": base, "ratio": self.pair(name).ratio, "interval": interval, **options},
        )
        return replace(self.direct(name, seed), method=method)

    def scratch(self, name: str, spec: RunSpec) -> RunSpec:
        """The same run from random weights."""
        return replace(spec, start=None)

    def same_steps(self, name: str, base: str, seed: int) -> RunSpec:
        """Vanilla, cut to as many optimiser steps as SAKD makes."""
        return self.vanilla(name, base, seed, share=self.pair(name).ratio)

    def same_time(self, name: str, base: str, seed: int, *, interval: int = STARRED) -> RunSpec:
        """Vanilla, cut to about the time SAKD takes, its evaluations included.

        An evaluation is two forward passes of the four that a training step costs, the teacher's
        among them (a backward pass counts as two).
        """
        share = self.pair(name).ratio + 0.5 / interval
        return self.vanilla(name, base, seed, share=share)


def controls(runs: Runs, seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
    """What the paper lacks: SAKD with KD beside other selections and shorter trainings."""
    name, base = "SlowFast", "kd"
    ours = partial(runs.ours, name, base)
    makers = {
        "teacher": lambda s: runs.direct(name, s, of="teacher"),
        "student, labels alone": lambda s: runs.direct(name, s),
        "KD, all samples": lambda s: runs.vanilla(name, base, s),
        "KD, steps of Ours": lambda s: runs.same_steps(name, base, s),
        "KD, time of Ours": lambda s: runs.same_time(name, base, s, interval=1),
        "KD, time of Ours*": lambda s: runs.same_time(name, base, s),
        "Ours": lambda s: ours(s, interval=1),
        "Ours*": ours,
        "Ours, random samples": lambda s: ours(s, interval=1, pick="random"),
        "Ours*, random samples": lambda s: ours(s, pick="random"),
        "Ours, hardest first": lambda s: ours(s, interval=1, pick="hard"),
        "Ours*, hardest first": lambda s: ours(s, pick="hard"),
        # 60 mini-batches, so that a tenth of them is a number.
        "Ours*, released variant": lambda s: ours(
            s, variant="released", batch=max(1, runs.scale.train // 60)
        ),
        "KD, all samples, from scratch": lambda s: runs.scratch(name, runs.vanilla(name, base, s)),
        "Ours*, from scratch": lambda s: runs.scratch(name, ours(s)),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}
