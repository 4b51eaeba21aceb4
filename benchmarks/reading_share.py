"""What share of a training run on JHMDB-21 goes into reading and augmenting clips.

    python -m benchmarks.reading_share DATA_ROOT [--epochs 4]

The direct student and the feature distillation of the resolution chapter, in one thread as a worker
runs them, from the prepared cache. Reading is timed by walking through the same batches without
training on them; teachers are random.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from book.resolution.runs import Runs
from kdlib.clips.batches import training_batches
from kdlib.runs.build import clip_source, method_of, model_of
from kdlib.runs.spec import RunSpec
from kdlib.study.setting import Setting
from kdlib.training.loop import fit


def shares(spec: RunSpec, setting: Setting, epochs: int) -> dict[str, object]:
    """Seconds an epoch of training and of reading alone; random teachers cost as much as others."""
    videos = setting.datasets.load(spec.data)["train"]
    source = clip_source(videos, spec.data, "train")

    student, *teachers = (model_of(s, len(videos.classes)) for s in (spec, *spec.method.teachers))
    method = method_of(spec.method, student, teachers)
    recipe = replace(spec.recipe, epochs=epochs, warmup_epochs=0)
    history = fit(method, source, recipe, seed=0)
    reading = []
    for epoch in range(epochs):
        started = time.perf_counter()
        for _ in training_batches(
            source, recipe.batch_size, seed=0, epoch=epoch, device=torch.device("cpu")
        ):
            pass
        reading.append(time.perf_counter() - started)
    training = min(row["seconds"] for row in history.epochs)
    return {
        "run": spec.method.title,
        "s an epoch": round(training, 2),
        "s reading": round(min(reading), 2),
        "share": f"{min(reading) / training:.0%}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as store:
        setting = Setting(dataset="jhmdb21", data=str(options.data_root), store=store)
        runs = Runs(setting)
        rows = [
            shares(spec, setting, options.epochs) for spec in (runs.direct(0), runs.distilled(0))
        ]
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
