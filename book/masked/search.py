"""What was tried for the testbed of the masked chapter: `python -m book.masked.search`.

Each candidate is a row of one to three seeds whose clips no reported run has, on one testbed: task,
head, recipe, labels, how clips are cut into tokens. A start from masked pixels, or from MVD, stands
against the same network from scratch, fine-tuned as long by the same recipe. One seed is a first
look: it has no spread, and says no more than where to look next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from book.masked.runs import RATE, Runs
from kdlib.runs.spec import DataSpec, ModelSpec, Option, RunSpec, Start
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

FAST = 4 * RATE  # the chapter's of fine-tuning
ONE, TWO = (SEEDS[1],), SEEDS[:2]
EPOCHS = {240: 12, 60: 40}  # of so many labelled clips
SIZED = {"patch 6": {"patch": 6}, "48 pixels": {"patch": 8, "size": 48}}
MVD = "MVD"
NUMBERED = "labels alone, VideoMAE's positions"


@dataclass(frozen=True)
class Pixels:
    """Masked pixels; by default those of the chapter's VideoMAE."""

    videos: str = "mix12"
    epochs: int = 24
    batch: int = 32
    rate: float = RATE
    mask_ratio: float = 0.75
    normalised: bool = True
    positions: str = "axes"


PIXELS = {
    "masked pixels": Pixels(positions="index"),
    "masked pixels, MVD's positions": Pixels(),
    "6 epochs": Pixels(epochs=6, positions="index"),
    "6 epochs, pixels not normalised": Pixels(epochs=6, normalised=False),
    "24 epochs of motion12": Pixels("motion12"),
    "6 epochs of motion12, batch 8": Pixels("motion12", 6, 8),
    "6 epochs of motion12, batch 8, pixels not normalised": Pixels(
        "motion12", 6, 8, normalised=False
    ),
    "12 epochs of motion12, batch 8": Pixels("motion12", 12, 8),
    "12 epochs of motion12, batch 16, rate x 4": Pixels("motion12", 12, 16, FAST),
    "8 epochs of motion12, batch 16, rate x 2, half hidden": Pixels(
        "motion12", 8, 16, 2 * RATE, 0.5
    ),
}
LONG, AXES, SHORT, RAW, MOTION, OFTEN, RAW_OFTEN, OFTEN_LONG, QUICK, HALF = PIXELS


@dataclass(frozen=True)
class Testbed:
    """A fine-tuning. starts: what from; scratch: and from random weights. size: of `SIZED`."""

    seeds: tuple[int, ...]
    starts: tuple[str, ...]
    task: str = "motion12"
    rate: float = FAST
    pool: str = "max"
    norm: str = "batch"
    labelled: int = 240
    layer_decay: float = 1.0
    size: str = ""
    scratch: bool = True

    @property
    def name(self) -> str:
        """What it has that others have not."""
        pool = "as detectors pool" if self.task == "actors" else f"{self.pool} of places"
        said = [self.task, self.size, pool, f"rate {self.rate:g}"]
        if self.norm == "layer":
            said.append("LayerNorm in the head")
        if self.layer_decay < 1:
            said.append(f"layer decay {self.layer_decay:g}")
        if self.labelled != 240:
            said.append(f"{self.labelled} clips")
        if self.seeds != SEEDS:
            said.append({1: "one seed", 2: "two seeds"}[len(self.seeds)])
        return ", ".join(part for part in said if part)


