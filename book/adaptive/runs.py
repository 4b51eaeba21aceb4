"""The runs of the adaptive chapter at each profile."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.study.setting import Setting, scale_of
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
# The pairs that sentences are decided by: of most seeds, and the only ones that a laptop trains.
# Those on the interruption rate compare clips with images.
DECIDING = ("SlowFast",)
DECIDING_RATE = ("SlowFast", "ResNet")
PRETRAINING = 50_000  # the seed of its clips, which no other run has
STARRED = 5  # "Ours*" selects every fifth epoch, "Ours" every one
# The share of the generated training samples whose label is drawn at random.
LABEL_NOISE = {"clips": 0.2, "images": 0.1}
# The constants of each base method, chosen with equal effort on clips and images of seeds that no
# other row has, see `search`.
CONSTANTS: dict[str, dict[str, float]] = {
    "kd": {"temperature": 1.0},
    "dkd": {"alpha": 1.0, "label_weight": 1.0},
    "ctkd": {"label_weight": 1.0, "weight": 1.0},
    "gkd": {},
    "crosskd": {"temperature": 2.0},
    "dualkd": {"temperature": 2.0},
}


@dataclass(frozen=True)
class Scale:
    """The size of a profile: training, validation and test samples, epochs, widths.

    more: how many times its student's samples a teacher has seen. In the paper teachers know more
    by their size and pre-training; here by their samples.
    teacher_epochs, image_teacher_epochs: of a teacher, on its more samples.
    pretrain, pretrain_epochs: clips and epochs of the counterpart of Kinetics. Images start from
    random weights, as in the paper.
    image_width: of the networks of images.
    regimes: shares that are selected, and training clips of the student, of the map.
    others: whether pairs of networks that decide nothing are trained too.
    real_images: training images taken of a real set, 0 for all.
    """

    train: int
    validation: int
    test: int
    epochs: int
    teacher_epochs: int
    pretrain: int
    pretrain_epochs: int
    images: int
    image_epochs: int
    image_teacher_epochs: int
    width: int
    image_width: int
    regimes: tuple[tuple[float, ...], tuple[int, ...]]
    more: int = 4
    size: int = 32
    frames: int = 4
    image_size: int = 16
    real_images: int = 1920
    others: bool = True


SCALES = {
    "smoke": Scale(40, 24, 24, 2, 1, 24, 1, 40, 2, 1, 4, 4, ((0.2, 0.5), (20, 40))),
    "laptop": Scale(
        240,
        0,
        2000,
        20,
        6,
        1600,
        10,
        480,
        20,
        10,
        12,
        8,
        ((0.1, 0.25, 0.5), (60, 120, 240)),
        others=False,
    ),
    "gpu": Scale(
        4800,
        600,
        8000,
        50,
        15,
        14_400,
        30,
        9600,
        60,
        24,
        32,
        32,
        ((0.05, 0.1, 0.25, 0.5, 0.75), (1200, 2400, 4800, 9600)),
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
        self.setting, self.scale = setting, scale_of("adaptive", SCALES, setting)

    def pair(self, name: str) -> Pair:
        """Small siblings of the paper's pairs; features of both sides have one size, as there.

        ResNets stand for those of CIFAR-100 and of ImageNet alike, on the same images: what the
        tables of both need is trained once.
        """
        width = self.scale.width if name in VIDEO else self.scale.image_width
        resnets = ("resnet_cifar", {"depth": 14}, {"depth": 8})
        model = {
            "SlowFast": ("slowfast", {"stride": 2, "blocks": 2}, {"stride": 4}),
            "VideoST": ("swin3d", {"blocks": 3}, {"blocks": 1}),
            "TPN": ("tpn", {"pooled": 2}, {"pooled": 4}),
            "ResNet": resnets,
            "WRN": ("wrn", {"depth": 16}, {"depth": 10}),
            IMAGENET: resnets,
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

    def data(self, name: str, seed: int, clips: int | None = None, *, more: int = 1) -> DataSpec:
        """The clips or images of a pair; generated ones, and the choice of real ones, by seed.

        clips: other than the profile's training samples. more: times as many, of which the first
        are the same.
        """
        scale, video = self.scale, name in VIDEO
        real = self.setting.roles.get("target" if video else "image")
        if real is None:
            return self.generated(name, seed, (clips or self.samples(name)) * more)
        if video:
            return DataSpec(real, frames=scale.frames, size=scale.size)
        return DataSpec(
            real,
            seed=seed,
            train=scale.real_images * more,
            validation=scale.real_images // 10,
            test=scale.real_images // 2,
            frames=1,
            size=scale.image_size,
        )

    def samples(self, name: str) -> int:
        """The generated training clips or images of a pair's student."""
        return self.scale.train if name in VIDEO else self.scale.images

    def generated(self, name: str, seed: int, clips: int) -> DataSpec:
        """Generated clips or images."""
        scale, video = self.scale, name in VIDEO
        return DataSpec(
            "generated/mix12" if video else "generated/image",
            seed=seed,
            train=clips,
            validation=scale.validation,
            test=scale.test,
            frames=scale.frames if video else 1,
            size=scale.size if video else scale.image_size,
            label_noise=LABEL_NOISE["clips" if video else "images"],
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
            batch_size=8 if video else 24,
            weight_decay=0.02,
        )
        return lasting(recipe, round(share * epochs))

    def pretrained(self, name: str, model: ModelSpec) -> Start | None:
        """What a video network starts from: the backbone of a run on more clips, of other scenes,
        all of them with the right label.

        Kinetics and UCF101 are both videos of the web, and share classes. All seeds start from one
        such run, as there is one Kinetics.
        """
        if name not in VIDEO:
            return None
        scale = self.scale
        data = self.generated(name, PRETRAINING, scale.pretrain)
        data = replace(data, validation=24, test=24, label_noise=0.0)
        recipe = self.training(name, scratch=True)
        recipe = replace(lasting(recipe, scale.pretrain_epochs), batch_size=16)
        return Start(RunSpec(data, model, recipe), "backbone")

    def direct(self, name: str, seed: int, clips: int | None = None) -> RunSpec:
        """The student on labels alone."""
        model = self.pair(name).student
        data, recipe = self.data(name, seed, clips), self.training(name)
        return RunSpec(data, model, recipe, seed=seed, start=self.pretrained(name, model))

    def teacher(self, name: str, seed: int) -> RunSpec:
        """The teacher, on its more samples."""
        scale, model = self.scale, self.pair(name).teacher
        epochs = scale.teacher_epochs if name in VIDEO else scale.image_teacher_epochs
        return RunSpec(
            self.data(name, seed, more=scale.more),
            model,
            lasting(self.training(name), epochs),
            seed=seed,
            start=self.pretrained(name, model),
        )

    def vanilla(
        self, name: str, base: str, seed: int, *, share: float = 1.0, clips: int | None = None
    ) -> RunSpec:
        """A base method on all samples, for a share of the epochs."""
        method = MethodSpec(base, (self.teacher(name, seed),), CONSTANTS[base])
        recipe = self.training(name, share)
        return replace(self.direct(name, seed, clips), method=method, recipe=recipe)

    def oracle(self, name: str, seed: int) -> RunSpec:
        """The student under the probabilities that generated labels are drawn of: no teacher."""
        spec = self.direct(name, seed)
        known = replace(spec.data, known=("posterior",))
        return replace(spec, data=known, method=MethodSpec("oracle"))

    def ours(
        self,
        name: str,
        base: str,
        seed: int,
        *,
        interval: int = STARRED,
        clips: int | None = None,
        **options: float | str,
    ) -> RunSpec:
        """SAKD around a base method; options other than its defaults."""
        method = MethodSpec(
            "adaptive",
            (self.teacher(name, seed),),
            {"ratio": self.pair(name).ratio, "interval": interval, **options},
            base=MethodSpec(base, options=CONSTANTS[base]),
        )
        return replace(self.direct(name, seed, clips), method=method)

    def scratch(self, name: str, spec: RunSpec) -> RunSpec:
        """The same run from random weights, at the rates that suit these."""
        recipe = lasting(self.training(name, scratch=True), spec.recipe.epochs)
        return replace(spec, start=None, recipe=recipe)

    def cut(self, name: str, base: str, seed: int, **options: float) -> RunSpec:
        """Vanilla, cut to as many optimiser steps as SAKD makes."""
        return self.vanilla(name, base, seed, share=self.pair(name).ratio, **options)

    def kinds(self, name: str, base: str) -> dict[str, Callable[[int], RunSpec]]:
        """By its name in Tables 4 and 5, how each row of a method is made of a seed."""
        ours = partial(self.ours, name, base)
        return {
            "Vani.": partial(self.vanilla, name, base),
            "Ours": partial(ours, interval=1),
            "Ours*": ours,
        }


