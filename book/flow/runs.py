"""The runs of the flow chapter at each profile."""

from dataclasses import dataclass, replace
from functools import partial

from kdlib.models.base import Sees
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, Option, RunSpec, Start
from kdlib.study.setting import Setting, scale_of
from kdlib.training.recipe import Recipe

# By the share of its classes, in per cent, that motion alone tells apart, the generator's task.
TASKS = {0: "colour12", 50: "colmot12", 100: "motion12"}
HALF = 50
WEIGHTS = {"logits": 1.0, "features": 50.0}  # of the distillation
LABEL_NOISE = 0.2  # share of the generated training clips whose label is drawn at random
RATE = 4e-3  # of learning


@dataclass(frozen=True)
class Scale:
    """The size of a profile.

    clips: training clips of students. teacher: of teachers, the students' among them. probe: of
    decoders. epochs: of a student of `clips` clips; others take as many steps.
    network: options of the small sibling of S3D-G. decoder: channels of the probe.
    regimes: training clips of the map, `clips` among them. seeds: of the headline comparison.
    teacher_rate: of a teacher's learning; all others learn at `RATE`.
    """

    clips: int
    teacher: int
    probe: int
    test: int
    epochs: int
    teacher_epochs: int
    probe_epochs: int
    network: dict[str, Option]
    decoder: int
    regimes: tuple[int, ...]
    seeds: int
    frames: int = 4
    size: int = 24
    batch: int = 16
    teacher_batch: int = 64
    teacher_rate: float = RATE


_SMALL: dict[str, Option] = {"blocks": 1, "strides": "small", "norm_momentum": 0.1}
SCALES = {
    "smoke": Scale(
        24,
        32,
        24,
        24,
        1,
        1,
        1,
        {**_SMALL, "width": 4},
        8,
        (12, 24),
        seeds=2,
        batch=8,
        teacher_batch=32,
    ),
    "laptop": Scale(
        192,
        1536,
        384,
        600,
        14,
        6,
        6,
        {**_SMALL, "width": 8},
        32,
        (96, 192),
        seeds=10,
        teacher_rate=6e-3,
    ),
    "gpu": Scale(
        2_000,
        16_000,
        4_000,
        6_000,
        24,
        6,
        12,
        {**_SMALL, "width": 32, "blocks": 2},
        64,
        (500, 1_000, 2_000, 4_000),
        seeds=5,
        frames=8,
        size=48,
        batch=64,
        teacher_batch=128,
    ),
}


