"""What was tried for the testbed of the pretext chapter: `python -m book.pretext.search`.

Each candidate is a row of three seeds whose clips no reported run has, on one testbed: how many
labelled clips, how long, and which task of the generator. Fine-tuning after RSPNet against the same
network from scratch, and KD against labels alone, decided between them.
"""

from dataclasses import dataclass, replace

from book.pretext.runs import NETWORKS, SHUFFLENET, Pretraining, Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting


@dataclass(frozen=True)
class Testbed:
    """A target, and what differs from the laptop's setting.

    clips: labelled. epochs: of a fine-tuning and of a student. videos: of the pre-training.
    """

    task: str = "texmot12"
    clips: int = 120
    epochs: tuple[int, int] = (16, 24)
    videos: int = 600


TESTBEDS = {
    "texmot12, 120 clips": Testbed(),
    "texmot12, 240 clips": Testbed(clips=240),
    "mix12, 120 clips": Testbed("mix12"),
    "mix12, 240 clips": Testbed("mix12", 240),
}
# Of the loss of several teachers, on the first testbed.
CONSTANTS = {
    "T = 1": {"temperature": 1.0},
    "T = 2": {"temperature": 2.0},
    "T = 4": {"temperature": 4.0},
    "T = 2, CE .1": {"temperature": 2.0, "label_weight": 0.1},
}


def candidates(runs: Runs) -> Candidates:
    """All rows: all testbeds, then the constants of the loss."""
    found: Candidates = {}
    for name, testbed in TESTBEDS.items():
        both = [Pretraining(network, "RSPNet", testbed.videos) for network in NETWORKS]
        makers = {
            BASELINE: lambda s: runs.direct(SHUFFLENET, s),
            "ShuffleNet from scratch, as long as its fine-tuning": lambda s: runs.scratch(
                SHUFFLENET, s
            ),
            "teacher ShuffleNet": lambda s, of=both[0]: runs.tuned(of, s),
            "teacher R21D": lambda s, of=both[1]: runs.tuned(of, s),
            "KD of R21D": lambda s, of=both[1:]: runs.student(SHUFFLENET, of, s),
            "KD of both": lambda s, of=both: runs.student(SHUFFLENET, of, s),
        }
        for label, make in makers.items():
            found[name, label] = tuple(_on(make(seed), testbed) for seed in SEEDS)
    name, testbed = next(iter(TESTBEDS.items()))
    both = [Pretraining(network, "RSPNet", testbed.videos) for network in NETWORKS]
    for label, options in CONSTANTS.items():
        made = (runs.student(SHUFFLENET, both, seed, **options) for seed in SEEDS)
        found[name, f"KD of both, {label}"] = tuple(_on(spec, testbed) for spec in made)
    return found


def _on(spec: RunSpec, testbed: Testbed) -> RunSpec:
    """A run on a testbed, and what it needs of labelled runs likewise."""
    data = replace(spec.data, name=f"generated/{testbed.task}", train=testbed.clips, test=600)
    teachers = tuple(_on(teacher, testbed) for teacher in spec.method.teachers)
    return replace(spec, data=data, method=replace(spec.method, teachers=teachers))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('pretext', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
