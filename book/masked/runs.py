"""The runs of the masked chapter at each profile."""

from dataclasses import dataclass, replace
from typing import Literal

from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, Option, RunSpec, Start
from kdlib.study.setting import Setting, scale_of
from kdlib.training.recipe import Recipe

# By role, the data set of the paper that it stands for, and the generated one that stands in.
PRINTED = {"target": "SSv2", "target2": "K400"}
ROLES_OF = {"target": "generated/motion12", "target2": "generated/texmot12"}
TASKS = {"target": "motion", "target2": "texture"}  # what tells their classes apart
POOL = "generated/mix12"  # the videos of the pre-training
PICTURES = "generated/image"
ACTORS = "generated/actors"
PRETRAINING = 60_000  # the seed of its clips, which no other run has
RATE = 2e-3  # of the pre-trainings
HEAD: dict[str, Option] = {"head_norm": "batch", "pool": "max"}  # see `search`

Kind = Literal["image", "video"]
Places = Literal["masked", "visible", "all"]


@dataclass(frozen=True)
class Scale:
    """The size of a profile.

    videos, pictures: of the pre-trainings. pixels: epochs of the masked pixels, the counterparts of
        200, 400, 800 and 1600; the third is the teachers', the last the one that is compared.
    features: epochs of MVD, as many as the first of `pixels`; the second is the usual one.
    labelled: clips of a target, actors' clips and pictures likewise. network: options of the vit.
    mask_ratio: of videos and of pictures. decoder: its blocks. rate: with labels.
    regimes: labelled clips of the map, whose other axis is `features`.
    """

    videos: int
    pictures: int
    pixels: tuple[int, int, int, int]
    labelled: int
    test: int
    epochs: int
    network: dict[str, Option]
    regimes: tuple[int, ...]
    mask_ratio: tuple[float, float] = (0.75, 0.75)
    frames: int = 8
    size: int = 32
    decoder: int = 1
    held_out: int = 192
    pretrain_batch: int = 32
    batch: int = 16
    rate: float = RATE

    @property
    def features(self) -> tuple[int, int, int]:
        return self.pixels[:3]


SCALES = {
    "smoke": Scale(
        videos=24,
        pictures=24,
        pixels=(1, 2, 3, 4),
        labelled=24,
        test=24,
        epochs=1,
        network={"width": 32, "blocks": 2, "heads": 2, "patch": 8, **HEAD},
        regimes=(12, 24),
        held_out=48,
        pretrain_batch=8,
        batch=8,
    ),
    "laptop": Scale(
        videos=1600,
        pictures=1600,
        pixels=(3, 6, 12, 24),
        labelled=240,
        test=480,
        epochs=9,
        network={"width": 48, "blocks": 2, "heads": 3, "patch": 4, **HEAD},
        regimes=(60, 240),
        size=24,
        rate=8e-3,
    ),
    "gpu": Scale(
        videos=8_000,
        pictures=8_000,
        pixels=(10, 20, 40, 80),
        labelled=600,
        test=2_400,
        epochs=20,
        network={"width": 96, "blocks": 4, "heads": 6, "patch": 4, "head_norm": "batch"},
        regimes=(75, 150, 300, 600),
        mask_ratio=(0.9, 0.75),
        decoder=2,
        held_out=480,
        pretrain_batch=256,
        batch=64,
    ),
}


@dataclass(frozen=True)
class Pretraining:
    """One pre-training without labels.

    network: of images or of videos. teachers: none for masked pixels. places: where features are
    taught. start: what it starts from; None is random weights. tubelet: frames of a token.
    """

    network: Kind
    epochs: int
    teachers: tuple["Pretraining", ...] = ()
    places: Places = "masked"
    start: "Pretraining | None" = None
    tubelet: int = 2


