"""The runs of the resolution chapter at each profile."""

from dataclasses import dataclass, replace

from book.resolution import recipes
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.study.setting import NoPlan, Setting, scale_of
from kdlib.training.recipe import Recipe

# Chosen with all else here on clips of seeds that no other row has, see `search`.
WEIGHTS = {"feature": 1.0, "logit": 1.0, "pixel": 12.0}
RATE = 8e-3  # at which twice the epochs add little
LABEL_NOISE = 0.1  # share of the generated training clips whose label is drawn at random


@dataclass(frozen=True)
class Scale:
    """The size of a profile: videos, frames, pixels, epochs and width.

    train, pool: training clips of a student, and of its teacher, which has seen the student's and
    more. In the papers a teacher knows more by its size and its pre-training; here by its clips.
    regimes: resolutions and students' training clips of the map; the last are the teacher's own.
    Students train longer than their teachers, as in the paper (100 epochs after the teacher's 50).
    """

    train: int
    pool: int
    validation: int
    test: int
    frames: int
    high: int
    low: int
    sweep: tuple[int, ...]
    regimes: tuple[tuple[int, ...], tuple[int, ...]]
    teacher_epochs: int
    epochs: int
    width: int


SCALES = {
    "smoke": Scale(48, 96, 24, 48, 4, 32, 16, (8, 16, 24, 32), ((8, 16), (48, 96)), 1, 2, 4),
    "laptop": Scale(
        320,
        1280,
        48,
        2000,
        3,
        48,
        16,
        (16, 24, 32, 48),
        ((16, 24, 32), (160, 320, 1280)),
        14,
        24,
        16,
    ),
    "gpu": Scale(
        6_000,
        24_000,
        1_200,
        8_000,
        8,
        96,
        48,
        (24, 32, 48, 64, 96),
        ((24, 32, 48, 64), (1_500, 3_000, 6_000, 12_000, 24_000)),
        20,
        60,
        32,
    ),
    "paper": Scale(0, 0, 0, 0, 8, 224, 112, (72, 96, 112, 160, 224), ((), ()), 50, 100, 16),
}


@dataclass(frozen=True)
class Backbone:
    """A pair of networks, and what can be distilled between them."""

    teacher: ModelSpec
    student: ModelSpec
    target: str
    sampling: str = "segments"


# A seed whose teacher starts from other random weights than the student of seed 0, 1, ...
OTHER_START = 50


class Runs:
    """The specs at one setting; a spec that two artifacts name is trained once."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.scale = setting, scale_of("resolution", SCALES, setting)
        self.real = setting.roles.get("target")
        if setting.profile == "paper" and not self.real:
            raise NoPlan(
                "DATASET: the paper profile trains on real clips; name a set, as DATASET=jhmdb21"
            )

    def data(self, seed: int, sampling: str = "segments", clips: int | None = None) -> DataSpec:
        """Generated clips differ by seed, real ones only in the order they are drawn.

        clips: how many of the generated training clips; the first ones are the same in every set.
        """
        scale = self.scale
        if self.real:
            return DataSpec(
                self.real,
                frames=scale.frames,
                size=scale.high,
                sampling=sampling,
                crop="multiscale",
            )
        return DataSpec(
            "generated/mix12",
            seed=seed,
            train=clips or scale.train,
            validation=scale.validation,
            test=scale.test,
            frames=scale.frames,
            size=scale.high,
            sampling=sampling,
            label_noise=LABEL_NOISE,
        )

    def recipe(self, epochs: int) -> Recipe:
        """Chosen for micro models on validation clips; the paper profile has the published one."""
        if self.setting.profile == "paper":
            return replace(recipes.RESNET_STUDENT, epochs=epochs)
        return Recipe(
            epochs=epochs,
            learning_rate=RATE,
            batch_size=16,
            weight_decay=0.02,
            warmup_epochs=min(1, epochs / 2),
        )

    @property
    def tsn(self) -> Backbone:
        """The pair of the headline comparison."""
        if self.setting.profile == "paper":
            return Backbone(recipes.tsn("resnet152"), recipes.tsn("resnet50"), "feature")
        model = ModelSpec("tsn", {"width": self.scale.width})
        return Backbone(model, model, "feature")

    def backbones(self) -> dict[str, Backbone]:
        """The pairs of the paper: TSN, TSM and SlowOnly by feature KD, Video Swin by pixels."""
        if self.setting.profile == "paper":
            teachers = {name: spec.method.teachers[0] for name, spec in recipes.students().items()}
            return {
                name: Backbone(
                    teachers[name].model,
                    spec.model,
                    str(spec.method.options.get("target", "feature")),
                    spec.data.sampling,
                )
                for name, spec in recipes.students().items()
            }
        width = self.scale.width
        shifted = ModelSpec("tsm", {"width": width})
        slow = ModelSpec("slowonly", {"width": width})
        return {
            "TSN": self.tsn,
            "TSM": Backbone(shifted, shifted, "feature"),
            "SlowOnly": Backbone(slow, slow, "feature", "dense"),
            "TSN, wider teacher": Backbone(
                ModelSpec("tsn", {"width": width * 3 // 2}),
                ModelSpec("tsn", {"width": width}),
                "pixel",
            ),
        }

    def teacher(self, seed: int, pair: Backbone | None = None) -> RunSpec:
        """Supervised training at full resolution, from the start of the student of that seed."""
        pair = pair or self.tsn
        recipe = self.recipe(self.scale.teacher_epochs)
        data = self.data(seed, pair.sampling, self.scale.pool)
        return RunSpec(data, pair.teacher, recipe, seed=seed)

    def low_teacher(self, seed: int, pixels: int | None = None) -> RunSpec:
        """The teacher's training, on all its clips, at the low or another lower resolution."""
        method = MethodSpec(options={"resolution": pixels or self.scale.low})
        return replace(self.teacher(seed), method=method)

    def stranger(self, seed: int) -> RunSpec:
        """A teacher of the same clips that started from other random weights."""
        return replace(self.teacher(seed), seed=seed + OTHER_START)

    def direct(
        self,
        seed: int,
        *,
        resolution: int | None = None,
        pair: Backbone | None = None,
        clips: int | None = None,
        times: int = 1,
    ) -> RunSpec:
        """The student on labels alone; `times` as many epochs for an equal-cost control.

        clips: other than the profile's training clips, with as many steps.
        """
        pair, resolution = pair or self.tsn, resolution or self.scale.low
        method = MethodSpec(
            options={} if resolution == self.scale.high else {"resolution": resolution}
        )
        epochs = times * self.scale.epochs
        if clips:
            epochs = round(epochs * self.scale.train / clips)
        data = self.data(seed, pair.sampling, clips)
        return RunSpec(data, pair.student, self.recipe(epochs), method, seed)

    def distilled(
        self,
        seed: int,
        *,
        resolution: int | None = None,
        pair: Backbone | None = None,
        clips: int | None = None,
        target: str = "feature",
        weight: float | None = None,
        teacher: RunSpec | None = None,
        **options: str,
    ) -> RunSpec:
        """The student under ResKD; the weight chosen on validation unless it is given."""
        direct = self.direct(seed, resolution=resolution, pair=pair, clips=clips)
        if self.setting.profile != "paper":
            weight = WEIGHTS[target] if weight is None else weight
        method = MethodSpec(
            "resolution",
            (teacher or self.teacher(seed, pair),),
            {
                "resolution": resolution or self.scale.low,
                "target": target,
                **({} if weight is None else {"weight": weight}),
                **options,
            },
        )
        return replace(direct, method=method)