def time_share(ratio: float, interval: int) -> float:
    """The share of vanilla's time that SAKD takes, its evaluations included.

    An evaluation takes 0.3 of the time of an epoch on a CPU, as measured on SlowFast: both forward
    passes, without a backward pass, and in larger batches.
    """
    return ratio + 0.3 / interval


def lasting(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe over so many epochs, one at least, with one epoch of warm-up."""
    epochs = max(epochs, 1)
    return replace(recipe, epochs=epochs, warmup_epochs=min(1, epochs / 2))


# What a cell of the map compares.
GAINS = {
    "Ours* less random samples": ("Ours*", "random"),
    "Ours* less KD of as much time": ("Ours*", "time"),
}


def regimes(runs: Runs, seeds: tuple[int, ...]) -> dict[tuple[float, int, str], tuple]:
    """By share, training clips and name: Ours*, random samples, KD of as much time.

    KD of as many steps would be shorter by a twentieth of the epochs.
    """
    name, base, found = "SlowFast", "kd", {}
    for share in runs.scale.regimes[0]:
        for clips in runs.scale.regimes[1]:
            ours = partial(runs.ours, name, base, clips=clips, ratio=share)
            vanilla = partial(runs.vanilla, name, base, clips=clips)
            makers = {
                "Ours*": ours,
                "random": partial(ours, pick="random"),
                "time": partial(vanilla, share=time_share(share, STARRED)),
            }
            for label, make in makers.items():
                found[share, clips, label] = tuple(make(seed) for seed in seeds)
    return found


def images(runs: Runs, seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
    """The plain effect on images."""
    makers = {
        "teacher": partial(runs.teacher, IMAGENET),
        "student, labels alone": partial(runs.direct, IMAGENET),
        "KD, all samples": partial(runs.vanilla, IMAGENET, "kd"),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def selections(runs: Runs, seeds: tuple[int, ...]) -> dict[str, tuple[RunSpec, ...]]:
    """What the paper lacks: SAKD with KD beside other selections and shorter trainings."""
    name, base = "SlowFast", "kd"
    ratio = runs.pair(name).ratio
    ours, vanilla = partial(runs.ours, name, base), partial(runs.vanilla, name, base)
    makers = {
        "teacher": lambda s: runs.teacher(name, s),
        "student, labels alone": lambda s: runs.direct(name, s),
        "oracle: the true probabilities": lambda s: runs.oracle(name, s),
        "KD, all samples": vanilla,
        "KD, steps of Ours": lambda s: runs.cut(name, base, s),
        "KD, time of Ours": lambda s: vanilla(s, share=time_share(ratio, 1)),
        "KD, time of Ours*": lambda s: vanilla(s, share=time_share(ratio, STARRED)),
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
        "KD, all samples, from scratch": lambda s: runs.scratch(name, vanilla(s)),
        "Ours*, from scratch": lambda s: runs.scratch(name, ours(s)),
    }
    if "target" in runs.setting.roles:  # nobody knows the probabilities of a real set
        del makers["oracle: the true probabilities"]
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}