class Runs:
    """The specs at one setting; a spec that two artifacts name is trained once.

    scale: that of the profile by default.
    """

    def __init__(self, setting: Setting, scale: Scale | None = None) -> None:
        self.setting, self.scale = setting, scale or scale_of("masked", SCALES, setting)

    # Pre-trainings

    @property
    def image_teacher(self) -> Pretraining:
        """MAE on pictures."""
        return Pretraining("image", self.scale.pixels[2])

    @property
    def video_teacher(self) -> Pretraining:
        """VideoMAE on the videos."""
        return Pretraining("video", self.scale.pixels[2])

    @property
    def videomae(self) -> Pretraining:
        """The longest pre-training on pixels, which MVD is compared with."""
        return Pretraining("video", self.scale.pixels[3])

    @property
    def mvd(self) -> Pretraining:
        """MVD of both teachers for the usual number of epochs."""
        return self.distilled(self.image_teacher, self.video_teacher)

    def distilled(self, *teachers: Pretraining) -> Pretraining:
        """A student of these teachers for the usual number of epochs."""
        return Pretraining("video", self.scale.features[1], teachers)

    def pretraining(self, of: Pretraining) -> RunSpec:
        """A pre-training without labels; all fine-tunings start from that of seed 0."""
        scale, image = self.scale, of.network == "image"
        data = DataSpec(
            PICTURES if image else POOL,
            seed=PRETRAINING,
            train=scale.pictures if image else scale.videos,
            frames=1 if image else scale.frames,
            size=scale.size,
            labels=False,
        )
        options: dict[str, Option] = {
            "mask_ratio": scale.mask_ratio[1 if image else 0],
            "decoder_blocks": scale.decoder,
        }
        teachers = tuple(map(self.pretraining, of.teachers))
        if teachers and of.places != "masked":
            options["places"] = of.places
        return RunSpec(
            data,
            self.model(of),
            self._recipe(of.epochs, scale.pretrain_batch, RATE, beta2=0.95),
            MethodSpec("mvd" if teachers else "mae", teachers, options),
            start=Start(self.pretraining(of.start), "backbone") if of.start else None,
        )

    def model(self, of: Pretraining) -> ModelSpec:
        """The network of a pre-training; VideoMAE's has positions of its own."""
        if of.network == "image":
            return self._vit(image=True)
        return self._vit() if of.teachers else self._vit(tubelet=of.tubelet, positions="index")

    def _vit(self, **options: Option) -> ModelSpec:
        return ModelSpec("vit", {**self.scale.network, **options})

    # Trainings on labels

    def labelled(self, role: str, seed: int, clips: int | None = None) -> DataSpec:
        """The clips of a target. Of a real one all, or of each training part the first so many."""
        if real := self.setting.roles.get(role):
            return DataSpec(real, frames=self.scale.frames, size=self.scale.size)
        return self._generated(ROLES_OF[role], seed, clips)

    def _generated(self, name: str, seed: int, clips: int | None = None) -> DataSpec:
        scale = self.scale
        return DataSpec(
            name,
            seed=seed,
            train=clips or scale.labelled,
            test=scale.test,
            frames=scale.frames,
            size=scale.size,
        )

    def tuned(
        self, of: Pretraining, seed: int, *, role: str = "target", clips: int | None = None
    ) -> RunSpec:
        """A pre-trained network, fine-tuned whole on a target; image networks become video ones."""
        model = self.model(of) if of.network == "video" else self._vit()
        return self._tuned(self.labelled(role, seed, clips), model, of, seed)

    def scratch(
        self,
        seed: int,
        *,
        role: str = "target",
        clips: int | None = None,
        like: Pretraining | None = None,
    ) -> RunSpec:
        """The network of MVD's student from random weights, for as long as a fine-tuning.

        like: the network of this pre-training instead.
        """
        model = self.model(like) if like else self._vit()
        return self._tuned(self.labelled(role, seed, clips), model, None, seed)

    def detector(self, of: Pretraining | None, seed: int, *, labels: bool = False) -> RunSpec:
        """What each actor does, by a pre-trained network; None is from scratch.

        labels: it was fine-tuned on the texture task before.
        """
        data = replace(self._generated(ACTORS, seed), known=("boxes",))
        spec = self._tuned(data, self.model(of) if of else self._vit(), of, seed)
        if of and labels:
            spec = replace(spec, start=Start(self.tuned(of, 0, role="target2"), "backbone"))
        return spec

    def classifier(self, of: Pretraining | None, seed: int) -> RunSpec:
        """A network of images, fine-tuned on pictures; None is from scratch."""
        data = replace(self._generated(PICTURES, seed), frames=1)
        return self._tuned(data, self._vit(image=True), of, seed)

    def _tuned(
        self, data: DataSpec, model: ModelSpec, of: Pretraining | None, seed: int
    ) -> RunSpec:
        recipe = self._recipe(self.scale.epochs, self.scale.batch, self.scale.rate)
        start = Start(self.pretraining(of), "backbone") if of else None
        return RunSpec(data, model, recipe, seed=seed, start=start)

    def _recipe(self, epochs: int, batch: int, rate: float, beta2: float = 0.999) -> Recipe:
        """AdamW on a cosine, the same for all pre-trainings and for all trainings on labels."""
        return Recipe(
            epochs=epochs,
            learning_rate=rate,
            batch_size=batch,
            weight_decay=0.05,
            warmup_epochs=min(2, epochs / 4),
            beta2=beta2,
        )


Made = dict[tuple[str, ...], tuple[RunSpec, ...]]


