"""What can be asked of the generator: tasks with their class names, and the specification."""

from dataclasses import dataclass, fields
from itertools import permutations

from kdlib.data.generated.looks import PALETTES, SHAPES, TEXTURES
from kdlib.errors import UserError, unknown

MOTIONS = (
    "right", "left", "up", "down", "circle clockwise", "circle anticlockwise",
    "spin clockwise", "spin anticlockwise", "grow", "shrink",
    "across then along", "along then across",
)  # fmt: skip
TEXTURE_MOTIONS = ("right", "up", "grow")
ACTIONS = MOTIONS[:4] + MOTIONS[6:10]
EVENTS = ("hops", "slides", "turns", "swells")
EVENT_ORDERS = tuple(permutations(range(len(EVENTS)), 2))
RATES = (1, 2, 4, 8)
PERIODS = ("fine", "medium", "coarse")
PERIOD_RATIO = 1.3
ORIENTATIONS = ("horizontal", "rising", "vertical", "falling")
# colmot12: six classes told apart by motion, those of MOVES, and six by colour.
MOVES = MOTIONS[:4] + MOTIONS[8:10]
DISKS = ("going right", "going left", "going up", "going down", "growing", "shrinking")
# Around the wheel, red at hue 0.
COLOURS = (
    "red", "orange", "yellow", "lime", "green", "mint",
    "cyan", "azure", "blue", "violet", "magenta", "rose",
)  # fmt: skip
# mix12: three classes told apart by each of: motion, fine detail, texture, sense of rotation.
MIX = (
    "disk going right", "disk going up", "disk growing",
    "triangle with fine stripes", "triangle with medium stripes", "triangle with coarse stripes",
    "square with stripes", "square with checks", "square with dots",
    "star spinning clockwise", "star spinning anticlockwise", "star swaying",
)  # fmt: skip

TASKS: dict[str, tuple[str, ...]] = {
    "colour12": COLOURS,
    "colmot12": (*(f"disk {m}" for m in DISKS), *(f"{c} star" for c in COLOURS[::2])),
    "detail12": tuple(f"{p} {o} stripes" for p in PERIODS for o in ORIENTATIONS),
    "motion12": MOTIONS,
    "texmot12": tuple(f"{t} moving {m}" for t in TEXTURES for m in TEXTURE_MOTIONS),
    "order": tuple(f"{EVENTS[a]} then {EVENTS[b]}" for a, b in EVENT_ORDERS),
    "rate": tuple(f"{rate}x" for rate in RATES),
    "mix12": MIX,
    "actors": ACTIONS,
    "image": tuple(f"{s} with {t}" for s in SHAPES for t in TEXTURES),
}
OVERLAPPING = ("mix12", "texmot12", "image")  # tasks whose classes can overlap
SPLITS = ("train", "validation", "test", "pool")
MAX_ACTORS = 4
CLIPS_PER_SCENE = 24

_TASK_OWN = -1.0
_DEFAULTS = {
    "frames": 8, "noise": 0.03, "jitter": 0.015, "contrast": 0.8, "background": 0.5,
    "distractor": 0.7, "occlusion": 0.2, "light": 0.1, "texture_period": 0.0,
}  # fmt: skip
_TASK_DEFAULTS: dict[str, dict[str, float]] = {
    "detail12": {"noise": 0.12, "jitter": 0.01, "contrast": 0.32, "texture_period": 2.6},
    "texmot12": {"noise": 0.06, "contrast": 0.5},
    "mix12": {"texture_period": 4.0},
    "actors": {"distractor": 0.0, "occlusion": 0.0},
    "order": {"distractor": 0.0},
    "image": {"frames": 1, "distractor": 0.4},
}


@dataclass(frozen=True)
class GeneratedSpec:
    """A generated data set; negative knobs (and 0 frames) mean the task's own value.

    task: a key of TASKS. seed: 0..2^31-1, other seeds give other scenes and clips.
    frames: frames a clip. size: side of the square frames in pixels.
    domain: "source" (countryside by day) or "shifted" (city by night: other palette, skyline,
        texture profile and more noise); the labels mean the same in both.
    noise: sd of the pixel noise, of a range of 1. jitter: extent of the camera's path, in sides.
    contrast: of the objects' texture, 0..1. background: contrast of the background's pattern, 0..1.
    distractor, occlusion: probability of an unlabelled object, and of a post in front.
    light: relative drift of the light over a clip.
    texture_period: pixels of one period of the finest texture; 0 scales it with the object.
    overlap: 0 for crisp classes, up to 1; of the tasks OVERLAPPING. Each clip shows its class c
        blended with a neighbour n of the same family, w of it, w uniform in [0, overlap / 2]. Its
        label in the splits "train" and "pool" is n with probability w, else c. In "validation"
        and "test" it is c, the more probable class, so that accuracy is against the Bayes class.
    label_noise: share of the labels of "train" and "pool" that are drawn from all classes alike,
        after the draw of the overlap; "validation" and "test" have none. No pixel depends on it.
        Of tasks with one label a clip, all but "actors".
    Raises UserError for impossible values.
    """

    task: str
    seed: int
    frames: int = 0
    size: int = 32
    domain: str = "source"
    noise: float = _TASK_OWN
    jitter: float = _TASK_OWN
    contrast: float = _TASK_OWN
    background: float = _TASK_OWN
    distractor: float = _TASK_OWN
    occlusion: float = _TASK_OWN
    light: float = _TASK_OWN
    texture_period: float = _TASK_OWN
    overlap: float = 0.0
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown("task", self.task, TASKS)
        if self.domain not in PALETTES:
            raise unknown("domain", self.domain, PALETTES)
        defaults = _DEFAULTS | _TASK_DEFAULTS.get(self.task, {})
        for name, value in defaults.items():
            given = getattr(self, name)
            if given == 0 if name == "frames" else given < 0:
                object.__setattr__(self, name, type(given)(value))
        still = self.task in ("image", "detail12")
        for name in ("seed", "frames", "size"):
            if not isinstance(getattr(self, name), int):
                raise UserError(f"{name}: {getattr(self, name)!r} is no whole number; give one.")
        _check("seed", self.seed, 0, 2**31 - 1)
        _check("frames", self.frames, 1 if still else 2, 1 if self.task == "image" else 512)
        _check("size", self.size, 8, 512)
        limits = {"noise": 0.5, "jitter": 0.25, "light": 0.9, "texture_period": 512.0}
        for field in fields(self)[5:]:
            _check(field.name, getattr(self, field.name), 0, limits.get(field.name, 1.0))
        if self.overlap and self.task not in OVERLAPPING:
            tasks = ", ".join(OVERLAPPING)
            raise UserError(f"overlap: classes of {self.task} do not overlap; ask one of {tasks}.")
        if self.label_noise and self.task == "actors":
            raise UserError("label_noise: actors has several labels a clip; leave it at 0.")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name}: {value!r} is out of range; give {low:g} to {high:g}.")


def class_names(task: str) -> tuple[str, ...]:
    """The class names of a task, by label. Raises UserError for an unknown task."""
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    return TASKS[task]
