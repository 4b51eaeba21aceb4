"""The runs of the pretext chapter at each profile."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from kdlib.clips.batches import batches_per_epoch
from kdlib.clips.others import Others
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, Option, RunSpec, Start
from kdlib.study.setting import Setting, scale_of
from kdlib.training.recipe import Recipe

R21D, SHUFFLENET = "R21D", "ShuffleNet"
NETWORKS = (SHUFFLENET, R21D)
# By the printed name, the method.
TASKS = {
    "RotNet": "rotnet",
    "VCOP": "vcop",
    "PRP": "prp",
    "RSPNet": "rspnet",
    "CVRL": "cvrl",
    "TDL": "tdl",
}
# Of the tasks that come in three difficulties, the option, its three values, and the usual one,
# with which the printed tables of all tasks agree.
DIFFICULTIES = {
    "RotNet": ("rotations", (2, 3, 4), 4),
    "VCOP": ("clips", (3, 4, 5), 3),
    "PRP": ("rates", (2, 3, 4), 2),
}
PRETRAINING = 60_000  # the seed of its clips, which no other run has
LABEL_NOISE = 0.1  # the share of the generated labels that is drawn at random
TARGET = "generated/motion12"
ROLES_OF = {"target": "source", "target2": "shifted"}  # the domain of the clips that stand for each
POOL = "generated/texmot12"  # of the pre-training
# Of the encoder of keys: the usual 0.999 is too slow for short trainings, and at 0.95 RSPNet's
# appearance collapses.
MOMENTUM = 0.99
RATE = 4e-3  # of learning, where nothing else is said
RATES = {("RSPNet", R21D): 1e-3}  # of a pre-training: at 4e-3 it is worth nothing to R21D
STEP = 4  # source frames between those of a clip where the task does not say
SPEEDS = (2, 8)  # of RSPNet: four times as fast; the released code offers that beside twice
# Of a pre-training's steps, for tasks that are learnt sooner.
SHARES = {"RotNet": 1 / 3, "VCOP": 2 / 3, "CVRL": 1 / 3, "TDL": 2 / 3}


@dataclass(frozen=True)
class Scale:
    """The size of a profile.

    subsets: videos of the four pre-training sets, the counterparts of 10k to 100k, each part of the
        next; the third is the usual one, the second that of Table 3, as in the paper.
    pretrain_steps: of every pre-training, on few videos or on many; of some tasks a share of them.
    labelled: training clips of the target. epochs: of teachers and students alike. rates: at which
        a network learns from labels and teachers.
    networks: options of the small siblings.
    held_out: clips that a pre-training is watched by. asked: clips, these among them, of which it
        is judged.
    hidden: of CVRL's projection. decoder: channels of PRP's branches. queue: of RSPNet, TDL.
    regimes: labelled clips, and videos of the pre-training, of the map.
    seeds: of the two controls on which most sentences rest: fine-tuning against random weights, and
        the students of one teacher against labels alone.
    """

    subsets: tuple[int, int, int, int]
    pretrain_steps: int
    labelled: int
    test: int
    epochs: int
    networks: dict[str, dict[str, Option]]
    regimes: tuple[tuple[int, ...], tuple[int, ...]]
    seeds: int
    rates: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NETWORKS, RATE))
    frames: int = 4
    size: int = 24
    length: int = 32
    held_out: int = 24
    asked: int = 768
    hidden: int = 64
    decoder: int = 64
    queue: int = 256
    pretrain_batch: int = 16
    batch: int = 16


_SMALL: dict[str, dict[str, Option]] = {
    R21D: {"width": 8, "stages": 3, "time_stages": 1},
    SHUFFLENET: {"width": 48, "stem": 12, "units": 1, "pool": False, "time_stages": 1},
}
_TINY: dict[str, dict[str, Option]] = {
    R21D: {"width": 4, "stages": 2, "time_stages": 1},
    SHUFFLENET: _SMALL[SHUFFLENET],
}
_WIDE: dict[str, dict[str, Option]] = {
    R21D: {"width": 32, "stages": 3, "time_stages": 2},
    SHUFFLENET: {"width": 192, "stem": 24, "units": 2, "pool": False, "time_stages": 2},
}
SCALES = {
    "smoke": Scale(
        (16, 24, 32, 40),
        2,
        24,
        24,
        1,
        _TINY,
        ((12, 24), (16, 32)),
        2,
        asked=48,
        hidden=8,
        queue=32,
        batch=8,
    ),
    "laptop": Scale(
        (160, 480, 800, 1600),
        600,
        120,
        1000,
        20,
        _SMALL,
        ((60, 120), (160, 1600)),
        10,
        rates={SHUFFLENET: 8e-3, R21D: 6e-3},
    ),
    "gpu": Scale(
        (2_000, 6_000, 10_000, 20_000),
        12_000,
        1_200,
        6_000,
        60,
        _WIDE,
        ((300, 600, 1_200, 2_400), (2_000, 6_000, 10_000, 20_000)),
        5,
        frames=8,
        size=56,
        length=64,
        hidden=512,
        decoder=512,
        queue=4096,
        pretrain_batch=32,
    ),
}


@dataclass(frozen=True)
class Pretraining:
    """One pre-training: of which network, by which task, on how many videos of which domain.

    difficulty: of a task that has several; None is the usual one.
    """

    network: str
    task: str
    videos: int
    domain: str = "source"
    difficulty: int | None = None


class Runs:
    """The specs at one setting; a spec that two artifacts name is trained once."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.scale = setting, scale_of("pretext", SCALES, setting)

    @property
    def seeds(self) -> range:
        """The seeds of the two controls on which most sentences rest."""
        return range(self.setting.seeds or self.scale.seeds)

    def model(self, network: str) -> ModelSpec:
        """A small sibling of a network."""
        kind = {R21D: "r2plus1d", SHUFFLENET: "shufflenet3d"}[network]
        return ModelSpec(kind, self.scale.networks[network])

    def default(self, network: str, task: str) -> Pretraining:
        """The usual pre-training of a network: on the third subset."""
        return Pretraining(network, task, self.scale.subsets[2])

    def pretraining(self, of: Pretraining, seed: int = 0) -> RunSpec:
        """A pre-training without labels. All fine-tunings start from that of seed 0."""
        scale, clips, options = self.scale, *self._question(of)
        data = DataSpec(
            POOL,
            seed=PRETRAINING,
            train=of.videos,
            validation=scale.held_out,
            size=scale.size,
            length=scale.length,
            sampling="dense",
            domain=of.domain,
            labels=False,
            **clips,
        )
        batch = scale.pretrain_batch
        steps = scale.pretrain_steps * SHARES.get(of.task, 1)
        epochs = max(1, round(steps / batches_per_epoch(of.videos, batch)))
        recipe = self._recipe(epochs, batch, RATES.get((of.task, of.network), RATE))
        method = MethodSpec(TASKS[of.task], options=options)
        return RunSpec(data, self.model(of.network), recipe, method, seed=seed)

    def _question(self, of: Pretraining) -> tuple[dict, dict[str, Option]]:
        """How clips are taken of a video for a task, and its options."""
        frames = self.scale.frames
        clips: dict = {"frames": frames, "stride": STEP}
        if of.task in DIFFICULTIES:
            option, _, usual = DIFFICULTIES[of.task]
            difficulty = of.difficulty or usual
            if of.task == "VCOP":
                room = self.scale.length - 5 * frames
                clips |= {"stride": 1, "others": Others((1,) * (difficulty - 1), gap=room // 4)}
            if of.task == "PRP":  # of the footage the network sees every first to eighth frame
                clips |= {"stride": 1, "frames": frames * 2 ** (difficulty - 1)}
                return clips, {option: difficulty, "channels": self.scale.decoder}
            return clips, {option: difficulty}
        if of.task == "RSPNet":
            slow, fast = SPEEDS
            clips |= {"stride": slow, "others": Others((slow, fast, fast), own_view=True)}
            return clips, {"queue": self.scale.queue, "momentum": MOMENTUM}
        if of.task == "CVRL":
            return clips | {"others": Others((STEP,), own_view=True)}, {"hidden": self.scale.hidden}
        again = Others((STEP,), gap=0, own_view=True, again=True)
        return clips | {"others": again}, {"queue": self.scale.queue, "momentum": MOMENTUM}

    def labelled(self, role: str, seed: int, clips: int | None = None) -> DataSpec:
        """The clips of a target. Of a real one all, or of each training part the first so many."""
        scale, real = self.scale, self.setting.roles.get(role)
        if real:
            return DataSpec(real, frames=scale.frames, size=scale.size)
        return DataSpec(
            TARGET,
            seed=seed,
            domain=ROLES_OF[role],
            train=clips or scale.labelled,
            test=scale.test,
            frames=scale.frames,
            size=scale.size,
            label_noise=LABEL_NOISE,
        )

    def direct(
        self, network: str, seed: int, *, role: str = "target", clips: int | None = None
    ) -> RunSpec:
        """A network on labels alone, from random weights."""
        recipe = self._recipe(self.scale.epochs, self.scale.batch, self.scale.rates[network])
        return RunSpec(self.labelled(role, seed, clips), self.model(network), recipe, seed=seed)

    def tuned(
        self, of: Pretraining, seed: int, *, role: str = "target", clips: int | None = None
    ) -> RunSpec:
        """A pre-trained network, fine-tuned whole on labels."""
        spec = self.direct(of.network, seed, role=role, clips=clips)
        return replace(spec, start=Start(self.pretraining(of), "backbone"))

    def student(
        self,
        network: str,
        teachers: Sequence[Pretraining],
        seed: int,
        *,
        role: str = "target",
        clips: int | None = None,
        **options: Option,
    ) -> RunSpec:
        """A student from random weights under fine-tuned teachers."""
        tuned = tuple(self.tuned(of, seed, role=role, clips=clips) for of in teachers)
        method = MethodSpec("aekd", tuned, options)
        return replace(self.direct(network, seed, role=role, clips=clips), method=method)

    def _recipe(self, epochs: int, batch: int, rate: float) -> Recipe:
        """AdamW on a cosine."""
        return Recipe(
            epochs=epochs,
            learning_rate=rate,
            batch_size=batch,
            weight_decay=0.02,
            warmup_epochs=min(1, epochs / 2),
        )


Made = dict[tuple[str, ...], tuple[RunSpec, ...]]


def subsets(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 1, by target, subset and role: RSPNet teachers T1 and T2, and their student ST."""
    found: Made = {}
    for role in ROLES_OF:
        for name, videos in zip(("10k", "30k", "50k", "100k"), runs.scale.subsets, strict=True):
            teachers = [Pretraining(network, "RSPNet", videos) for network in NETWORKS]
            for label, of in zip(("T1", "T2"), teachers, strict=True):
                found[role, name, label] = tuple(runs.tuned(of, seed, role=role) for seed in seeds)
            made = (runs.student(SHUFFLENET, teachers, seed, role=role) for seed in seeds)
            found[role, name, "ST"] = tuple(made)
    return found


def difficulties(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 2, by network, task and role: teachers of three difficulties, and their student S."""
    found: Made = {}
    for network in NETWORKS:
        for task, (_, values, _) in DIFFICULTIES.items():
            usual = runs.default(network, task)
            teachers = [replace(usual, difficulty=value) for value in values]
            found |= _taught(runs, (network, task), network, teachers, seeds)
    return found


def sources(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 3, by task and role: R(2+1)D teachers of two sources, and their student S."""
    found: Made = {}
    for task in ("RotNet", "VCOP", "CVRL", "RSPNet"):
        teachers = [
            Pretraining(R21D, task, runs.scale.subsets[1], domain)
            for domain in ("source", "shifted")
        ]
        found |= _taught(runs, (task,), R21D, teachers, seeds)
    return found


def categories(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 4, by category and role: ShuffleNet teachers of two tasks, and their student S."""
    found: Made = {}
    pairs = {"Non-contrastive": ("RotNet", "VCOP"), "Contrastive": ("CVRL", "TDL")}
    for category, tasks in pairs.items():
        teachers = [runs.default(SHUFFLENET, task) for task in tasks]
        found |= _taught(runs, (category,), SHUFFLENET, teachers, seeds)
    return found


def _taught(
    runs: Runs,
    label: tuple[str, ...],
    network: str,
    teachers: Sequence[Pretraining],
    seeds: tuple[int, ...],
) -> Made:
    """Teachers T1, T2, ... and their student S."""
    found = {
        (*label, f"T{n}"): tuple(runs.tuned(of, seed) for seed in seeds)
        for n, of in enumerate(teachers, 1)
    }
    return found | {(*label, "S"): tuple(runs.student(network, teachers, s) for s in seeds)}


def tasks(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """By task and part: the pre-training of ShuffleNet, and the network fine-tuned."""
    found: Made = {}
    for task in TASKS:
        of = runs.default(SHUFFLENET, task)
        found[task, "pre-trained"] = (runs.pretraining(of),)
        found[task, "fine-tuned"] = tuple(runs.tuned(of, seed) for seed in seeds)
    return found


def pretrained(runs: Runs) -> Made:
    """By network and start: from random weights, and fine-tuned after RSPNet."""
    found = {}
    for network in NETWORKS:
        of = runs.default(network, "RSPNet")
        found[network, "random"] = tuple(runs.direct(network, seed) for seed in runs.seeds)
        found[network, "fine-tuned"] = tuple(runs.tuned(of, seed) for seed in runs.seeds)
    return found


def distilled(runs: Runs) -> Made:
    """ShuffleNet on labels alone, and under each of the teachers of `pretrained` by itself."""
    makers = {"student, labels alone": partial(runs.direct, SHUFFLENET)}
    for network in NETWORKS:
        of = [runs.default(network, "RSPNet")]
        makers[f"KD, teacher {network}"] = partial(runs.student, SHUFFLENET, of)
    return {(label,): tuple(make(seed) for seed in runs.seeds) for label, make in makers.items()}


def ensembles(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """What the tables lack: ShuffleNet on labels alone, under one teacher, and under two."""
    first, second = (runs.default(network, "RSPNet") for network in NETWORKS)
    under = partial(runs.student, SHUFFLENET)
    makers = {
        "R21D, labels alone": lambda s: runs.direct(R21D, s),
        "teacher ShuffleNet": lambda s: runs.tuned(first, s),
        "teacher R21D": lambda s: runs.tuned(second, s),
        "student, labels alone": lambda s: runs.direct(SHUFFLENET, s),
        "KD, teacher ShuffleNet": lambda s: under([first], s),
        "KD, teacher R21D": lambda s: under([second], s),
        "AE-KD": lambda s: under([first, second], s),
        "average of losses": lambda s: under([first, second], s, combine="losses"),
        "average of logits": lambda s: under([first, second], s, combine="logits"),
    }
    return {(label,): tuple(make(seed) for seed in seeds) for label, make in makers.items()}