def by_task(runs: Runs, starts: dict[str, Pretraining | None], seeds: tuple[int, ...]) -> Made:
    """By role and name, a fine-tuning from each start; None is from scratch."""
    return {
        (role, name): tuple(
            runs.tuned(of, seed, role=role) if of else runs.scratch(seed, role=role)
            for seed in seeds
        )
        for role in ROLES_OF
        for name, of in starts.items()
    }


SCRATCH, PIXELS = "from scratch", "pixels"
AS_PIXELS = "from scratch, VideoMAE's positions"
FROM_IMAGE, FROM_VIDEO, FROM_BOTH = "MVD, image teacher", "MVD, video teacher", "MVD, both teachers"


def starts(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """What the appendix lacks: all starts side by side, and what pixels start beside."""
    image, video = runs.image_teacher, runs.video_teacher
    named = {
        SCRATCH: None,
        PIXELS: runs.videomae,
        "the image teacher": image,
        "the video teacher": video,
        FROM_IMAGE: runs.distilled(image),
        FROM_VIDEO: runs.distilled(video),
        FROM_BOTH: runs.mvd,
    }
    alike = {
        (role, AS_PIXELS): tuple(
            runs.scratch(seed, role=role, like=runs.videomae) for seed in seeds
        )
        for role in ROLES_OF
    }
    return by_task(runs, named, seeds) | alike


def token_by_token(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 11: the video teacher's features token by token, and where they are hidden."""
    masked = runs.distilled(runs.video_teacher)
    named = {
        "per-token distillation ×": replace(masked, places="all"),
        "per-token distillation ✓": replace(masked, places="visible"),
        "masked reconstruction ✓": masked,
    }
    return by_task(runs, named, seeds)


def initialisations(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 12: MVD's student from random weights, or from those of a teacher."""
    named = {
        "from scratch": runs.mvd,
        "image teacher": replace(runs.mvd, start=runs.image_teacher),
        "video teacher": replace(runs.mvd, start=runs.video_teacher),
    }
    return by_task(runs, named, seeds)


def patch_sizes(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 13: video teachers whose tokens have two or four frames, and their students."""
    named = {
        f"{tubelet}×16×16": runs.distilled(replace(runs.video_teacher, tubelet=tubelet))
        for tubelet in (2, 4)
    }
    return by_task(runs, named, seeds)


def targets(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 14: pixels or features to predict, of pictures (role "image") and of videos."""
    image = runs.image_teacher
    pictures = {
        SCRATCH: None,
        "pixels": replace(image, epochs=runs.scale.pixels[3]),
        "features": replace(image, epochs=runs.scale.features[1], teachers=(image,)),
    }
    found: Made = {
        ("image", name): tuple(runs.classifier(of, seed) for seed in seeds)
        for name, of in pictures.items()
    }
    named = {SCRATCH: None, "pixels": runs.videomae, "features": runs.mvd}
    return found | by_task(runs, named, seeds)


def detections(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Table 10, by start and whether labels of videos were used before, × or ✓."""
    found: Made = {(SCRATCH, "×"): tuple(runs.detector(None, seed) for seed in seeds)}
    for name, of in (("VideoMAE", runs.videomae), ("MVD", runs.mvd)):
        for mark, labels in (("×", False), ("✓", True)):
            made = (runs.detector(of, seed, labels=labels) for seed in seeds)
            found[name, mark] = tuple(made)
    return found


def lengths(runs: Runs, seeds: tuple[int, ...]) -> Made:
    """Figure 4, by role, name and epochs: pixels and MVD of several lengths, fine-tuned.

    With role "pre-trained" stand the pre-trainings themselves, and the two teachers by their names.
    """
    by_epochs = {(PIXELS, str(n)): replace(runs.videomae, epochs=n) for n in runs.scale.pixels} | {
        ("MVD", str(n)): replace(runs.mvd, epochs=n) for n in runs.scale.features
    }
    teachers = {("teacher", of.network): of for of in (runs.image_teacher, runs.video_teacher)}
    found: Made = {
        ("pre-trained", *label): (runs.pretraining(of),)
        for label, of in (by_epochs | teachers).items()
    }
    for role in ROLES_OF:
        for label, of in by_epochs.items():
            found[role, *label] = tuple(runs.tuned(of, seed, role=role) for seed in seeds)
    return found


def pretrained(runs: Runs) -> Made:
    """The two teachers and their students, as they were pre-trained."""
    image, video = runs.image_teacher, runs.video_teacher
    named = {
        "image teacher": image,
        "video teacher": video,
        "student of the image teacher": runs.distilled(image),
        "student of the video teacher": runs.distilled(video),
        "student of both": runs.mvd,
    }
    return {(name,): (runs.pretraining(of),) for name, of in named.items()}
