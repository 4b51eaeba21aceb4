"""Where resolution distillation pays: its gain over resolutions and training clips."""

from functools import partial

from book.resolution.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study import regimes
from kdlib.study.chapter import Study

GAINS = {
    "feature KD": ("feature", "direct"),
    "logit KD": ("logit", "direct"),
    "pixel-level logit KD": ("pixel", "direct"),
}
TITLE = (
    "Where distillation pays: gain over labels alone; the teacher keeps its clips, and in the last "
    "column the student has all of them too"
)


def studies(runs: Runs) -> list[Study]:
    """The map and its numbers; none of a real set, which has the clips that it has."""
    if runs.real:
        return []
    pixels, clips = runs.scale.regimes
    cells = {
        (size, count, name): tuple(_run(runs, name, seed, size, count) for seed in _seeds(runs))
        for size in pixels
        for count in clips
        for name in ("direct", "feature", "logit", "pixel")
    }
    axes = {"pairs": GAINS, "down": "resolution, px", "across": "training clips of the student"}
    return [
        Study("reskd/regimes", TITLE, partial(regimes.regime_map, **axes), cells),
        Study("reskd/regime-numbers", TITLE, partial(regimes.regime_table, **axes), cells),
    ]


def _run(runs: Runs, name: str, seed: int, pixels: int, clips: int) -> RunSpec:
    if name == "direct":
        return runs.direct(seed, resolution=pixels, clips=clips)
    return runs.distilled(seed, resolution=pixels, clips=clips, target=name)


def _seeds(runs: Runs) -> tuple[int, ...]:
    return runs.setting.claimed