class Runs:
    """The specs at one setting; a spec that two artifacts name is trained once.

    Methods ask for the seed, and for what differs from the usual: share, the key of the task in
    `TASKS`, and clips, how many are trained on.

    generated: whether clips are generated even where a real set stands for the target.
    """

    def __init__(self, setting: Setting, *, generated: bool = False) -> None:
        self.setting, self.scale = setting, scale_of("flow", SCALES, setting)
        self.real = None if generated else setting.roles.get("target")

    @property
    def headline(self) -> tuple[int, ...]:
        """The seeds of the headline comparison."""
        return tuple(range(self.setting.seeds or self.scale.seeds))

    def model(self, sees: Sees = "pixels", *, non_local: bool = False) -> ModelSpec:
        """The small sibling of S3D-G, perhaps with the non-local block before 5b."""
        return ModelSpec("s3dg", {**self.scale.network, "sees": sees, "non_local": non_local})

    def data(self, seed: int, clips: int, share: int = HALF) -> DataSpec:
        """Clips whose flow is known to all who look at it, and asked for by nobody at test time.

        Of a real target all clips, and the flow that is computed of them.
        """
        scale, real = self.scale, self.real
        how = DataSpec(
            real or f"generated/{TASKS[share]}",
            train=0 if real else clips,
            frames=scale.frames,
            size=scale.size,
            sampling="dense",
            known=("flow",),
        )
        return how if real else replace(how, seed=seed, test=scale.test, label_noise=LABEL_NOISE)

    def network(
        self, seed: int, *, clips: int = 0, share: int = HALF, non_local: bool = False
    ) -> RunSpec:
        """S3D-G of pixels, on labels alone; as many steps whatever the clips."""
        scale = self.scale
        clips = clips or scale.clips
        recipe = self._recipe(scale.epochs * scale.clips // clips, scale.batch)
        model = self.model(non_local=non_local)
        return RunSpec(self.data(seed, clips, share), model, recipe, seed=seed)

    def teacher(self, seed: int, sees: Sees = "flow", share: int = HALF) -> RunSpec:
        """A network on labels alone, of as many clips as teachers have."""
        scale = self.scale
        recipe = self._recipe(scale.teacher_epochs, scale.teacher_batch, scale.teacher_rate)
        return RunSpec(self.data(seed, scale.teacher, share), self.model(sees), recipe, seed=seed)

    def distilled(
        self,
        seed: int,
        target: str = "logits",
        *,
        teacher: Sees = "flow",
        clips: int = 0,
        share: int = HALF,
        non_local: bool = False,
        weight: float | None = None,
    ) -> RunSpec:
        """A student of pixels: D3D by logits, MARS by features. teacher: what its teacher sees."""
        options: dict[str, Option] = {"target": target, "weight": weight or WEIGHTS[target]}
        method = MethodSpec("d3d", (self.teacher(seed, teacher, share),), options)
        alone = self.network(seed, clips=clips, share=share, non_local=non_local)
        return replace(alone, method=method)

    def probe(self, seed: int, of: RunSpec | None = None, *, tuned: bool = False) -> RunSpec:
        """A decoder of flow on layer 3A of a trained network, or of one with random weights.

        tuned: whether the network is trained on; it is frozen otherwise.
        """
        scale = self.scale
        recipe = self._recipe(scale.probe_epochs, scale.batch)
        return RunSpec(
            replace(self.data(seed, scale.probe), task="flow"),
            of.model if of else self.model(),
            recipe if tuned else replace(recipe, freeze=("backbone", "head")),
            MethodSpec("flow_probe", options={"width": scale.decoder}),
            seed=seed,
            start=Start(of, "backbone") if of else None,
        )

    def _recipe(self, epochs: int, batch: int, rate: float = RATE) -> Recipe:
        """AdamW on a cosine."""
        return Recipe(
            epochs=epochs,
            learning_rate=rate,
            batch_size=batch,
            weight_decay=0.02,
            warmup_epochs=min(1, epochs / 2),
        )


Made = dict[tuple[str, ...], tuple[RunSpec, ...]]


def headline(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Labels alone, the teacher, and the students by both ways."""
    makers = {
        "S3D-G": runs.network,
        "flow teacher": runs.teacher,
        "D3D": runs.distilled,
        "MARS": partial(runs.distilled, target="features"),
    }
    return {(label,): tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def teachers(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """D3D under a teacher of flow, and under one of pixels that learnt from as many clips."""
    makers = {
        "S3D-G": runs.network,
        "teacher of flow": runs.teacher,
        "teacher of pixels": partial(runs.teacher, sees="pixels"),
        "D3D, teacher of flow": runs.distilled,
        "D3D, teacher of pixels": partial(runs.distilled, teacher="pixels"),
    }
    return {(label,): tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def non_local(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """With and without non-local blocks, with and without distillation."""
    makers = {
        "S3D-G": runs.network,
        "NL S3D-G": partial(runs.network, non_local=True),
        "D3D": runs.distilled,
        "NL D3D": partial(runs.distilled, non_local=True),
    }
    return {(label,): tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def probes(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Whose layer 3A is decoded, and whether the network is trained on."""
    makers = {
        ("random weights", "frozen"): runs.probe,
        ("S3D-G", "frozen"): lambda s: runs.probe(s, runs.network(s)),
        ("D3D", "frozen"): lambda s: runs.probe(s, runs.distilled(s)),
        ("flow teacher", "frozen"): lambda s: runs.probe(s, runs.teacher(s)),
        ("S3D-G", "fine-tuned"): lambda s: runs.probe(s, runs.network(s), tuned=True),
        ("D3D", "fine-tuned"): lambda s: runs.probe(s, runs.distilled(s), tuned=True),
    }
    return {label: tuple(make(seed) for seed in seeds) for label, make in makers.items()}


def regimes(runs: Runs, seeds: tuple[int, ...]) -> dict[tuple[int, int, str], tuple[RunSpec, ...]]:
    """By share of classes, training clips and name: labels, the teacher, and both students."""
    found = {}
    for share in TASKS:
        for clips in runs.scale.regimes:
            makers = {
                "S3D-G": partial(runs.network, clips=clips, share=share),
                "flow teacher": partial(runs.teacher, share=share),
                "D3D": partial(runs.distilled, clips=clips, share=share),
                "MARS": partial(runs.distilled, target="features", clips=clips, share=share),
            }
            for name, make in makers.items():
                found[share, clips, name] = tuple(make(seed) for seed in seeds)
    return found