_FIRST = (LONG, MVD)
TESTBEDS = (
    # The first search: the mean of all places, one rate for all.
    Testbed(SEEDS, _FIRST, pool="mean", rate=RATE),
    Testbed(SEEDS, _FIRST, "texmot12", pool="mean", rate=RATE),
    Testbed(SEEDS, _FIRST, "detail12", pool="mean", rate=RATE),
    Testbed(SEEDS, _FIRST, pool="mean", rate=RATE, norm="layer"),
    # The second: is it the pooling, the rate, what is predicted, the number of steps?
    Testbed(TWO, (SHORT, RAW), pool="mean", rate=RATE),
    Testbed(TWO, (SHORT, RAW, OFTEN, RAW_OFTEN), rate=RATE),
    Testbed(ONE, (OFTEN,), "texmot12", rate=RATE),
    Testbed(ONE, (OFTEN,), "actors", rate=RATE),
    Testbed(TWO, (LONG,), "actors", rate=RATE),
    Testbed(TWO, (MOTION, OFTEN_LONG), rate=RATE, size="patch 6"),
    Testbed(ONE, (MOTION,), rate=RATE / 4, size="patch 6", scratch=False),
    Testbed(ONE, (MOTION,), rate=RATE / 2, size="patch 6", scratch=False),
    Testbed(ONE, (MOTION,), rate=RATE, layer_decay=0.5, size="patch 6", scratch=False),
    Testbed(ONE, (MOTION,), rate=2 * RATE, size="patch 6"),
    Testbed(TWO, (MOTION,), size="patch 6"),
    Testbed(TWO, (MOTION,), rate=2 * FAST, size="patch 6", scratch=False),
    Testbed(TWO, (LONG,), pool="mean"),
    Testbed(ONE, (OFTEN, QUICK)),
    Testbed(ONE, (OFTEN, QUICK), "actors"),
    Testbed(ONE, (LONG,), "mix12"),
    Testbed(TWO, (LONG,), norm="layer"),
    Testbed(TWO, (LONG,), "texmot12", norm="layer"),
    Testbed(ONE, (HALF,), size="48 pixels"),
    # Few labels.
    Testbed(ONE, (OFTEN,), rate=RATE, labelled=60),
    Testbed(ONE, (LONG, OFTEN, QUICK), labelled=60),
    Testbed(ONE, (LONG, OFTEN), "texmot12", labelled=60),
    Testbed(ONE, (LONG, OFTEN), "actors", labelled=60),
    Testbed(ONE, (HALF,), size="48 pixels", labelled=60),
    # The best of all.
    Testbed(SEEDS, (LONG, NUMBERED)),
    Testbed(SEEDS, (LONG, NUMBERED, AXES), "texmot12"),
    Testbed(SEEDS, (LONG, NUMBERED), "actors"),
)


def candidates(runs: Runs) -> Candidates:
    """All rows, testbed by testbed."""
    return dict(_rows(runs))


def _rows(runs: Runs) -> Iterator[tuple[tuple[str, str], tuple[RunSpec, ...]]]:
    for testbed in TESTBEDS:
        for start in (*((BASELINE,) if testbed.scratch else ()), *testbed.starts):
            specs = (_tuned(runs, testbed, start, seed) for seed in testbed.seeds)
            yield (testbed.name, start), tuple(specs)


def _tuned(runs: Runs, testbed: Testbed, start: str, seed: int) -> RunSpec:
    """A fine-tuning on a testbed."""
    sized = SIZED.get(testbed.size, {})
    before = None if start in (BASELINE, NUMBERED) else _pretrained(runs, start, sized)
    spec = runs.detector(None, seed) if testbed.task == "actors" else runs.scratch(seed)
    head: dict[str, Option] = {"head_norm": testbed.norm, "pool": testbed.pool}
    recipe = replace(
        spec.recipe,
        epochs=EPOCHS[testbed.labelled],
        learning_rate=testbed.rate,
        layer_decay=testbed.layer_decay,
    )
    options = {**(before or spec).model.options, **head, **_of_network(sized)}
    if start == NUMBERED:
        options["positions"] = "index"
    return replace(
        spec,
        data=_sized(spec, sized, f"generated/{testbed.task}", testbed.labelled),
        model=ModelSpec("vit", options),
        recipe=recipe,
        start=Start(before, "backbone") if before else None,
    )


def _pretrained(runs: Runs, start: str, sized: dict[str, int]) -> RunSpec:
    """MVD as the chapter has it, or masked pixels of `PIXELS`."""
    if start == MVD:
        return runs.pretraining(runs.mvd)
    asked = PIXELS[start]
    spec = runs.pretraining(replace(runs.videomae, epochs=asked.epochs))
    options = {**spec.method.options, "mask_ratio": asked.mask_ratio}
    if not asked.normalised:
        options["normalised"] = False
    network = {**spec.model.options, "positions": asked.positions, **_of_network(sized)}
    return replace(
        spec,
        data=_sized(spec, sized, f"generated/{asked.videos}", spec.data.train),
        model=ModelSpec("vit", network),
        recipe=replace(spec.recipe, learning_rate=asked.rate, batch_size=asked.batch),
        method=replace(spec.method, options=options),
    )


def _of_network(sized: dict[str, int]) -> dict[str, Option]:
    return {name: value for name, value in sized.items() if name != "size"}


def _sized(spec: RunSpec, sized: dict[str, int], name: str, clips: int) -> DataSpec:
    size = sized.get("size", spec.data.size)
    return replace(spec.data, name=name, train=clips, size=size)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('masked', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
