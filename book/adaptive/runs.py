"""The runs of the adaptive chapter at each profile."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from kdlib.errors import UserError
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.study.setting import Setting
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
PRETRAINING = 50_000  # the seed of its clips, which no other run has
STARRED = 5  # "Ours*" selects every fifth epoch, "Ours" every one


@dataclass(frozen=True)
class Scale:
    """The size of a profile: training, validation and test samples, epochs, widths.

    pretrain, pretrain_epochs: clips and epochs of the counterpart of Kinetics. Images start from
    random weights, as in the paper, so their teachers train twice as long as their students.
    real_images: training images taken of a real set, 0 for all.
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
    real_images: int = 1920


SCALES = {
    "smoke": Scale(40, 24, 24, 2, 24, 1, 40, 2, 4),
    "laptop": Scale(400, 48, 480, 20, 1600, 10, 640, 12, 12),
    "gpu": Scale(
        4800,
        600,
        2400,
        50,
        14_400,
        30,
        9600,
        60,
        32,
        size=64,
        frames=8,
        image_size=32,
        real_images=0,
    ),
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
            "SlowFast": ("slowfast", {"stride": 2, "blocks": 2}, {"stride": 4}),
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
        """The clips or images of a pair; generated ones, and the choice of real ones, by seed."""
        scale, video = self.scale, name in VIDEO
        real = self.setting.roles.get("target" if video else "image")
        if real is None:
            return self.generated(name, seed)
        if video:
            return DataSpec(real, frames=scale.frames, size=scale.size)
        return DataSpec(
            real,
            seed=seed,
            train=scale.real_images,
            validation=scale.real_images // 10,
            test=scale.real_images // 2,
            frames=1,
            size=scale.image_size,
        )

    def generated(self, name: str, seed: int) -> DataSpec:
        """Generated clips or images."""
        scale, video = self.scale, name in VIDEO
        return DataSpec(
            "generated/mix12" if video else "generated/image",
            seed=seed,
            train=scale.train if video else scale.images,
            validation=scale.validation,
            test=scale.test,
            frames=scale.frames if video else 1,
            size=scale.size if video else scale.image_size,
        )

    def training(self, name: str, share: float = 1.0, *, scratch: bool = False) -> Recipe:
        """AdamW on a cosine, the same for every row of a pair; for a share of the epochs.

        A pre-trained network has a new last layer, which learns much faster than the rest; without
        that, the few steps on a tenth of the clips hardly reach it.
        """
        video = name in VIDEO
        epochs = self.scale.epochs if video else self.scale.image_epochs
        pretrained = video and not scratch
        recipe = Recipe(
            epochs=epochs,
            learning_rate=0.06 if pretrained else 2e-3 if video else 8e-3,
            backbone_multiplier=0.01 if pretrained else 1.0,
            # They divide a tenth of the clips and half of the images: no sample is left over.
            batch_size={"VideoST": 10}.get(name, 8) if video else 16,
            weight_decay=0.02,
        )
        return lasting(recipe, round(share * epochs))

    def pretrained(self, name: str, model: ModelSpec) -> Start | None:
        """What a video network starts from: the backbone of a run on more clips, of other scenes.

        Kinetics and UCF101 are both videos of the web, and share classes. All seeds start from one
        such run, as there is one Kinetics.
        """
        if name not in VIDEO:
            return None
        scale = self.scale
        data = replace(
            self.generated(name, PRETRAINING), train=scale.pretrain, validation=24, test=24
        )
        recipe = self.training(name, scratch=True)
        recipe = replace(lasting(recipe, scale.pretrain_epochs), batch_size=16)
        return Start(RunSpec(data, model, recipe), "backbone")

    def direct(self, name: str, seed: int, *, of: str = "student") -> RunSpec:
        """The student, or the teacher, on labels alone."""
        model = getattr(self.pair(name), of)
        start = self.pretrained(name, model)
        longer = of == "teacher" and name not in VIDEO
        recipe = self.training(name, share=2.0 if longer else 1.0)
        return RunSpec(self.data(name, seed), model, recipe, seed=seed, start=start)

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
            {"ratio": self.pair(name).ratio, "interval": interval, **options},
            base=MethodSpec(base),
        )
        return replace(self.direct(name, seed), method=method)

    def scratch(self, name: str, spec: RunSpec) -> RunSpec:
        """The same run from random weights, at the rates that suit these."""
        recipe = lasting(self.training(name, scratch=True), spec.recipe.epochs)
        return replace(spec, start=None, recipe=recipe)

    def same_steps(self, name: str, base: str, seed: int) -> RunSpec:
        """Vanilla, cut to as many optimiser steps as SAKD makes."""
        return self.vanilla(name, base, seed, share=self.pair(name).ratio)

    def same_time(self, name: str, base: str, seed: int, *, interval: int = STARRED) -> RunSpec:
        """Vanilla, cut to about the time SAKD takes, its evaluations included.

        An evaluation takes 0.3 of the time of an epoch on a CPU, as measured on SlowFast: both
        forward passes, without a backward pass, and in larger batches.
        """
        share = self.pair(name).ratio + 0.3 / interval
        return self.vanilla(name, base, seed, share=share)

    def kinds(self, name: str, base: str) -> dict[str, Callable[[int], RunSpec]]:
        """By its name in Tables 4 and 5, how each row of a method is made of a seed.

        The last two are controls that the paper lacks: random samples, and vanilla cut short.
        """
        ours = partial(self.ours, name, base)
        return {
            "Vani.": partial(self.vanilla, name, base),
            "Ours": partial(ours, interval=1),
            "Ours*": ours,
            "Random*": partial(ours, pick="random"),
            "Steps of Ours*": partial(self.same_steps, name, base),
        }


def lasting(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe over so many epochs, one at least, with one epoch of warm-up."""
    epochs = max(epochs, 1)
    return replace(recipe, epochs=epochs, warmup_epochs=min(1, epochs / 2))


def longer(runs: Runs, seeds: tuple[int, ...]) -> dict[tuple[str, str, str], tuple[RunSpec, ...]]:
    """Ours*, its other selections and KD of as many steps, by start, epochs and name.

    At the profile's epochs and at 2.5 times as many, which is as 20 to the paper's 50.
    """
    name, base = "SlowFast", "kd"
    makers = {
        "easy": partial(runs.ours, name, base),
        "hard": partial(runs.ours, name, base, pick="hard"),
        "random": partial(runs.ours, name, base, pick="random"),
        "KD, as many steps": partial(runs.same_steps, name, base),
    }
    found = {}
    for start in ("pre-trained", "from scratch"):
        for times in (1.0, 2.5):
            epochs = round(times * runs.scale.epochs)
            for label, make in makers.items():
                specs = []
                for seed in seeds:
                    spec = make(seed)
                    count = round(times * spec.recipe.epochs)
                    spec = replace(spec, recipe=lasting(spec.recipe, count))
                    specs.append(spec if start == "pre-trained" else runs.scratch(name, spec))
                found[start, str(epochs), label] = tuple(specs)
    return found


def selections(runs: Runs, seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
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
        # 50 mini-batches, so that a tenth of them is a number, and makes as many steps.
        "Ours*, released variant": lambda s: ours(
            s, variant="released", batch=max(1, runs.scale.train // 50)
        ),
        "KD, all samples, from scratch": lambda s: runs.scratch(name, runs.vanilla(name, base, s)),
        "Ours*, from scratch": lambda s: runs.scratch(name, ours(s)),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}
