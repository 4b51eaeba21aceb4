"""Does a small network reach on CIFAR-100 what it should? Trains one and tests it once.

    python -m benchmarks.cifar100 DATA_ROOT [--epochs 15] [--depth 20] [--threads 2]

Published for ResNet-20, 240 epochs: 69.06 % (Tian et al. 2020). A short schedule reaches less.
Keeps its record in a store, so that a second call only reports it.
"""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from kdlib.runs.execute import execute
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.runs.store import run_key
from kdlib.study.setting import Setting
from kdlib.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--store", default="")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    setting = Setting(data=str(options.data_root), store=options.store)
    spec = RunSpec(
        DataSpec("cifar100", frames=1, size=32, crop="shift"),
        ModelSpec("resnet_cifar", {"depth": options.depth}),
        Recipe(
            epochs=options.epochs,
            learning_rate=0.2,
            batch_size=128,
            optimizer="sgd",
            nesterov=True,
            weight_decay=5e-4,
            warmup_epochs=1,
        ),
    )
    store, datasets = setting.run_store, setting.datasets
    key = run_key(spec, "cpu", datasets.keys([spec]))
    record = store.find(key)
    if record is None:
        with tqdm(total=options.epochs, unit="epoch") as progress:
            record = execute(
                spec,
                key,
                store,
                datasets.load(spec.data),
                [],
                progress=lambda epoch: progress.update(epoch - progress.n),
            )
    result = record.result
    print(f"parts {result['videos']}; test accuracy {result['last']}; cost {result['cost']}")


if __name__ == "__main__":
    main()
